"""Composes relay_outbox: the outbox and the bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import LedgerSettings
from signalbox.contracts import Function, emitted_by
from signalbox.signals.publishing import publish_pending


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the outbox when a run begins."""

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
    bus = EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name)

    return OutboxRelay(
        read_waiting=lambda: Waiting(outbox.oldest_unpublished(), tuple(outbox.too_large())),
        publish=lambda: publish_pending(outbox=outbox, publisher=bus),
    )
