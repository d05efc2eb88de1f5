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
from signalbox.signals.ports import PartlyPublishedError
from signalbox.signals.publishing import publish_pending


@dataclass(frozen=True, slots=True)
class RelayRun:
    """The result of one run. refused: an error that the caller raises after it has counted the published events."""

    oldest: datetime | None = None  # time of the oldest event that waited when the run began
    published: int = 0
    too_large: tuple[str, ...] = ()  # event_ids of events that are too large for the bus
    refused: PartlyPublishedError | None = None


def compose(settings: LedgerSettings | None = None) -> Callable[[], RelayRun]:
    """Return the function that publishes the waiting events."""
    found = settings or LedgerSettings.read()
    outbox = PostgresOutbox(connect_ledger(found, application="relay_outbox"), emitted_by(Function.RELAY_OUTBOX))
    bus = EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name)

    def relay() -> RelayRun:
        oldest, too_large = outbox.oldest_unpublished(), tuple(outbox.too_large())
        try:
            return RelayRun(oldest, publish_pending(outbox=outbox, publisher=bus), too_large)
        except PartlyPublishedError as error:
            return RelayRun(oldest, len(error.published), too_large, error)

    return relay
