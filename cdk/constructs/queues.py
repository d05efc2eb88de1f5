"""Queues: encrypted, TLS only. A dead-letter queue keeps messages as long as SQS allows; the first one sets off its alarm."""

from __future__ import annotations

from aws_cdk import Duration, aws_sns, aws_sqs
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm


class DeadLetterQueue(Construct):
    """The queue for messages that could not be handled."""

    def __init__(self, scope: Construct, construct_id: str, *, alarm_topic: aws_sns.ITopic, fifo: bool = False) -> None:
        super().__init__(scope, construct_id)
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            fifo=True if fifo else None,  # an explicit false is refused for a standard queue
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        TopicAlarm(
            self,
            "Depth",
            metric=self.queue.metric_approximate_number_of_messages_visible(period=Duration.minutes(1), statistic="Maximum"),
            threshold=1,
            description=f"{self.node.path}: a message could not be handled and waits for an operator",
            topic=alarm_topic,
        )
