"""From the outbox to the bus: after a commit by the function that committed, every minute by the relay."""

from __future__ import annotations

from typing import Final

from signalbox.signals.ports import EventPublisher, Outbox

BATCH: Final = 100


def publish_pending(*, outbox: Outbox, publisher: EventPublisher) -> int:
    """Publish until the outbox is empty or the bus refuses (raises, and the batch stays unpublished); return how many."""
    published = 0
    while True:
        with outbox.claim(BATCH) as events:
            if events:
                publisher.publish(events)
        published += len(events)
        if len(events) < BATCH:
            return published
