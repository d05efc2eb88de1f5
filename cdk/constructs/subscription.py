"""A subscription of the bus: rule → queue (with its dead letters) → function that answers which messages failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration, aws_events, aws_events_targets, aws_sns, aws_sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.queues import DeadLetterQueue

VISIBILITY_FACTOR: Final = 6  # times the function's timeout, as Lambda asks for, so that a message is not seen twice


class EventSubscription(Construct):
    """Events of the bus that match one of `patterns`, delivered to one function.

    With `group`, the queue is FIFO and every message is of that group: the function sees them one after another. With
    `groups`, by the name of a pattern, each pattern has its own: one that waits holds up no other.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bus: aws_events.IEventBus,
        patterns: Sequence[tuple[str, aws_events.EventPattern]],
        function: SignalboxFunction,
        alarm_topic: aws_sns.ITopic,
        group: str | None = None,
        groups: Mapping[str, str] | None = None,
        batch_size: int = 10,
        maximum_receives: int = 5,
        maximum_concurrency: int | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        group_of = groups or {name: group for name, _ in patterns if group is not None}
        fifo = bool(group_of)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", alarm_topic=alarm_topic, fifo=fifo)
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            fifo=True if fifo else None,
            content_based_deduplication=True if fifo else None,  # the bus gives no deduplication id
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(VISIBILITY_FACTOR * function.timeout_seconds),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=self.dead_letters.queue, max_receive_count=maximum_receives),
        )
        for name, pattern in patterns:
            aws_events.Rule(
                self,
                name,
                event_bus=bus,
                event_pattern=pattern,
                targets=[aws_events_targets.SqsQueue(self.queue, message_group_id=group_of.get(name))],
            )
        function.function.add_event_source(
            SqsEventSource(
                self.queue, batch_size=batch_size, report_batch_item_failures=True, max_concurrency=maximum_concurrency
            )
        )
