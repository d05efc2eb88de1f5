"""Released orders go to live venues, and what happens there comes back: execute_orders, and the mailbox of MetaTrader 5."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, aws_iam, aws_sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, service_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName, Layers
from cdk.constructs.queues import DeadLetterQueue
from cdk.constructs.subscription import GRACE_SECONDS, PATIENT_RECEIVES, AccountQueue
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import Env, Function, Metric, StackOutput

_TIMEOUT_SECONDS: Final = 60
_AGENT_AWAY_SECONDS: Final = 60
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
    (Metric.EVENTS_REFUSED, 1, "a message is no request to a venue and was not carried out; the log keeps it"),
    (Metric.VIEWS_FAILED, 3, "a venue does not show what it has of an account; the log names both and says why"),
)


class ExecutionStack(SignalboxStack):
    """execute_orders with its queue, and the two queues between it and the agent beside a terminal."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        secrets: SecretsStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "execution", description="orders at live venues")
        self._context = context
        self._commands_dead = DeadLetterQueue(self, "CommandsDeadLetters", alarm_topic=context.alarm_topic, fifo=True)
        self._commands = self._mailbox("Commands", self._commands_dead, retention=Duration.hours(1), hidden=6 * _TIMEOUT_SECONDS)
        reports_dead = DeadLetterQueue(self, "ReportsDeadLetters", alarm_topic=context.alarm_topic, fifo=True)
        self._reports = self._mailbox(
            "Reports",
            reports_dead,
            retention=Duration.days(4),
            hidden=_TIMEOUT_SECONDS + GRACE_SECONDS,
            receives=PATIENT_RECEIVES,
        )
        execute = self._function(data, secrets, messaging)
        requests = AccountQueue(self, "Requests", function=execute, alarm_topic=context.alarm_topic)
        self.requests = requests.queue
        execute.function.add_event_source(SqsEventSource(self._reports, batch_size=1, report_batch_item_failures=True))
        for metric, threshold, description in _ALARMS:
            TopicAlarm(
                self,
                metric.value,
                metric=service_metric(metric, service=execute.name, statistic="Sum"),
                threshold=threshold,
                description=description,
                topic=context.alarm_topic,
            )
        TopicAlarm(
            self,
            "AgentAway",
            metric=self._commands.metric_approximate_age_of_oldest_message(period=Duration.minutes(1), statistic="Maximum"),
            threshold=_AGENT_AWAY_SECONDS,
            description="a command to MetaTrader 5 waits: its agent does not run, or cannot reach its queue",
            topic=context.alarm_topic,
        )
        policy = self._agent_policy()
        self.output(StackOutput.EXECUTION_QUEUE_URL, requests.queue.queue_url)
        self.output(StackOutput.EXECUTION_DLQ_URL, requests.dead_letters.queue.queue_url)
        self.output(StackOutput.MT5_COMMANDS_QUEUE_URL, self._commands.queue_url)
        self.output(StackOutput.MT5_REPORTS_QUEUE_URL, self._reports.queue_url)
        self.output(StackOutput.MT5_AGENT_POLICY_ARN, policy.managed_policy_arn)

    def _mailbox(
        self, name: str, dead_letters: DeadLetterQueue, *, retention: Duration, hidden: int, receives: int = 5
    ) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            name,
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=retention,  # an old command is worth nothing: its order may not be sent any more
            visibility_timeout=Duration.seconds(hidden),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead_letters.queue, max_receive_count=receives),
        )

    def _function(self, data: DataStack, secrets: SecretsStack, messaging: MessagingStack) -> SignalboxFunction:
        stage = self._context.stage
        execute = SignalboxFunction(
            self,
            "ExecuteOrders",
            name=Function.EXECUTE_ORDERS,
            context=self._context,
            layers=Layers(self, "Layers", stage=stage, sources=self._context.sources).of(LayerName.CORE, LayerName.EXCHANGE),
            environment={
                Env.EVENT_BUS_NAME: messaging.bus.event_bus_name,
                Env.EXCHANGE_SECRET_ARN: secrets.exchange.secret_arn,
                Env.REQUEST_KEY_ARN: secrets.request_key.secret_arn,
                Env.REPORT_KEY_ARN: secrets.report_key.secret_arn,
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.idempotency.table_name,
                Env.MT5_COMMANDS_QUEUE_URL: self._commands.queue_url,
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
        execute.allow_events(messaging.bus)
        execute.allow(["sqs:SendMessage"], self._commands.queue_arn)
        return execute

    def _agent_policy(self) -> aws_iam.ManagedPolicy:
        """Return what the identity of the agent's machine may do, and nothing more; the operator attaches it."""
        return aws_iam.ManagedPolicy(
            self,
            "AgentPolicy",
            description="The MetaTrader 5 agent: take commands, put reports",
            statements=[
                aws_iam.PolicyStatement(
                    actions=["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
                    resources=[self._commands.queue_arn],
                ),
                aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self._reports.queue_arn]),
                aws_iam.PolicyStatement(  # what `--check` asks
                    actions=["sqs:GetQueueAttributes"], resources=[self._commands.queue_arn, self._reports.queue_arn]
                ),
            ],
        )
