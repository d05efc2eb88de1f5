"""What is told of a run agrees with the run: money, months, the coin, start dates, and the reports that hold them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from tests.unit.training.backtest.random_walks import BOLD, TIGHT, WARM_UP, account, walk_bars, walk_signals
from training.backtest.bar_grid import BarGrid
from training.backtest.coin import side_return
from training.backtest.command import trades_table
from training.backtest.engine import BacktestEnding, Plan, run
from training.backtest.figures import drawdowns, figures_of
from training.backtest.starts import Attempt, attempting, judge_attempts, start_dates

DAY = 1_440
START = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_side_by_itself_earns_what_the_exact_trade_earned() -> None:
    grid = BarGrid.of(walk_bars(1, WARM_UP + 3 * DAY, minute_bps=15.0, gaps=[(0, 900, 3)], jump_every=613))
    found = run(grid, walk_signals(grid, 1, share=0.3), Plan(account("paper-100k", TIGHT), WARM_UP, grid.minutes))
    trades = found.record.trades
    assert {trade.leg.value for trade in trades} == {"TIMEOUT", "STOP_LOSS", "TAKE_PROFIT"}
    for trade in trades:
        mine = side_return(grid, trade, trade.side.sign, 60)
        exact = float(trade.realised / (trade.quantity * trade.entry_price))
        assert mine == pytest.approx(exact, abs=4e-4)  # ticks of a cent on a price of 100, twice; the stop's own rounding


def test_figures_add_up_to_the_money_of_the_run() -> None:
    grid = BarGrid.of(walk_bars(2, WARM_UP + 2 * DAY, minute_bps=8.0))
    signals = walk_signals(grid, 2, share=0.3)
    found = run(grid, signals, Plan(account("ftmo-2step-100k", BOLD), WARM_UP, grid.minutes))
    figures = figures_of(grid, signals, found, 60)
    closed = sum(float(trade.realised) for trade in found.record.trades)
    assert figures.whole.net == pytest.approx(closed)
    for parts in (figures.by_symbol, figures.by_side, figures.by_tier, figures.by_leg):
        assert sum(part.trades for part in parts.values()) == figures.whole.trades
        assert sum(part.net for part in parts.values()) == pytest.approx(figures.whole.net)
    assert np.prod([1 + month.change for month in figures.months]) - 1 == pytest.approx(figures.change)
    assert (
        figures.signals["issued"]
        == len(found.record.trades)
        + len(found.state.trades)
        + sum(figures.refused.values())
        + sum(count for code, count in figures.held_back.items() if code != "RATE")
        + found.signals_after
    )
    assert trades_table(found.record.trades).num_rows == figures.whole.trades


def test_drawdown_is_measured_from_the_highest_before_and_from_the_capital_at_first() -> None:
    assert drawdowns([Decimal(90), Decimal(120), Decimal(60)], Decimal(100)).tolist() == pytest.approx([0.1, 0.0, 0.5])


def test_attempts_in_processes_equal_runs_by_themselves() -> None:
    grid = BarGrid.of(walk_bars(3, WARM_UP + 4 * DAY, minute_bps=12.0))
    signals, of = walk_signals(grid, 3, share=0.4), account("ftmo-2step-100k", BOLD)
    dates = start_dates(grid.instant(WARM_UP), grid.instant(grid.minutes), 3)
    with attempting(grid, signals, of, dates, end=grid.minutes) as attempted:
        found = attempted(lambda _: None)
    alone = [
        Attempt.of(date, run(grid, signals, Plan(of, grid.minute(date), grid.minutes, stop_at_target=True))) for date in dates
    ]
    assert list(found) == alone
    assert len(judge_attempts(found, grid.instant(grid.minutes)).to_json()["attempts"]) == 3


def _attempt(day: int, ending: BacktestEnding, days: int = 20) -> Attempt:
    start = START + timedelta(days=day)
    return Attempt(start, ending, start + timedelta(days=days), None, 10, 0.1)


def test_undecided_attempts_count_for_nothing_and_few_that_fail_prove_little() -> None:
    failed = [_attempt(day, BacktestEnding.EXHAUSTED) for day in range(0, 60, 5)]
    found = judge_attempts([*failed, _attempt(61, BacktestEnding.END_OF_DATA)], START + timedelta(days=80))
    assert found.probability is not None
    assert (found.probability.value, found.probability.low, found.probability.n) == (0.0, 0.0, 12)
    assert found.independent_runs == pytest.approx(4.0)  # eighty days of runs of twenty, however many overlap
    assert found.probability.high == pytest.approx(1 - 0.05**0.25)


def test_months_of_start_dates_are_resampled_where_some_pass_and_some_do_not() -> None:
    endings = [BacktestEnding.TARGET_REACHED if day // 30 % 2 else BacktestEnding.BREACHED for day in range(0, 240, 5)]
    found = judge_attempts([_attempt(5 * i, ending) for i, ending in enumerate(endings)], START + timedelta(days=260))
    assert found.probability is not None
    assert 0 < found.probability.low < found.probability.value < found.probability.high < 1
    assert found.to_json()["days_to_pass"]["median"] == 20


def test_without_a_decided_attempt_there_is_no_probability() -> None:
    found = judge_attempts([_attempt(0, BacktestEnding.END_OF_DATA)], START + timedelta(days=30))
    assert found.probability is None
    assert found.to_json()["decided"] == 0


def test_start_dates_are_midnights_spread_over_the_period() -> None:
    dates = start_dates(START + timedelta(hours=3), START + timedelta(days=31), 4)
    assert len(dates) == 4
    assert dates[0] == START + timedelta(days=1)
    assert all(date.hour == 0 for date in dates)
    assert start_dates(START, START + timedelta(hours=5), 4) == ()
