"""Our backtest beside nautilus_trader's: the same brackets, and what is said where it is not installed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from local.bench import backtest
from local.bench.backtest import ENVIRONMENT, BacktestBenchOptions, agrees, bench_signals, run_backtest_bench
from local.errors import ServiceError
from signalbox.market.candles import to_ms
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Leg, Side
from tests.unit.local.bench import nautilus_brackets
from tests.unit.local.bench.nautilus_brackets import RECORDED
from tests.unit.training.synthetic import walk, write_candles
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestRun
from training.backtest.record import TradeRow

DECIDED = datetime(2024, 1, 2, 8, tzinfo=UTC)
TRADE = TradeRow(
    ClientOrderId("entry"), "BTC-USD", Side.BUY, "shadow", DECIDED, DECIDED, DECIDED + timedelta(minutes=30), Leg.STOP_LOSS,
    *(Decimal(text) for text in ("1", "100", "99", "99", "101", "0", "-1")),
)  # fmt: skip


def test_where_the_other_engine_is_not_installed_the_command_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "ENVIRONMENT", tmp_path)
    with pytest.raises(ServiceError, match="make nautilus"):
        run_backtest_bench(BacktestBenchOptions(tmp_path))


def test_signals_are_spread_over_symbols_and_sides() -> None:
    grid = BarGrid.of([walk(2), walk(2, seed=2, symbol="ETH-USD")])
    found = bench_signals(grid, 60)
    assert {one.symbol for one in found} == {"BTC-USD", "ETH-USD"}
    assert {one.direction for one in found} == {"BUY", "SELL"}
    assert len({(one.symbol, one.decided_at) for one in found}) == len(found) > 60


def test_a_trade_agrees_by_its_exit_and_its_minute() -> None:
    own = replace(TRADE, closed_at=DECIDED + timedelta(minutes=30, microseconds=-1))  # inside a bar
    minute = {"leg": "STOP_LOSS", "closed_ms": round((DECIDED + timedelta(minutes=30)).timestamp() * 1000)}
    assert agrees(own, minute)
    assert not agrees(own, {**minute, "leg": "TIMEOUT"})
    assert not agrees(own, {**minute, "closed_ms": minute["closed_ms"] + 60_000})  # type: ignore[operator]
    late = replace(TRADE, leg=Leg.TIMEOUT, closed_at=DECIDED + timedelta(minutes=31))
    assert agrees(late, {**minute, "leg": "TIMEOUT"})  # the next open
    assert not agrees(late, {**minute, "leg": "TIMEOUT", "closed_ms": minute["closed_ms"] - 60_000})  # type: ignore[operator]


@pytest.fixture(scope="module")
def traded() -> tuple[BarGrid, BacktestRun]:
    bars = nautilus_brackets.grid()
    return bars, nautilus_brackets.trade(bars)


def test_brackets_end_as_nautilus_ended_them(traded: tuple[BarGrid, BacktestRun]) -> None:
    recorded = json.loads(RECORDED.read_text())["trades"]
    ours = traded[1].record.trades
    brackets = [backtest._order(number, one) for number, one in enumerate(ours)]
    assert brackets == [{name: one[name] for name in brackets[0]} for one in recorded], nautilus_brackets.__doc__
    exits = Counter((one.symbol, one.side, one.leg) for one in ours)
    for symbol in ("BTC-USD", "ETH-USD"):
        for side in Side:
            assert all(exits[symbol, side, leg] >= 3 for leg in (Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TIMEOUT)), exits
    assert [one.leg.value for one in ours] == [one["leg"] for one in recorded]
    assert sum(map(agrees, ours, recorded)) >= 0.85 * len(ours)
    minutes = [-(-to_ms(own.closed_at) // 60_000) - one["closed_ms"] // 60_000 for own, one in zip(ours, recorded, strict=True)]
    assert all(abs(late) <= 8 for late in minutes)  # half a spread, at a quarter of a per mille a minute


@pytest.mark.skipif(not (ENVIRONMENT / "bin" / "python").is_file(), reason="nautilus_trader is not installed: make nautilus")
def test_the_record_is_what_nautilus_says(traded: tuple[BarGrid, BacktestRun]) -> None:
    assert nautilus_brackets.ended_by_nautilus(*traded) == json.loads(RECORDED.read_text())


@pytest.mark.skipif(not (ENVIRONMENT / "bin" / "python").is_file(), reason="nautilus_trader is not installed: make nautilus")
def test_both_engines_trade_the_same_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_candles(tmp_path / "lake", *nautilus_brackets.grid().bars)
    options = BacktestBenchOptions(data, days=nautilus_brackets.DAYS, every=nautilus_brackets.EVERY, repeats=1, json_output=True)
    found = run_backtest_bench(options)
    assert json.loads(capsys.readouterr().out)["trades"] == found.trades > 50
    assert found.compared == found.same_exit == found.trades
    assert found.agreed >= 0.85 * found.compared
    assert found.ratio > 0
