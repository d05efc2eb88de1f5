"""Composes relay_outbox: the outbox and the table of outgoing events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.adapters.aws.outgoing_events import OutgoingEvents
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import LedgerSettings
from signalbox.contracts import Function, emitted_by
from signalbox.signals.publishing import publish_pending

LATE_SECONDS: Final = 60.0  # forward_events needs one or two; what is on the table longer is sent again


@dataclass(frozen=True, slots=True)
class Waiting:
    """The events that are unpublished when a run begins: in the outbox, or in the table on their way to the bus."""

    oldest: datetime | None = None
    too_large: tuple[str, ...] = ()  # event_ids that the bus never takes


@dataclass(frozen=True, slots=True)
class OutboxRelay:
    """Two steps, so that the waiting events are counted before the bus is contacted.

    publish: returns how many went, raises PartlyPublishedError for those that did not, and the errors of ledger and bus.
    """

    read_waiting: Callable[[], Waiting]
    publish: Callable[[], int]


def compose(settings: LedgerSettings | None = None) -> OutboxRelay:
    """Return the relay."""
    found = settings or LedgerSettings.read()
    outbox = PostgresOutbox(connect_ledger(found, application="relay_outbox"), emitted_by(Function.RELAY_OUTBOX))
    return relay_of(outbox, outgoing_events(found), time.time)


def relay_of(outbox: PostgresOutbox, table: OutgoingEvents, clock: Callable[[], float]) -> OutboxRelay:
    """Return the relay of an outbox and the table that its events go through. clock: seconds since the epoch."""

    def read_waiting() -> Waiting:
        ages = [outbox.oldest_unpublished(), *(one.created_at for one in table.waiting()[:1])]
        return Waiting(min((at for at in ages if at is not None), default=None), tuple(outbox.too_large()))

    def publish() -> int:
        late = [one for one in table.waiting() if one.put_at <= clock() - LATE_SECONDS]
        again = table.send_again(late)
        return again + publish_pending(outbox=outbox, publisher=table)

    return OutboxRelay(read_waiting, publish)
