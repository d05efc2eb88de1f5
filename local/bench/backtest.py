"""`signalbox bench backtest`: bars and bracket orders through our engine and through nautilus_trader's, in one run.

Our engine trades signals; what it traded becomes the brackets of the other: the same instant, side, quantity, stop, target and
deadline. Both then say when and by which order each trade ended. They define fills differently, so not every trade can agree: we
enter at the next bar's open with half a spread and slippage, nautilus at the close of the bar before; our stop and target are
touched by the price of a side, half a spread from the traded one. Trades whose barriers are touched within half a spread, or
within one bar, are those that may differ. A trade agrees if it has the same exit and ends in the same minute, or for a timeout in
the same or the next one.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from rich.console import Console

from local.bench.durable_postgres import load_average
from local.bench.unit import UNIT, unit_sample_us
from local.errors import ServiceError
from local.settings import REPOSITORY
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.events import SignalGenerated
from signalbox.market.candles import MINUTE_MS, Bars, to_ms
from signalbox.orders.terms import Leg
from signalbox.trading.account import DIR60_STANDARD, account_named
from signalbox.trading.entry_plan import ENTRY_BARS
from training.backtest.bar_grid import CYCLE_MINUTES, BarGrid
from training.backtest.engine import BacktestRun, Plan, run
from training.backtest.record import TradeRow

ENVIRONMENT: Final = REPOSITORY / ".venv-nautilus"
PEER: Final = Path(__file__).with_name("nautilus_peer.py")
INSTALL: Final = "nautilus_trader is not installed: `make nautilus` installs it into .venv-nautilus"
POLICY: Final = DIR60_STANDARD.model_copy(update={"target_volatilities": Decimal(2), "stop_volatilities": Decimal(2)})
_PATIENCE_S: Final = 900
_HORIZON: Final = 60  # minutes
_UNIT_SAMPLES: Final = 200
_COMPARED: Final = frozenset({Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TIMEOUT})


@dataclass(frozen=True, slots=True)
class BacktestBenchOptions:
    """What to measure: `days` of each symbol from `data`, with a signal of each symbol every `every` minutes."""

    data: Path
    days: int = 91
    every: int = 240
    repeats: int = 3
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class BacktestBench:
    """The measurements. seconds: of a processor, of the engine alone, the best of the repeats: other work adds little to them.

    agreed: of the compared trades, how many ended by the same order in the same minute. unit_us: CPU time of one unit.
    """

    symbols: int
    symbol_bars: int
    trades: int
    seconds: float
    symbol_bars_per_s: float
    peer: str
    peer_seconds: float
    peer_symbol_bars_per_s: float
    ratio: float
    compared: int
    agreed: int
    same_exit: int
    unit: str
    unit_us: float
    load: str


def run_backtest_bench(options: BacktestBenchOptions) -> BacktestBench:
    """Measure, print, and return the result. Raises ServiceError without nautilus_trader, MarketDataError without candles."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        raise ServiceError(INSTALL)
    grid = BarGrid.of(_bars(options))
    signals = bench_signals(grid, options.every)
    plan = Plan(account_named("paper-100k", market="coinbase", policy=POLICY), ENTRY_BARS, grid.minutes)
    seconds, found = math.inf, None
    for _ in range(options.repeats):
        began = time.thread_time()
        found = run(grid, signals, plan)
        seconds = min(seconds, time.thread_time() - began)
    if found is None:
        raise ServiceError("--repeats: expected at least 1")
    peer = min((_peer(python, grid, found) for _ in range(options.repeats)), key=lambda one: float(one["cpu_seconds"]))
    ours = {number: trade for number, trade in enumerate(found.record.trades) if trade.leg in _COMPARED}
    theirs = {one["number"]: one for one in peer["trades"]}
    both = [(ours[number], theirs[number]) for number in ours.keys() & theirs.keys()]
    bars = sum(len(one) for one in grid.bars)
    result = BacktestBench(
        symbols=len(grid.bars),
        symbol_bars=bars,
        trades=len(found.record.trades),
        seconds=round(seconds, 3),
        symbol_bars_per_s=round(bars / seconds),
        peer=f"nautilus_trader {peer['version']}",
        peer_seconds=round(peer["cpu_seconds"], 3),
        peer_symbol_bars_per_s=round(bars / peer["cpu_seconds"]),
        ratio=round(peer["cpu_seconds"] / seconds, 2),
        compared=len(ours),
        agreed=sum(agrees(own, other) for own, other in both),
        same_exit=sum(own.leg.value == other["leg"] for own, other in both),
        unit=UNIT,
        unit_us=round(median(unit_sample_us() for _ in range(_UNIT_SAMPLES)), 2),
        load=load_average(),
    )
    _print(result, json_output=options.json_output)
    return result


