"""relay_outbox, composed: the outbox and the bus."""

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
    """What a run found and did. refused: raised by whoever counts it, once it is counted."""

    oldest: datetime | None = None  # event that waited when it began
    published: int = 0
    too_large: tuple[str, ...] = ()  # event_ids that the bus never takes
    refused: PartlyPublishedError | None = None


def compose(settings: LedgerSettings | None = None) -> Callable[[], RelayRun]:
    """Return the function that relays."""
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
