"""The deployed compact_candles: the ledger's days become files in the bucket, and a cycle's features follow from them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from local.cli.features.verification import read_bars, signals_of
from local.cli.ledger import connection_source
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.series import LakeSeries
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.contracts import Function, StackOutput
from signalbox.market.candles import Symbol
from signalbox.market.lake import DayKey, SeriesKey
from signalbox.signals.verification import verify_signals
from tests.e2e.conftest import Market

pytestmark = pytest.mark.e2e

VENUE = "coinbase"


def test_a_night_compacts_the_ledger_and_the_lake_explains_its_signals(market: Market) -> None:
    at = market.cycle()
    market.quiet()
    cloud = market.cloud
    day = DayKey(SeriesKey(VENUE, cloud.symbols[0]), at.date())
    night = day.end + timedelta(minutes=20)
    schedule = cloud.schedule_of(Function.COMPACT_CANDLES)
    firing = cloud.clock.fire(schedule, night)
    assert firing.error is None
    assert firing.answer["days"] >= 2 * len(cloud.symbols)
    assert firing.answer["left"] == 0
    assert cloud.clock.fire(schedule, night).answer["changed"] == 0

    lake = Lake(S3Store(cloud.emulator.client("s3"), cloud.outputs[StackOutput.MARKET_DATA_BUCKET]))
    with connection_source(cloud.postgres.dsn, cloud.settings, name="test") as source:
        signals = [s for s in signals_of(LedgerReader(source), at.date()) if s.decided_at == at]  # others met faults
        with PostgresLedger(source).transaction() as tx:
            ledger = {symbol: tx.bars(VENUE, symbol, at, 10_000) for symbol in cloud.symbols}
    for symbol, bars in ledger.items():
        stored = lake.read(SeriesKey(VENUE, symbol)).bars
        assert np.array_equal(stored.open_time_ms, bars.open_time_ms)
        assert np.array_equal(stored.close, bars.close)

    def series(symbol: Symbol) -> LakeSeries:
        key = SeriesKey(VENUE, symbol)
        return LakeSeries(symbol, lake, key, lake.days(key))

    found = verify_signals(signals, read_bars(signals, series))
    assert {one.signal.symbol for one in found} == set(cloud.symbols)
    assert [one.mismatches for one in found if not one.agrees] == []
