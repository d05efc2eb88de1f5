"""The simulated market: always valid, the same for the same seed, whatever window is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.errors import DataError
from local.market.feed import CachedFeed
from local.market.simulator import ASSETS, SimulatedSource
from signalbox.market.candles import MINUTE_MS, Symbol, to_ms
from tests.examples import examples

SYMBOLS = [Symbol(s) for s in ASSETS]
starts = st.integers(28_401_120, 31_557_600).map(lambda minute: datetime.fromtimestamp(minute * 60, UTC))
seeds = st.integers(0, 5)
SOURCES = {seed: SimulatedSource(seed) for seed in range(6)}


@settings(max_examples=examples(25))
@given(seeds, starts, st.sampled_from(SYMBOLS), st.integers(1, 3000))
def test_bars_are_complete_positive_and_consistent(seed: int, start: datetime, symbol: Symbol, minutes: int) -> None:
    bars = SOURCES[seed].bars(symbol, start, start + timedelta(minutes=minutes))
    assert bars.open_time_ms.tolist() == list(range(to_ms(start), to_ms(start) + minutes * MINUTE_MS, MINUTE_MS))
    assert (bars.low > 0).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.volume >= 0).all()
    assert np.isfinite(bars.high).all()


@settings(max_examples=examples(15))
@given(seeds, starts, st.integers(2, 2000))
def test_window_is_the_same_in_one_piece_or_two(seed: int, start: datetime, minutes: int) -> None:
    source, cut, end = SOURCES[seed], start + timedelta(minutes=minutes // 2), start + timedelta(minutes=minutes)
    whole = source.bars(SYMBOLS[0], start, end)
    halves = np.concatenate([source.bars(SYMBOLS[0], start, cut).close, SimulatedSource(seed).bars(SYMBOLS[0], cut, end).close])
    assert whole.close.tolist() == halves.tolist()


def test_next_day_opens_where_the_last_one_closed() -> None:
    midnight = datetime(2026, 5, 5, tzinfo=UTC)
    bars = SOURCES[1].bars(SYMBOLS[1], midnight - timedelta(minutes=1), midnight + timedelta(minutes=1))
    assert bars.open[1] == pytest.approx(bars.close[0], abs=0.011)


def test_returns_move_together_and_volatility_clusters() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    closes = [SOURCES[0].bars(s, start, start + timedelta(days=10)).close for s in SYMBOLS]
    returns = np.diff(np.log(np.array(closes)))
    assert np.corrcoef(returns)[0, 1] > 0.5
    size = np.abs(returns[0])
    assert np.corrcoef(size[:-1], size[1:])[0, 1] > 0.05
    assert returns[0].std() * np.sqrt(1440) == pytest.approx(ASSETS["BTC-USD"].daily_volatility, rel=0.6)


def test_unknown_symbol_and_window_outside_are_refused_with_what_there_is() -> None:
    with pytest.raises(DataError, match="BTC-USD"):
        SOURCES[0].coverage([Symbol("DOGE-USD")])
    with pytest.raises(DataError, match="2024-01-01"):
        SOURCES[0].bars(SYMBOLS[0], datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))


def test_feed_that_grows_equals_the_source() -> None:
    source, start = SOURCES[2], datetime(2026, 2, 2, 12, 0, tzinfo=UTC)
    feed = CachedFeed(source)
    for minutes in (10, 11, 30, 5, 31):
        end = start + timedelta(minutes=minutes)
        assert feed.bars(SYMBOLS[0], start, end).close.tolist() == source.bars(SYMBOLS[0], start, end).close.tolist()
    before = start - timedelta(hours=1)
    assert len(feed.bars(SYMBOLS[0], before, start)) == 60
