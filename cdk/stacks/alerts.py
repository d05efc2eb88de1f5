"""Sends alerts to Telegram. They keep their order within each chat, and a slow chat delays no other."""

from __future__ import annotations

from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import GRACE_SECONDS, EventSubscription, FunctionQueue, QueueDelivery, events_of
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import Env, EventType, Function, Metric, StackOutput

_ALWAYS = (
    EventType.MARKET_DATA_STALE,
    EventType.MARKET_DATA_RECOVERED,
    EventType.MODEL_REFUSED,
    EventType.MODEL_REGISTERED,
    EventType.MODEL_NOT_QUALIFIED,
    EventType.MODEL_EVALUATED,
    EventType.TRAINING_FAILED,
    EventType.EVALUATION_FAILED,
    EventType.SIGNAL_RESOLVED,
    EventType.DEPLOYMENT_CHANGED,
    EventType.ACCOUNT_SUMMARISED,
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


_ALARMS = (
    (Metric.ALERTS_UNDELIVERABLE, "an alert reached nobody: no chat, a blocked bot or an unknown chat; the log has its text"),
    (
        Metric.CHAT_SETTINGS_REFUSED,
        "a chat's settings in the Telegram secret are wrong, so it gets everything; the log says what",
    ),
    (Metric.CHATS_MOVED, "a chat has a new id; alerts go there already: put the new id, which is in the log, into the secret"),
)


class AlertsStack(FunctionStack):
    """send_alerts with two queues: incoming events, and the alerts made from them, with one message group per chat."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "alerts", description="alerts through Telegram")
        context, data, messaging = platform.context, platform.data, platform.messaging
        stage, telegram = context.stage, platform.secrets.telegram
        send = SignalboxFunction(
            self,
            "SendAlerts",
            name=Function.SEND_ALERTS,
            context=context,
            layers=(LayerName.CORE, LayerName.CHARTS),
            bus=messaging.bus,
            environment={
                Env.TELEGRAM_SECRET_ARN: telegram.secret_arn,
                Env.TELEGRAM_URL: stage.endpoints.telegram_url if stage.endpoints else "",
                Env.IDEMPOTENCY_TABLE: data.deliveries.table_name,
                Env.ALARM_TOPIC_ARN: context.alarm_topic.topic_arn,
                Env.MPLCONFIGDIR: "/tmp/matplotlib",  # noqa: S108 - the one folder that a function may write
            },
            timeout_seconds=60,
            memory_megabytes=1024,  # a chart takes CPU, which comes with memory (docs/alerts.md has the figures)
        )
        send.allow(["secretsmanager:GetSecretValue"], telegram.secret_arn)
        send.allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"], data.deliveries.table_arn)
        send.allow(["sns:Publish"], context.alarm_topic.topic_arn)
        if context.alarm_topic.master_key is not None:  # the topic is encrypted
            send.allow(["kms:Decrypt", "kms:GenerateDataKey"], context.alarm_topic.master_key.key_arn)
        subscription = EventSubscription(
            self,
            "Alerts",
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            patterns={
                "IssuedSignals": events_of(EventType.SIGNAL_GENERATED, detail={"issued": [True], "late": [False]}),
                "Conditions": events_of(*_ALWAYS),
                "Accounts": events_of(*_ACCOUNTS),
            },
            function=send,
            alarm_topic=context.alarm_topic,
            group="alerts",
            delivery=QueueDelivery(
                # one put back holds its group only as long as asked; a batch mate would hold it for the whole timeout
                batch_size=1,
                maximum_receives=10,  # the function waits longer from try to try; together about 40 minutes
            ),
        )
        deliveries = FunctionQueue(
            self,
            "Deliveries",
            function=send,
            alarm_topic=context.alarm_topic,
            fifo=True,  # one message group per chat, and one for its critical alerts
            delivery=QueueDelivery(
                batch_size=10,  # what waits together comes in one message
                maximum_receives=100,  # one put back counts a delivery of those behind it; an alert ends by its expiry
                visibility_seconds=send.timeout_seconds + GRACE_SECONDS,
            ),
        )
        send.allow(["sqs:SendMessage"], deliveries.queue.queue_arn)
        send.function.add_environment(Env.DELIVERIES_QUEUE_URL.value, deliveries.queue.queue_url)
        for metric, description in _ALARMS:
            self.alarm_at(metric, description)
        self.output(StackOutput.ALERTS_QUEUE_URL, subscription.queue.queue_url)
        self.output(StackOutput.ALERTS_DLQ_URL, subscription.dead_letters.queue.queue_url)
        self.output(StackOutput.DELIVERIES_QUEUE_URL, deliveries.queue.queue_url)
        self.output(StackOutput.DELIVERIES_DLQ_URL, deliveries.dead_letters.queue.queue_url)
