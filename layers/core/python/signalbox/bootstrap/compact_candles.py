"""Composes compact_candles: the ledger's candles and the lake in the market-data bucket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.postgres.candle_days import PostgresCandleDays
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import CompactCandlesSettings
from signalbox.market.compaction import CompactionReport, compact


def compose(settings: CompactCandlesSettings | None = None) -> Callable[[datetime], CompactionReport]:
    """Return the function that compacts the days that had ended at a scheduled instant."""
    found = settings or CompactCandlesSettings.read()
    return partial(
        compact,
        venues=(found.venue, *found.fallback_venues),
        symbols=found.symbols,
        ledger=PostgresCandleDays(connect_ledger(found, application="compact_candles")),
        lake=Lake(S3Store(boto3.client("s3", config=QUICK), found.market_data_bucket)),
    )
