"""Sends released orders to live venues and returns their results: execute_orders and the mailboxes of MetaTrader 5."""

from __future__ import annotations

from typing import Final

from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.mailbox import AgentMailbox
from cdk.constructs.subscription import GRACE_SECONDS, AccountQueue, FunctionQueue, QueueDelivery
from cdk.stacks.function_stack import FunctionStack, Platform
from cdk.stacks.trading import TradingStack
from signalbox.contracts import ACKNOWLEDGE_SECONDS, Env, Function, Metric, SealKey, StackOutput

_AGENT_WORKERS: Final = 2  # at once for the reports of one agent; Lambda takes no less
_ALARMS: Final = (
    (
        Metric.ORDERS_UNCONFIRMED,
        1,
        "a venue did not answer and does not know the order; it stays open until ledger and venue are compared",
    ),
    (Metric.VENUE_REFUSALS, 1, "a live order was refused by its venue or before it was sent; the log says why"),
    (
        Metric.REQUESTS_REFUSED,
        1,
        "a request to a venue was too old, a replay, or not signed by the ledger; it was not sent, and the log has it",
    ),
    (Metric.REQUESTS_EXPIRED, 1, "an order was too late and was not sent: something between ledger and venue is slow"),
    (Metric.VIEWS_FAILED, 3, "a venue does not show the orders and positions of an account; the log names both and says why"),
)
_ALARMS_OF_AGENTS: Final = (
    (Metric.ENVELOPES_REFUSED, "a report was not signed by the agent of its account, or is a replay"),
    (Metric.COMMANDS_REFUSED, "an agent refused a command: it waited too long in its queue, or arrived twice"),
    (
        Metric.COMMANDS_UNACKNOWLEDGED,
        f"an agent did not confirm a command within {ACKNOWLEDGE_SECONDS} s; its account is halted",
    ),
)


class ExecutionStack(FunctionStack):
    """execute_orders with its queue, the mailbox of each MetaTrader 5 account, and the queue of checks for agents' answers."""

    def __init__(self, scope: Construct, platform: Platform, *, trading: TradingStack) -> None:
        super().__init__(scope, platform, "execution", description="orders at live venues")
        execute = self._function()
        requests = AccountQueue(self, "Requests", function=execute, alarm_topic=platform.context.alarm_topic)
        self.requests = requests.queue
        execute.allow(["sqs:SendMessage"], trading.kill_switch.queue_arn)
        execute.function.add_environment(Env.KILL_SWITCH_QUEUE_URL.value, trading.kill_switch.queue_url)
        checks = self._mailboxes(execute) if self.config.mt5_accounts else ""
        execute.function.add_environment(Env.MT5_CHECKS_QUEUE_URL.value, checks)
        for metric, threshold, description in _ALARMS:
            self.alarm_at(metric, description, threshold=threshold)
        self.output(StackOutput.EXECUTION_QUEUE_URL, requests.queue.queue_url)
        self.output(StackOutput.EXECUTION_DLQ_URL, requests.dead_letters.queue.queue_url)

    def _mailboxes(self, execute: SignalboxFunction) -> str:
        """Add the mailboxes, and the queue that looks for answers; return its URL. Idle queues and alarms cost money too."""
        stage, topic = self.config, self.platform.context.alarm_topic
        patient = QueueDelivery.patient(execute, delay_seconds=ACKNOWLEDGE_SECONDS)
        checks = FunctionQueue(self, "Mt5Checks", function=execute, alarm_topic=topic, delivery=patient)
        hidden = execute.timeout_seconds + GRACE_SECONDS
        boxes = [AgentMailbox(self, one, stage=stage, alarm_topic=topic, hidden_seconds=hidden) for one in stage.mt5_accounts]
        for box in boxes:
            # an agent chooses its messages' groups: without the limit it could take every worker of the stage
            execute.live.add_event_source(
                SqsEventSource(box.reports, batch_size=1, report_batch_item_failures=True, max_concurrency=_AGENT_WORKERS)
            )
            execute.allow(["secretsmanager:GetSecretValue"], box.key.secret_arn)
        execute.allow(["sqs:SendMessage"], checks.queue.queue_arn, *(box.commands.queue_arn for box in boxes))
        for metric, description in _ALARMS_OF_AGENTS:
            self.alarm_at(metric, description)
        self.output(StackOutput.MT5_CHECKS_QUEUE_URL, checks.queue.queue_url)
        self.output(StackOutput.MT5_CHECKS_DLQ_URL, checks.dead_letters.queue.queue_url)
        return checks.queue.queue_url

    def _function(self) -> SignalboxFunction:
        stage, data, secrets = self.config, self.platform.data, self.platform.secrets
        execute = SignalboxFunction(
            self,
            "ExecuteOrders",
            name=Function.EXECUTE_ORDERS,
            context=self.platform.context,
            layers=(LayerName.CORE, LayerName.EXCHANGE),
            bus=self.platform.messaging.bus,
            environment={
                Env.EXCHANGE_SECRET_ARN: secrets.exchange.secret_arn,
                Env.SIGNING_KEYS_TABLE: secrets.keys.table_name,
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.idempotency.table_name,
                Env.MT5_ACCOUNTS: ",".join(stage.mt5_accounts),
            },
            timeout_seconds=60,
            memory_megabytes=512,
        )
        execute.allow(["secretsmanager:GetSecretValue"], secrets.exchange.secret_arn)
        execute.allow_items(["dynamodb:GetItem"], secrets.keys, [SealKey.REQUESTS, SealKey.REPORTS])
        execute.allow_idempotency_records(data.idempotency)
        return execute
