"""Figures for a trader: ratios equal empyrical's, drawdown sees every minute's worst price, and two runs can be compared."""

from __future__ import annotations

import json
import math
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.trading.snapshot import equity_of
from tests.examples import examples
from tests.unit.training.backtest.random_walks import BOLD, TIGHT, WARM_UP, account, walk_bars, walk_signals
from training.backtest.bar_grid import BarGrid
from training.backtest.compare import comparison_page, read_backtest
from training.backtest.engine import BacktestRun, Plan, run
from training.backtest.figures import drawdowns
from training.backtest.performance import (
    DAYS_A_YEAR,
    Floats,
    daily_returns,
    excursions_of,
    longest_run,
    max_drawdown,
    minute_equity,
    performance_from,
    performance_of,
    sharpe,
    sortino,
)
from training.backtest.pictures import limit_line
from training.errors import TrainingError

DAY = 1_440
returns = st.lists(st.floats(-0.2, 0.2).map(lambda r: round(r, 6)), min_size=3, max_size=60).map(np.array)


def walked(seed: int, kind: str = "paper-100k", *, every_bar: bool = False) -> tuple[BarGrid, BacktestRun]:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + 2 * DAY, minute_bps=8.0))
    plan = Plan(account(kind, BOLD if kind.startswith("ftmo") else TIGHT), WARM_UP, grid.minutes, every_bar=every_bar)
    return grid, run(grid, walk_signals(grid, seed, share=0.3), plan)