def bench_signals(grid: BarGrid, every: int) -> list[SignalGenerated]:
    """Return a signal of each symbol every `every` minutes. Symbols follow each other by one cycle, and sides alternate."""
    found = []
    for at in range(-(-ENTRY_BARS // every) * every, grid.minutes - _HORIZON, every):
        for row, symbol in enumerate(grid.symbols):
            minute = at + row * CYCLE_MINUTES
            if minute >= grid.minutes or np.isnan(grid.close[row, minute - 1]):
                continue
            is_buy = (at // every + row) % 2 == 0
            found.append(
                SignalGenerated(
                    symbol=symbol,
                    decided_at=grid.instant(minute),
                    deployment="bench",
                    stage="shadow",
                    direction="BUY" if is_buy else "SELL",
                    tier="HIGH",
                    issued=True,
                    held_back=None,
                    late=False,
                    probability_up=0.6 if is_buy else 0.4,
                    confidence=0.6,
                    price=grid.price(symbol, minute),
                    horizon_minutes=_HORIZON,
                    schema_name="bench",
                    schema_hash="bench",
                )
            )
    return found


def agrees(own: TradeRow, other: dict[str, Any]) -> bool:
    """Return whether both engines ended a trade by the same exit in the same minute."""
    if own.leg.value != other["leg"]:
        return False
    minutes = -(-to_ms(own.closed_at) // MINUTE_MS) - other["closed_ms"] // MINUTE_MS
    return minutes in ({0, 1} if own.leg is Leg.TIMEOUT else {0})


def _bars(options: BacktestBenchOptions) -> list[Bars]:
    series_of = find_series(options.data)
    last = max(series.ends()[1] for series in series_of)
    return [require_bars(series, last - timedelta(days=options.days)) for series in series_of]


def _peer(python: Path, grid: BarGrid, found: BacktestRun) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = {
            str(one.symbol): np.column_stack((one.open_time_ms, one.open, one.high, one.low, one.close, one.volume))
            for one in grid.bars
        }
        np.savez(folder / "bars.npz", **columns)  # type: ignore[arg-type]
        orders = [_order(number, trade) for number, trade in enumerate(found.record.trades)]
        given = {"capital": 100_000_000, "symbols": [str(symbol) for symbol in grid.symbols], "orders": orders}
        (folder / "orders.json").write_text(json.dumps(given))
        done = subprocess.run([str(python), str(PEER), name], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines() or ["no message"]
        raise ServiceError(f"nautilus_trader ended with exit code {done.returncode}: {last[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _order(number: int, trade: TradeRow) -> dict[str, Any]:
    return {
        "number": number,
        "symbol": str(trade.symbol),
        "side": trade.side.value,
        "quantity": f"{trade.quantity:f}",
        "at_ms": to_ms(trade.decided_at),
        "stop": f"{trade.stop_loss:f}",
        "target": None if trade.take_profit is None else f"{trade.take_profit:f}",
        "deadline_ms": to_ms(trade.decided_at) + _HORIZON * MINUTE_MS,
    }


def _print(bench: BacktestBench, *, json_output: bool) -> None:
    if json_output:
        sys.stdout.write(json.dumps(asdict(bench), indent=1) + "\n")
        return
    lines = (
        f"{bench.symbol_bars:,} bars of {bench.symbols} symbols, {bench.trades:,} bracket trades; load average {bench.load}",
        f"ours {bench.symbol_bars_per_s:,} symbol-bars/s, {bench.peer} {bench.peer_symbol_bars_per_s:,}: {bench.ratio} times",
        f"{bench.same_exit:,} of {bench.compared:,} trades have the same exit, {bench.agreed:,} in the same minute",
        f"one unit ({bench.unit}) takes {bench.unit_us} µs",
    )
    Console().print("\n".join(lines), highlight=False)
