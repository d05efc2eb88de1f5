"""compact_candles on a real PostgreSQL: numeric to text and back without a digit lost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.postgres.candle_days import PostgresCandleDays
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.market.compaction import compact
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, ETH, SOL, candle, candles, minutes

pytestmark = pytest.mark.integration

MONTH = datetime(2024, 3, 1, tzinfo=UTC)  # the days lie across the end of a month
AT = MONTH + timedelta(days=2, minutes=20)
VENUE = "coinbase"


@pytest.fixture
def days(source: ConnectionSource) -> PostgresCandleDays:
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, MONTH + timedelta(days=2, minutes=30), 4000, missing=(MONTH + minutes(7),)))
        tx.add_candles(VENUE, [candle(ETH, MONTH - timedelta(days=40)), candle(ETH, MONTH, "0.000000012345678901234567890123")])
        tx.add_candles("kraken", candles(SOL, MONTH, 10))
    return PostgresCandleDays(source)


def test_days_are_those_with_a_candle_before_the_instant(days: PostgresCandleDays) -> None:
    midnight = MONTH + timedelta(days=2)
    assert days.days(VENUE, BTC, midnight) == [date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 2)]
    assert days.days(VENUE, ETH, midnight) == [date(2024, 1, 21), date(2024, 3, 1)]
    assert days.days(VENUE, SOL, midnight) == []


def test_the_lake_holds_what_the_ledger_holds(days: PostgresCandleDays, source: ConnectionSource, tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    report = compact(AT, (VENUE,), (BTC, ETH, SOL), ledger=days, lake=lake)
    assert {(d.key.series.symbol, d.key.day): d.missing for d in report.days if d.key.series.symbol == BTC}[
        BTC, date(2024, 3, 1)
    ] == 1
    tiny = lake.stored(DayKey(SeriesKey(VENUE, ETH), MONTH.date())).candles
    assert [c.close for c in tiny] == [Decimal("0.000000012345678901234567890123")]
    stored = lake.read(SeriesKey(VENUE, BTC)).bars
    with PostgresLedger(source).transaction() as tx:
        ledger = tx.bars(VENUE, BTC, MONTH + timedelta(days=2), 10_000)
    assert np.array_equal(stored.open_time_ms, ledger.open_time_ms)
    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(stored, name), getattr(ledger, name)), name


def test_a_repeated_run_and_a_late_candle(days: PostgresCandleDays, source: ConnectionSource, tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    compact(AT, (VENUE,), (BTC,), ledger=days, lake=lake)
    assert not any(d.changed for d in compact(AT, (VENUE,), (BTC,), ledger=days, lake=lake).days)
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles(VENUE, [candle(BTC, MONTH + minutes(7))])
    changed = [d for d in compact(AT, (VENUE,), (BTC,), ledger=days, lake=lake).days if d.changed]
    assert [(d.key.day, d.missing) for d in changed] == [(date(2024, 3, 1), 0)]
