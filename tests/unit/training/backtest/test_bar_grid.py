"""The exact candles of a grid: those that the steps of an account receive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from signalbox.market.candles import MINUTE_MS, Bars, Candle, MarketDataError
from tests.unit.training.backtest.random_walks import BEGIN, BTC, SYMBOLS, walk_bars
from training.backtest.bar_grid import BarGrid, exact_price


def checked(bars: Bars, at: int, grid: BarGrid) -> Candle:
    """Return a bar as a candle that checks what it was given."""
    minute = (int(bars.open_time_ms[at]) - grid.first_ms) // MINUTE_MS
    numbers = (float(column[at]) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume))
    return Candle(bars.symbol, grid.instant(minute), *(exact_price(number) for number in numbers))


@pytest.mark.parametrize("seed", range(3))
def test_candles_of_a_grid_equal_checked_candles_of_its_bars(seed: int) -> None:
    grid = BarGrid.of(walk_bars(seed, 120, minute_bps=8.0, gaps=[(1, 30, 7), (3, 60, 2)]))
    assert grid.is_sound
    given = grid.candles(0, grid.minutes)
    assert given == {bars.symbol: [checked(bars, at, grid) for at in range(len(bars))] for bars in grid.bars}
    assert set(given) == set(SYMBOLS)


@pytest.mark.parametrize(("column", "value"), [("low", 1e9), ("high", 1.0), ("open", 1e19), ("volume", -1.0), ("close", 1e-37)])
def test_a_bar_that_no_candle_may_be_is_refused_as_a_candle_refuses_it(column: str, value: float) -> None:
    bars = walk_bars(1, 40, minute_bps=8.0)
    spoiled = np.array(getattr(bars[0], column))
    spoiled[20] = value
    changed: dict[str, Any] = {column: spoiled}
    grid = BarGrid.of([replace(bars[0], **changed), *bars[1:]])
    assert not grid.is_sound
    assert grid.candles(0, 20)[BTC]
    with pytest.raises(MarketDataError):
        grid.candles(20, 21)


def test_an_instant_is_counted_in_whole_minutes_before_and_after_the_first_bar() -> None:
    grid = BarGrid.of(walk_bars(1, 40, minute_bps=8.0))
    for minute in (-1441, -7, 0, 3, 39, 10_000):
        at = grid.instant(minute)
        assert grid.minute(at) == minute
        assert grid.minute(at.replace(second=59, microsecond=999_999)) == minute
    assert grid.minute(BEGIN) == 0
