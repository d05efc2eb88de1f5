"""Released orders go to live venues, and their results come back: execute_orders and the mailboxes of MetaTrader 5."""

from __future__ import annotations

from typing import Final

from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.mailbox import AgentMailbox
from cdk.constructs.subscription import GRACE_SECONDS, PATIENT_RECEIVES, AccountQueue, FunctionQueue
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from cdk.stacks.trading import TradingStack
from signalbox.contracts import ACKNOWLEDGE_SECONDS, Env, Function, Metric, StackOutput

_TIMEOUT_SECONDS: Final = 60
_AGENT_WORKERS: Final = 2  # at once for the reports of one agent; Lambda takes no less
_ALARMS: Final = (
    (
        Metric.ORDERS_UNCONFIRMED,
        1,
        "a venue did not answer and does not know the order; it stays open until the two are compared",
    ),
    (Metric.VENUE_REFUSALS, 1, "a live order was refused by its venue or before it; the log says why"),
    (Metric.ENVELOPES_REFUSED, 1, "a report was not signed by the agent of its account, or is a replay"),
    (
        Metric.REQUESTS_REFUSED,
        1,
        "a request to a venue is overdue or not the ledger's word, and was not sent; the log keeps it",
    ),
    (Metric.REQUESTS_EXPIRED, 1, "an order came after its time and was not sent: something between ledger and venue is slow"),
    (Metric.COMMANDS_REFUSED, 1, "an agent refused a command: it lay too long in its queue, or was there a second time"),
    (
        Metric.COMMANDS_UNACKNOWLEDGED,
        1,
        f"an agent did not say within {ACKNOWLEDGE_SECONDS} s that it has a command; its account is halted",
    ),
    (Metric.VIEWS_FAILED, 3, "a venue does not show what it has of an account; the log names both and says why"),
)


class ExecutionStack(SignalboxStack):
    """execute_orders with its queue, the mailbox of each MetaTrader 5 account, and the queue that checks for agents' answers."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        secrets: SecretsStack,
        messaging: MessagingStack,
        trading: TradingStack,
    ) -> None:
        super().__init__(scope, context.stage, "execution", description="orders at live venues")
        self._context = context
        execute = self._function(data, secrets, messaging)
        requests = AccountQueue(self, "Requests", function=execute, alarm_topic=context.alarm_topic)
        self.requests = requests.queue
        self._mailboxes(execute, trading)
        for metric, threshold, description in _ALARMS:
            TopicAlarm(
                self,
                metric.value,
                metric=stage_metric(metric, stage=context.stage, statistic="Sum"),
                threshold=threshold,
                description=description,
                topic=context.alarm_topic,
            )
        self.output(StackOutput.EXECUTION_QUEUE_URL, requests.queue.queue_url)
        self.output(StackOutput.EXECUTION_DLQ_URL, requests.dead_letters.queue.queue_url)

    def _mailboxes(self, execute: SignalboxFunction, trading: TradingStack) -> None:
        checks = FunctionQueue(
            self,
            "Mt5Checks",
            function=execute,
            alarm_topic=self._context.alarm_topic,
            batch_size=1,
            maximum_receives=PATIENT_RECEIVES,
            visibility_seconds=_TIMEOUT_SECONDS + GRACE_SECONDS,
            delay_seconds=ACKNOWLEDGE_SECONDS,
        )
        hidden = _TIMEOUT_SECONDS + GRACE_SECONDS
        stage, topic = self._context.stage, self._context.alarm_topic
        boxes = [AgentMailbox(self, one, stage=stage, alarm_topic=topic, hidden_seconds=hidden) for one in stage.mt5_accounts]
        for box in boxes:
            # an agent chooses its messages' groups: without the limit it could take every worker of the stage
            execute.function.add_event_source(
                SqsEventSource(box.reports, batch_size=1, report_batch_item_failures=True, max_concurrency=_AGENT_WORKERS)
            )
            execute.allow(["secretsmanager:GetSecretValue"], box.key.secret_arn)
        execute.allow(
            ["sqs:SendMessage"], checks.queue.queue_arn, trading.kill_switch.queue_arn, *(box.commands.queue_arn for box in boxes)
        )
        execute.function.add_environment(Env.MT5_CHECKS_QUEUE_URL.value, checks.queue.queue_url)
        execute.function.add_environment(Env.KILL_SWITCH_QUEUE_URL.value, trading.kill_switch.queue_url)
        self.output(StackOutput.MT5_CHECKS_QUEUE_URL, checks.queue.queue_url)
        self.output(StackOutput.MT5_CHECKS_DLQ_URL, checks.dead_letters.queue.queue_url)

    def _function(self, data: DataStack, secrets: SecretsStack, messaging: MessagingStack) -> SignalboxFunction:
        stage = self._context.stage
        execute = SignalboxFunction(
            self,
            "ExecuteOrders",
            name=Function.EXECUTE_ORDERS,
            context=self._context,
            layers=(LayerName.CORE, LayerName.EXCHANGE),
            bus=messaging.bus,
            environment={
                Env.EXCHANGE_SECRET_ARN: secrets.exchange.secret_arn,
                Env.REQUEST_KEY_ARN: secrets.request_key.secret_arn,
                Env.REPORT_KEY_ARN: secrets.report_key.secret_arn,
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.idempotency.table_name,
                Env.MT5_ACCOUNTS: ",".join(stage.mt5_accounts),
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=512,
        )
        execute.allow(
            ["secretsmanager:GetSecretValue"],
            secrets.exchange.secret_arn,
            secrets.request_key.secret_arn,
            secrets.report_key.secret_arn,
        )
        execute.allow(
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], data.idempotency.table_arn
        )
        return execute
