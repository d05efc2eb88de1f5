"""A function's queue with its dead letters, and a bus subscription: rule → queue → function, which reports failed messages.

A FIFO queue shows no message of a group while another one is being handled or waits for a retry. So the time that a message stays
hidden after a crash (`visibility_seconds`) is the time that its group stands still. Where a group is an account, that is a little
more than the function's timeout; more deliveries replace the factor of six that Lambda's manual recommends against throttling
(decision 0069). docs/live-trading.md adds up how long an exit may wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_cdk import Duration, aws_events, aws_events_targets, aws_sns, aws_sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.queues import DeadLetterQueue
from signalbox.contracts import EVENT_SOURCE, EventType

VISIBILITY_FACTOR: Final = 6  # times the function's timeout, as Lambda recommends, so that a message is not delivered twice
GRACE_SECONDS: Final = 15  # above the function's timeout, where a hidden message delays an account
PATIENT_RECEIVES: Final = 20  # deliveries before a message is a dead letter, where it is shown again this early


def events_of(*kinds: EventType, detail: Mapping[str, Any] | None = None) -> aws_events.EventPattern:
    """Return the pattern of our events of these types. detail: a pattern that their content must match too."""
    return aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[kind.value for kind in kinds], detail=detail)


@dataclass(frozen=True, slots=True)
class QueueDelivery:
    """The settings of delivery from a queue to its function.

    visibility_seconds: None means VISIBILITY_FACTOR times the function's timeout. delay_seconds: initial delay of each message.
    """

    batch_size: int = 10
    maximum_receives: int = 5
    maximum_concurrency: int | None = None
    visibility_seconds: int | None = None
    delay_seconds: int = 0

    @classmethod
    def patient(cls, function: SignalboxFunction, *, batch_size: int = 1, delay_seconds: int = 0) -> QueueDelivery:
        """Return settings that redeliver a message soon after a crash, and often before it becomes a dead letter."""
        return cls(
            batch_size=batch_size,
            maximum_receives=PATIENT_RECEIVES,
            visibility_seconds=function.timeout_seconds + GRACE_SECONDS,
            delay_seconds=delay_seconds,
        )


class FunctionQueue(Construct):
    """A queue that feeds one function with one batch per invocation. The function returns the messages to deliver again."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: SignalboxFunction,
        alarm_topic: aws_sns.ITopic,
        fifo: bool = False,
        delivery: QueueDelivery = QueueDelivery(),
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", alarm_topic=alarm_topic, fifo=fifo)
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            fifo=True if fifo else None,
            content_based_deduplication=True if fifo else None,  # the bus gives no deduplication id
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            delivery_delay=Duration.seconds(delivery.delay_seconds) if delivery.delay_seconds else None,
            visibility_timeout=Duration.seconds(delivery.visibility_seconds or VISIBILITY_FACTOR * function.timeout_seconds),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=self.dead_letters.queue, max_receive_count=delivery.maximum_receives),
        )
        function.live.add_event_source(
            SqsEventSource(
                self.queue,
                batch_size=delivery.batch_size,
                report_batch_item_failures=True,
                max_concurrency=delivery.maximum_concurrency,
            )
        )


class AccountQueue(FunctionQueue):
    """A FIFO queue with one message group per account, so that a waiting or crashing account does not delay the others."""

    def __init__(self, scope: Construct, construct_id: str, *, function: SignalboxFunction, alarm_topic: aws_sns.ITopic) -> None:
        super().__init__(
            scope,
            construct_id,
            function=function,
            alarm_topic=alarm_topic,
            fifo=True,
            delivery=QueueDelivery.patient(function),  # one at a time: one given back counts no delivery of those behind
        )


def subscribe(
    scope: Construct,
    *,
    bus: aws_events.IEventBus,
    queue: aws_sqs.IQueue,
    patterns: Mapping[str, aws_events.EventPattern],
    undelivered: aws_sqs.IQueue,
    group: str | None = None,
) -> None:
    """Send events that match one of `patterns` (by rule name) to a queue. In a FIFO queue all of them are in the group `group`.

    undelivered: the queue for events that could not be delivered for a day, or for lack of permission.

    A rule has a constant group: AWS documents no way to take it from the event, and an unresolved value would put all into one
    group.
    """
    for name, pattern in patterns.items():
        rule = aws_events.Rule(
            scope,
            name,
            event_bus=bus,
            event_pattern=pattern,
            targets=[aws_events_targets.SqsQueue(queue, message_group_id=group)],
        )
        # not by the target's own option, which would write the rule into the policy of a queue that is deployed before it
        resource = cast("aws_events.CfnRule", rule.node.default_child)
        resource.add_property_override("Targets.0.DeadLetterConfig", {"Arn": undelivered.queue_arn})


class EventSubscription(FunctionQueue):
    """Delivers the bus events that match one of `patterns` to one function; with `group`, one after the other."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bus: aws_events.IEventBus,
        patterns: Mapping[str, aws_events.EventPattern],
        function: SignalboxFunction,
        alarm_topic: aws_sns.ITopic,
        undelivered: aws_sqs.IQueue,
        group: str | None = None,
        delivery: QueueDelivery = QueueDelivery(),
    ) -> None:
        fifo = group is not None
        super().__init__(scope, construct_id, function=function, alarm_topic=alarm_topic, fifo=fifo, delivery=delivery)
        subscribe(self, bus=bus, queue=self.queue, patterns=patterns, undelivered=undelivered, group=group)
