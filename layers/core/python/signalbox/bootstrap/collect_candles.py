"""Composes collect_candles: a ccxt venue, cursors in DynamoDB, the bus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import boto3

from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.cursors import DynamoCursorStore
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.bootstrap.settings import CollectCandlesSettings
from signalbox.market.collection import CollectionReport, LookAgain, collect


def compose(settings: CollectCandlesSettings | None = None) -> Callable[[datetime], CollectionReport]:
    """Return the function that runs the collection of a scheduled instant."""
    found = settings or CollectCandlesSettings.read()
    return partial(
        collect,
        symbols=found.symbols,
        source=CcxtCandleSource(found.venue, url=found.venue_url),
        cursors=DynamoCursorStore(boto3.client("dynamodb", config=QUICK), found.cursor_table),
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name),
        again=LookAgain(found.look_again_seconds),
    )
