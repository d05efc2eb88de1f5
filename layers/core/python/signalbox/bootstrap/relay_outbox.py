"""relay_outbox, composed: the outbox and the bus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import LedgerSettings
from signalbox.contracts import Function, emitted_by
from signalbox.signals.publishing import publish_pending


def compose(settings: LedgerSettings | None = None) -> Callable[[], tuple[datetime | None, int]]:
    """Return the function that relays; it gives the oldest event it found waiting and how many it published."""
    found = settings or LedgerSettings.read()
    outbox = PostgresOutbox(connect_ledger(found, application="relay_outbox"), emitted_by(Function.RELAY_OUTBOX))
    bus = EventBridgeBus(boto3.client("events"), found.event_bus_name)

    def relay() -> tuple[datetime | None, int]:
        oldest = outbox.oldest_unpublished()
        return oldest, publish_pending(outbox=outbox, publisher=bus)

    return relay
