"""From the outbox to the bus: after a commit by the function that committed, every minute by the relay."""

from __future__ import annotations

from typing import Final

from signalbox.signals.ports import EventPublisher, Outbox, PartlyPublishedError

BATCH: Final = 100


def publish_pending(*, outbox: Outbox, publisher: EventPublisher) -> int:
    """Publish until the outbox is empty; return how many.

    An event that the bus refuses stays, and those behind it go on: what is left raises PartlyPublishedError at the end, once
    nothing more gets through. Any other error of the bus leaves the batch unpublished.
    """
    published = 0
    while True:
        try:
            with outbox.claim(BATCH) as events:
                if events:
                    publisher.publish(events)
        except PartlyPublishedError as error:
            published += len(error.published)
            if not error.published:
                raise
            continue
        published += len(events)
        if len(events) < BATCH:
            return published