@pytest.mark.filterwarnings("ignore")  # of empyrical and what it imports
@settings(max_examples=examples(60), deadline=None)
@given(returns)
def test_ratios_equal_those_of_empyrical(values: Floats) -> None:
    import empyrical  # type: ignore[import-untyped]  # noqa: PLC0415 - a library of the tests alone

    if values.std(ddof=1) > 1e-9:
        assert sharpe(values) == pytest.approx(empyrical.sharpe_ratio(values, annualization=DAYS_A_YEAR), rel=1e-9)
    if (values < 0).any():
        assert sortino(values) == pytest.approx(empyrical.sortino_ratio(values, annualization=DAYS_A_YEAR), rel=1e-9)
    assert max_drawdown(values) == pytest.approx(-empyrical.max_drawdown(values), abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # of empyrical and what it imports
def test_figures_of_a_run_equal_empyricals_of_its_days() -> None:
    import empyrical  # noqa: PLC0415 - a library of the tests alone

    grid, found = walked(3)
    made = performance_of(grid, found, grid.instant(WARM_UP), grid.instant(grid.minutes))
    days = daily_returns(grid, minute_equity(grid, found, grid.instant(WARM_UP), found.ended_at), 100_000.0)
    assert np.prod(1 + days) - 1 == pytest.approx(made.net_return)
    assert made.cagr == pytest.approx(empyrical.cagr(days, annualization=DAYS_A_YEAR))
    assert made.volatility == pytest.approx(empyrical.annual_volatility(days, annualization=DAYS_A_YEAR))
    assert made.calmar == pytest.approx(empyrical.calmar_ratio(days, annualization=DAYS_A_YEAR))
    assert made.sharpe == pytest.approx(empyrical.sharpe_ratio(days, annualization=DAYS_A_YEAR))


def test_equity_of_the_minutes_is_that_of_the_books() -> None:
    grid, found = walked(4, every_bar=True)
    minutes = minute_equity(grid, found, grid.instant(WARM_UP), grid.instant(grid.minutes))
    for row in found.record.equity:
        at = grid.minute(row.at) - minutes.first - 1
        if at >= 0:
            assert minutes.close[at] == pytest.approx(float(row.equity), abs=0.02)
    assert minutes.close[-1] == pytest.approx(float(equity_of(found.state)), abs=0.02)


@pytest.mark.parametrize("seed", [2, 5])
def test_the_worst_price_of_every_minute_is_as_low_as_the_monitoring_saw(seed: int) -> None:
    """The engine watches chosen minutes; the days of the rules keep the worst of all, exactly."""
    grid, found = walked(seed, "ftmo-2step-100k")
    minutes = minute_equity(grid, found, grid.instant(WARM_UP), found.ended_at)
    lowest = min(float(day.worst_equity) for day in found.days)  # the running day too
    assert minutes.worst.min() == pytest.approx(lowest, abs=0.05)
    watched = drawdowns([row.equity for row in found.record.equity], found.state.account.capital)
    assert minutes.falls(100_000.0).max() >= float(watched.max()) - 1e-9


@pytest.mark.parametrize("seed", [2, 5])
def test_the_daily_limit_is_drawn_from_the_start_of_a_run_to_its_end(seed: int) -> None:
    grid, found = walked(seed, "ftmo-2step-100k")
    start = grid.instant(WARM_UP)
    line = limit_line(found, start, "Europe/Prague")
    assert (line[0][0], line[-1][0]) == (start.timestamp(), found.ended_at.timestamp())
    steps = [datetime.fromtimestamp(at, ZoneInfo("Europe/Prague")) for at, _ in line[1:-1]]
    assert len(steps) >= 2
    assert all(at.time() == time(0, 0) for at in steps)
    assert [limit for _, limit in line[::2]] == [float(day.daily_limit) for day in found.days]
    assert found.days[-1].date == found.ended_at.astimezone(ZoneInfo("Europe/Prague")).date()


def test_excursions_hold_the_result_between_them() -> None:
    grid, found = walked(6)
    trades = found.record.trades
    for trade, one in zip(trades, excursions_of(grid, trades), strict=True):
        moved = trade.side.sign * float(trade.exit_price - trade.entry_price) / abs(float(trade.entry_price - trade.stop_loss))
        assert one.adverse >= 0 <= one.favourable
        assert -one.adverse - 1e-9 <= moved <= one.favourable + 1e-9


def test_a_run_without_trades_has_dashes_and_not_zeros() -> None:
    grid = BarGrid.of(walk_bars(7, WARM_UP + DAY, minute_bps=5.0))
    found = run(grid, [], Plan(account("paper-100k"), WARM_UP, grid.minutes))
    made = performance_of(grid, found, grid.instant(WARM_UP), grid.instant(grid.minutes))
    assert (made.trades, made.net_return, made.max_drawdown, made.exposure) == (0, 0.0, 0.0, 0.0)
    assert math.isnan(made.win_rate)
    assert math.isnan(made.sharpe)
    assert json.loads(json.dumps(made.to_json(), allow_nan=False))["win_rate"] is None


@given(st.lists(st.booleans()))
def test_the_longest_run_is_the_longest_part_between_false_values(flags: list[bool]) -> None:
    assert longest_run(flags) == max(len(part) for part in "".join("x" if flag else " " for flag in flags).split(" "))


def stored(folder: Path, seed: int, name: str) -> Path:
    grid, found = walked(seed)
    made = performance_of(grid, found, grid.instant(WARM_UP), grid.instant(grid.minutes))
    assert repr(performance_from(made.to_json())) == repr(made)
    content = {
        "bundle": name,
        "headline": f"<b>{name}</b>",
        "account": {"account": "paper-100k", "currency": "USD", "capital": "100000"},
        "limits": "paper.1",
        "period": {"start": "2024-03-29T17:00:00+00:00", "end": "2024-03-31T17:00:00+00:00"},
        "symbols": ["BTC-USD"],
        "outcome": {"ending": found.ending.value, "at": found.ended_at.isoformat(), "open_trades": 0},
        "performance": made.to_json(),
        "equity": [[row.at.isoformat(), str(row.balance), str(row.equity)] for row in found.record.equity],
    }
    (folder / name).mkdir()
    (folder / name / "backtest.json").write_text(json.dumps(content))
    return folder / name


def test_two_runs_stand_side_by_side_with_the_figures_of_each(tmp_path: Path) -> None:
    runs = [read_backtest(stored(tmp_path, seed, name)) for seed, name in ((8, "one"), (9, "other"))]
    page = comparison_page(*runs)
    for one in runs:
        assert f"{one.performance.net_return:+.2%}" in page
        assert f"&lt;b&gt;{one.facts['bundle']}&lt;/b&gt;" in page
        assert one.facts["period"] in page
        assert one.facts["period"].endswith(" UTC")
        assert one.facts["ended"].startswith("END_OF_DATA 20")
    assert page.count("<polyline") == 2
    assert "<script" not in page


def test_a_folder_without_a_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="give a folder that `signalbox backtest --out` wrote"):
        read_backtest(tmp_path)
    (tmp_path / "backtest.json").write_text('{"bundle": "old"}')
    with pytest.raises(TrainingError, match="run the backtest again"):
        read_backtest(tmp_path)


def test_instant_a_microsecond_before_its_minute_ends_is_of_that_minute() -> None:
    grid, _ = walked(1)
    assert [grid.minute(grid.instant(7) + timedelta(microseconds=us)) for us in (-1, 0, 59_999_999)] == [6, 7, 7]
