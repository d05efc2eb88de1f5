"""Released orders go to live venues, and what happens there comes back: execute_orders, and the mailbox of MetaTrader 5."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, aws_events, aws_iam, aws_sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, service_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName, Layers
from cdk.constructs.queues import DeadLetterQueue
from cdk.constructs.subscription import VISIBILITY_FACTOR, EventSubscription
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import EVENT_SOURCE, Env, EventType, Function, Metric, StackOutput

VENUES: Final = ("coinbase", "mt5")  # that execute_orders serves; each is a message group of its own
_TIMEOUT_SECONDS: Final = 60
_AGENT_AWAY_SECONDS: Final = 60
_REQUESTS: Final = (EventType.EXECUTION_REQUESTED, EventType.VENUE_VIEW_REQUESTED)
_ALARMS: Final = (
    (Metric.ORDERS_UNCONFIRMED, "a venue did not answer and does not know the order; it stays open until the two are compared"),
    (Metric.VENUE_REFUSALS, "a live order was refused by its venue or before it; the log says why"),
    (Metric.ENVELOPES_REFUSED, "a report was not signed by the agent of its account, or is a replay"),
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
        self._commands = self._mailbox("Commands", self._commands_dead, retention=Duration.hours(1))
        reports_dead = DeadLetterQueue(self, "ReportsDeadLetters", alarm_topic=context.alarm_topic, fifo=True)
        self._reports = self._mailbox("Reports", reports_dead, retention=Duration.days(4))
        execute = self._function(data, secrets, messaging)
        subscription = EventSubscription(
            self,
            "Requests",
            bus=messaging.bus,
            patterns=[(f"For{venue.capitalize()}", _asks(venue)) for venue in VENUES],
            function=execute,
            alarm_topic=context.alarm_topic,
            groups={f"For{venue.capitalize()}": venue for venue in VENUES},
            batch_size=1,  # one put back holds its group only as long as asked
            maximum_receives=10,
        )
        execute.function.add_event_source(SqsEventSource(self._reports, batch_size=1, report_batch_item_failures=True))
        for metric, description in _ALARMS:
            TopicAlarm(
                self,
                metric.value,
                metric=service_metric(metric, service=execute.name, statistic="Sum"),
                threshold=1,
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
        self.output(StackOutput.EXECUTION_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.EXECUTION_DLQ_URL, subscription.dead_letters.queue.queue_url)
        self.output(StackOutput.MT5_COMMANDS_QUEUE_URL, self._commands.queue_url)
        self.output(StackOutput.MT5_REPORTS_QUEUE_URL, self._reports.queue_url)
        self.output(StackOutput.MT5_AGENT_POLICY_ARN, policy.managed_policy_arn)

    def _mailbox(self, name: str, dead_letters: DeadLetterQueue, *, retention: Duration) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            name,
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=retention,  # an old command is worth nothing: its order may not be sent any more
            visibility_timeout=Duration.seconds(VISIBILITY_FACTOR * _TIMEOUT_SECONDS),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead_letters.queue, max_receive_count=5),
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
                Env.VENUE_URL: stage.endpoints.venue_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.idempotency.table_name,
                Env.MT5_COMMANDS_QUEUE_URL: self._commands.queue_url,
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=512,
        )
        execute.allow(["secretsmanager:GetSecretValue"], secrets.exchange.secret_arn)
        execute.allow(
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], data.idempotency.table_arn
        )
        execute.allow(["events:PutEvents"], messaging.bus.event_bus_arn)
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
            ],
        )


def _asks(venue: str) -> aws_events.EventPattern:
    return aws_events.EventPattern(
        source=[EVENT_SOURCE], detail_type=[kind.value for kind in _REQUESTS], detail={"venue": [venue]}
    )
