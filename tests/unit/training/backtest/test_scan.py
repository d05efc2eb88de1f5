"""The minutes a backtest must watch: those at which other limits begin to count are among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from signalbox.trading.bars import apply_bars
from tests.unit.trading.market import BTC, flat
from tests.unit.trading.test_midnight import MIDNIGHT, fallen
from training.backtest.scan import levels_of


def test_next_change_of_the_levels_is_the_window_before_midnight_and_then_midnight() -> None:
    begin = MIDNIGHT - timedelta(minutes=45)
    state, _ = fallen(begin)
    levels = levels_of(state)
    assert levels.day_ends == MIDNIGHT - timedelta(minutes=30)
    assert levels.highest_pending == 97_500  # today's alert; tomorrow's does not count yet
    state, _ = apply_bars(state, {BTC: flat(BTC, begin, 15, "67190")}, MIDNIGHT - timedelta(minutes=30))
    levels = levels_of(state)
    assert levels.day_ends == MIDNIGHT == datetime(2024, 3, 1, 23, tzinfo=UTC)
    assert round(levels.highest_pending) == 101_057  # tomorrow's: 2 500 below the balance of 103 557
