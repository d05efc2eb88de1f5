"""Batch, stream and restart on days of a real market, where recorded candles are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from local.settings import load_settings
from signalbox.adapters.lake.series import find_series
from signalbox.features import SCHEMAS, FeatureSchema, FeatureStream, compute_features
from signalbox.market.candles import Bars, Symbol
from tests.unit.features.test_stream import replayed

HALT = datetime(2023, 3, 24, 12, 40, tzinfo=UTC)  # the venue was away for 80 minutes


@pytest.fixture(scope="module")
def market() -> tuple[Bars, Bars]:
    folder = load_settings().recorded_candles
    if folder is None:
        pytest.skip("no recorded candles: set SIGNALBOX_DATA")
    period = (HALT - timedelta(days=2.5), HALT + timedelta(days=1))
    bars = {one.symbol: one.bars(*period) for one in find_series(folder)}
    return bars[Symbol("SOL-USD")], bars[Symbol("BTC-USD")]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_batch_equals_the_stream_over_an_exchange_halt(schema: FeatureSchema, market: tuple[Bars, Bars]) -> None:
    sol, btc = market
    batch = compute_features(schema, sol, reference=btc)
    stream = replayed(schema, sol, btc, restarts=frozenset({1_500, 3_601, 4_000}))
    np.testing.assert_array_equal(stream.values, batch.values)
    np.testing.assert_array_equal(stream.is_complete, batch.is_complete)
    after = int(np.searchsorted(sol.open_time_ms, int(HALT.timestamp() * 1000)))
    assert batch.is_complete[after - 1]
    assert not batch.is_complete[after : after + 59].any()
    assert batch.is_complete[after + 60 :].all()
    assert batch.gap_fraction[after + 100] == pytest.approx(80 / 1_520)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_stream_that_starts_today_joins_the_one_that_ran_for_days(schema: FeatureSchema, market: tuple[Bars, Bars]) -> None:
    sol, btc = market
    row = FeatureStream(schema).replay(sol.last(schema.history_bars), btc if schema.reference else None)
    batch = compute_features(schema, sol, reference=btc)
    assert row is not None
    spread = np.nanstd(batch.values, axis=0)
    np.testing.assert_array_less(
        np.abs(row.values - batch.values[-1]), 1e-9 * np.maximum(np.abs(row.values), 1e-3 * spread) + 1e-12
    )
