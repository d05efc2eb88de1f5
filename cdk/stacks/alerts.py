"""Alerts go to Telegram in order. Each chat has its own queue order, so a slow chat delays no other."""

from __future__ import annotations

from aws_cdk import aws_events
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import GRACE_SECONDS, PATIENT_RECEIVES, EventSubscription, FunctionQueue
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import EVENT_SOURCE, Env, EventType, Function, Metric, StackOutput

_ALWAYS = (
    EventType.MARKET_DATA_STALE,
    EventType.MARKET_DATA_RECOVERED,
    EventType.MODEL_REFUSED,
    EventType.MODEL_REGISTERED,
    EventType.MODEL_NOT_QUALIFIED,
    EventType.MODEL_EVALUATED,
    EventType.TRAINING_FAILED,
    EventType.EVALUATION_FAILED,
)
_ACCOUNTS = (
    EventType.ORDER_REFUSED,
    EventType.VENUE_REFUSED,
    EventType.TRADE_OPENED,
    EventType.TRADE_CLOSED,
    EventType.EXIT_FAILED,
    EventType.STOP_PASSED,
    EventType.RISK_WARNING,
    EventType.ACCOUNT_EXHAUSTED,
    EventType.TRADING_HALTED,
    EventType.TRADING_RESUMED,
    EventType.RULE_BREACHED,
    EventType.TARGET_REACHED,
)


_TIMEOUT_SECONDS = 60
_ALARMS = (
    (Metric.ALERTS_UNDELIVERABLE, "an alert went to nobody: no chat, a blocked bot or an unknown chat; the log has its text"),
    (Metric.CHATS_MOVED, "a chat has another id now; it is followed, and the log has both: put the new one into the secret"),
)


class AlertsStack(SignalboxStack):
    """send_alerts with two queues: one for events, one for the resulting deliveries with one message group per chat."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        secrets: SecretsStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "alerts", description="alerts through Telegram")
        stage = context.stage
        send = SignalboxFunction(
            self,
            "SendAlerts",
            name=Function.SEND_ALERTS,
            context=context,
            layers=(LayerName.CORE,),
            bus=messaging.bus,
            environment={
                Env.TELEGRAM_SECRET_ARN: secrets.telegram.secret_arn,
                Env.TELEGRAM_URL: stage.endpoints.telegram_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.deliveries.table_name,
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=256,
        )
        send.allow(["secretsmanager:GetSecretValue"], secrets.telegram.secret_arn)
        send.allow(
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], data.deliveries.table_arn
        )
        issued = aws_events.EventPattern(
            source=[EVENT_SOURCE],
            detail_type=[EventType.SIGNAL_GENERATED.value],
            detail={"issued": [True], "late": [False]},
        )
        always = aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[kind.value for kind in _ALWAYS])
        accounts = aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[kind.value for kind in _ACCOUNTS])
        subscription = EventSubscription(
            self,
            "Alerts",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns=[("IssuedSignals", issued), ("Conditions", always), ("Accounts", accounts)],
            function=send,
            alarm_topic=context.alarm_topic,
            group="alerts",
            batch_size=1,  # a message that is put back delays its group only as long as requested, not for the whole timeout
            maximum_receives=10,  # the function waits longer from try to try; together about 40 minutes
        )
        deliveries = FunctionQueue(
            self,
            "Deliveries",
            function=send,
            alarm_topic=context.alarm_topic,
            fifo=True,  # one message group per chat
            batch_size=1,
            maximum_receives=PATIENT_RECEIVES,  # a chat in flood control says how long to wait, up to hours, several times
            visibility_seconds=_TIMEOUT_SECONDS + GRACE_SECONDS,
        )
        send.allow(["sqs:SendMessage"], deliveries.queue.queue_arn)
        send.function.add_environment(Env.DELIVERIES_QUEUE_URL.value, deliveries.queue.queue_url)
        for metric, description in _ALARMS:
            TopicAlarm(
                self,
                metric.value,
                metric=stage_metric(metric, stage=context.stage, statistic="Sum"),
                threshold=1,
                description=description,
                topic=context.alarm_topic,
            )
        self.output(StackOutput.ALERTS_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.ALERTS_DLQ_URL, subscription.dead_letters.queue.queue_url)
        self.output(StackOutput.DELIVERIES_QUEUE_URL, deliveries.queue.queue_url)
        self.output(StackOutput.DELIVERIES_DLQ_URL, deliveries.dead_letters.queue.queue_url)
