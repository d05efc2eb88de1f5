"""Our backtest beside nautilus_trader's: the same brackets, and what is said where it is not installed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from local.bench import backtest
from local.bench.backtest import ENVIRONMENT, BacktestBenchOptions, agrees, bench_signals, run_backtest_bench
from local.errors import ServiceError
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Leg, Side
from tests.unit.training.synthetic import walk, write_candles
from training.backtest.bar_grid import BarGrid
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


@pytest.mark.skipif(not (ENVIRONMENT / "bin" / "python").is_file(), reason="nautilus_trader is not installed: make nautilus")
def test_both_engines_trade_the_same_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_candles(tmp_path / "lake", walk(4), walk(4, seed=2, symbol="ETH-USD"))
    found = run_backtest_bench(BacktestBenchOptions(data, days=4, every=120, repeats=1, json_output=True))
    assert json.loads(capsys.readouterr().out)["trades"] == found.trades > 5
    assert found.compared >= 0.9 * found.trades
    assert found.agreed >= 0.9 * found.compared
    assert found.ratio > 0
