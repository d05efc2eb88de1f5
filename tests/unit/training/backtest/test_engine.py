"""Leaving minutes out changes nothing that can be seen: the engine against every bar, brought as the deployed functions do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.risk.ftmo.monitor import FtmoRuleState
from signalbox.trading.account import DIR60_STANDARD, TradingAccount
from signalbox.trading.changes import RiskEvent
from signalbox.trading.state import AccountState
from tests.examples import examples
from tests.unit.training.backtest.random_walks import BOLD, WARM_UP, WITH_TARGET, account, deployed, walk_bars, walk_signals
from training.backtest.bar_grid import CYCLE_MINUTES, BarGrid
from training.backtest.engine import BacktestEnding, BacktestRun, Plan, run
from training.backtest.record import BacktestRecord

DAY = 1_440


def judged(state: AccountState) -> FtmoRuleState | None:
    return state.loss_rules


def reported(record: BacktestRecord) -> list[RiskEvent]:
    """The compliance record, but for what a refusal says beside its code: that is of the minute it was judged at."""
    return [replace(line, detail="", snapshot_id=None) for line in record.risk]


def assert_same(grid: BarGrid, signals: list[Any], of: TradingAccount, start: int, end: int) -> BacktestRecord:
    state, record, balance = deployed(grid, signals, of, start, end)
    found = run(grid, signals, Plan(of, start, end, stop_when_over=False))
    assert found.record.trades == record.trades
    assert found.record.days == record.days
    assert found.record.halts == record.halts
    assert reported(found.record) == reported(record)
    assert found.state.books == state.books
    assert found.state.trades == state.trades
    assert found.state.marks == state.marks
    assert judged(found.state) == judged(state)
    instants = {row.at for row in record.equity}
    common = {row for row in found.record.equity if row.at in instants}
    assert common
    assert common <= set(record.equity)
    assert balance[end] == found.state.books.balance
    silent = run(grid, signals, Plan(of, start, end, stop_when_over=False, tells_refusals=False))
    assert_no_more_than_refusals_are_lacking(silent, found)
    breaches = [[line for line in one.record.risk if line.kind == "LIMIT_BREACHED"] for one in (silent, found)]
    assert breaches[0] == breaches[1]
    return record


def assert_no_more_than_refusals_are_lacking(silent: BacktestRun, found: BacktestRun) -> None:
    assert (silent.ending, silent.ended_at, silent.signals_after) == (found.ending, found.ended_at, found.signals_after)
    assert (silent.state.books, silent.state.trades) == (found.state.books, found.state.trades)
    assert (silent.state.halt, silent.state.locks) == (found.state.halt, found.state.locks)
    assert (silent.record.trades, silent.record.days) == (found.record.trades, found.record.days)
    assert silent.record.halts == found.record.halts
    assert set(silent.record.equity) <= set(found.record.equity)


gaps = st.lists(st.tuples(st.integers(0, 3), st.integers(WARM_UP - 20, DAY), st.integers(1, 40)), max_size=4)


@settings(max_examples=examples(15), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    missing=gaps,
    kind=st.sampled_from(("ftmo-2step-100k", "ftmo-1step-10k", "paper-100k")),
    policy=st.sampled_from((DIR60_STANDARD, WITH_TARGET, BOLD)),
    minute_bps=st.sampled_from((2.0, 10.0, 40.0)),
)
def test_watching_the_minutes_that_matter_equals_watching_every_bar(
    seed: int, missing: list[tuple[int, int, int]], kind: str, policy: Any, minute_bps: float
) -> None:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + DAY, minute_bps=minute_bps, gaps=missing))
    signals = walk_signals(grid, seed, share=0.3)
    assert_same(grid, signals, account(kind, policy), WARM_UP, WARM_UP + DAY)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_account_that_comes_near_the_drawdown_protection_goes_back_and_agrees(seed: int) -> None:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + 4 * DAY, minute_bps=25.0))
    signals = walk_signals(grid, seed, share=0.3)
    record = assert_same(grid, signals, account("paper-100k", BOLD), WARM_UP, WARM_UP + 4 * DAY)
    assert any(line.code == "EQUITY_DRAWDOWN_OVER_LIMIT" for line in record.risk)


@pytest.mark.parametrize(("kind", "jump_every"), [("ftmo-1step-100k", 613), ("ftmo-2step-100k", 613), ("ftmo-2step-25k", 907)])
def test_an_account_that_is_thrown_beyond_its_stops_agrees_on_every_level_and_breach(kind: str, jump_every: int) -> None:
    grid = BarGrid.of(walk_bars(4, WARM_UP + 3 * DAY, minute_bps=8.0, jump_every=jump_every))
    record = assert_same(grid, walk_signals(grid, 4, share=0.5), account(kind, BOLD), WARM_UP, WARM_UP + 3 * DAY)
    assert record.halts
    assert any(line.kind == "LIMIT_USED" for line in record.risk)


@pytest.mark.parametrize(
    ("seed", "minute_bps", "jump_every", "ending"),
    [(6, 20.0, 0, BacktestEnding.EXHAUSTED), (7, 8.0, 613, BacktestEnding.BREACHED), (9, 8.0, 613, BacktestEnding.HALTED)],
)
def test_what_comes_after_a_run_was_over_would_have_changed_nothing(
    seed: int, minute_bps: float, jump_every: int, ending: BacktestEnding
) -> None:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + 6 * DAY, minute_bps=minute_bps, jump_every=jump_every))
    signals, of = walk_signals(grid, seed, share=0.5), account("ftmo-2step-100k", BOLD)
    short = run(grid, signals, Plan(of, WARM_UP, grid.minutes))
    long = run(grid, signals, Plan(of, WARM_UP, grid.minutes, stop_when_over=False))
    assert short.ending is ending
    assert short.signals_after > 0
    assert short.record.trades == long.record.trades
    assert short.state.books == long.state.books


@pytest.mark.parametrize("seed", [11, 12, 14])
def test_signals_over_the_headroom_need_no_check_where_nobody_asks_for_refusals(seed: int) -> None:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + 6 * DAY, minute_bps=20.0))
    signals, of = walk_signals(grid, seed, share=0.5), account("ftmo-2step-100k", BOLD)
    plan = Plan(of, WARM_UP, grid.minutes)
    found, silent = run(grid, signals, plan), run(grid, signals, replace(plan, tells_refusals=False))
    assert_no_more_than_refusals_are_lacking(silent, found)
    assert silent.watched < found.watched


def test_a_run_may_begin_and_end_inside_the_tape() -> None:
    grid = BarGrid.of(walk_bars(8, WARM_UP + DAY, minute_bps=10.0))
    start, end = WARM_UP + 7 * CYCLE_MINUTES, WARM_UP + 600
    assert_same(grid, walk_signals(grid, 8, share=0.3), account("ftmo-2step-100k"), start, end)
