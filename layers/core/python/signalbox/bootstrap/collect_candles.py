"""Composes collect_candles: ccxt venues, cursors in DynamoDB, the bus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.cursors import DynamoCursorStore, DynamoStandingStore
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.bootstrap.settings import CollectCandlesSettings
from signalbox.market.collection import CollectionReport, LookAgain, collect
from signalbox.market.fallback import CandleVenues, collect_with_fallback

QUICK_SECONDS: Final = 3.0  # of a request that asks whether a venue is back, or keeps a fallback current


def compose(settings: CollectCandlesSettings | None = None) -> Callable[[datetime], CollectionReport]:
    """Return the function that runs the collection of a scheduled instant."""
    found = settings or CollectCandlesSettings.read()
    dynamodb = boto3.client("dynamodb", config=QUICK)
    cursors = DynamoCursorStore(dynamodb, found.cursor_table)
    bus = EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name)
    again = LookAgain(found.look_again_seconds)
    own = CcxtCandleSource(found.venue, url=found.venue_url)
    if not found.fallback_venues:
        return partial(collect, symbols=found.symbols, source=own, cursors=cursors, bus=bus, again=again)
    return partial(
        collect_with_fallback,
        symbols=found.symbols,
        venues=CandleVenues(
            own,
            tuple(CcxtCandleSource(venue, url=found.venue_url) for venue in found.fallback_venues),
            {venue: _quick(venue, found.venue_url) for venue in (found.venue, *found.fallback_venues)},
        ),
        standings=DynamoStandingStore(dynamodb, found.cursor_table),
        cursors=cursors,
        bus=bus,
        again=again,
    )


def _quick(venue: str, url: str) -> CcxtCandleSource:
    return CcxtCandleSource(venue, url=url, timeout_seconds=QUICK_SECONDS, attempts=1, deadline_seconds=2 * QUICK_SECONDS)
