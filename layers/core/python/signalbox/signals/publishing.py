"""Publishes events of the outbox: the function that committed them does so at once, the relay every minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from signalbox.signals.ports import EventPublisher, Outbox, OutboxEvent, PartlyPublishedError

BATCH: Final = 100


def publish_pending(*, outbox: Outbox, publisher: EventPublisher) -> int:
    """Publish the events in the outbox, oldest first, trying each once; return how many were published.

    An event that the bus refuses stays in the outbox and does not block those behind it. At the end PartlyPublishedError is
    raised, with the first refusal and the published events. Any other error of the bus leaves its batch unpublished.
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
        raise PartlyPublishedError(f"{left} events were not published: {refused}", gone) from refused
    return len(gone)
