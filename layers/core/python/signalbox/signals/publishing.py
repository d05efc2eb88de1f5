"""From the outbox to the bus: after a commit by the function that committed, every minute by the relay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from signalbox.signals.ports import EventPublisher, Outbox, OutboxEvent, PartlyPublishedError

BATCH: Final = 100


def publish_pending(*, outbox: Outbox, publisher: EventPublisher) -> int:
    """Publish what is in the outbox, each event tried once, oldest first; return how many.

    An event that the bus refuses stays, and those behind it go on, however many there are: the first refusal is raised as
    PartlyPublishedError at the end, with what was published. Any other error of the bus leaves the batch unpublished.
    """
    after = left = 0
    refused: PartlyPublishedError | None = None
    gone: list[OutboxEvent] = []
    while True:
        events: Sequence[OutboxEvent] = ()
        try:
            with outbox.claim(BATCH, after) as events:
                if events:
                    publisher.publish(events)
            gone += events
        except PartlyPublishedError as error:
            gone += error.published
            left += len(events) - len(error.published)
            refused = refused or error
        if len(events) < BATCH:
            break
        after = events[-1].sequence
    if refused is not None:
        raise PartlyPublishedError(f"{left} events are left: {refused}", gone) from refused
    return len(gone)
