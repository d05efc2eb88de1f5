"""Bars on which brackets end by stop, target and deadline, and how nautilus_trader ended them.

`python -m tests.unit.local.bench.nautilus_brackets` records the second again, after `make nautilus`. It is needed when other
brackets are traded on these bars, because a rule of entries, sizes or levels changed.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import numpy as np

from local.bench.backtest import ENVIRONMENT, POLICY, _order, _peer, bench_signals
from local.settings import REPOSITORY
from signalbox.market.candles import Bars
from signalbox.trading.account import account_named
from signalbox.trading.entry_plan import ENTRY_BARS
from tests.unit.training.synthetic import walk
from training.backtest.bar_grid import CYCLE_MINUTES, BarGrid
from training.backtest.engine import BacktestRun, Plan, run

RECORDED: Final = REPOSITORY / "tests" / "corpus" / "nautilus_brackets.json"
EVERY: Final = 120  # minutes between the signals of a symbol
DAYS: Final = 4
_DRIFT: Final = 2.5e-4  # a minute, in the hour of a signal
_WITH_THE_SIGNAL: Final = np.array([1.0, 1.0, -1.0, 1.0, 0.0])  # target, target, stop, target, deadline


def grid() -> BarGrid:
    """Two symbols whose prices follow, oppose or ignore the signals of `bench_signals`, in turn."""
    return BarGrid.of([_bars("BTC-USD", 0, 40_000.0, seed=1), _bars("ETH-USD", 1, 2_500.0, seed=2)])


def _bars(symbol: str, row: int, price: float, *, seed: int) -> Bars:
    noise = walk(DAYS, seed=seed, symbol=symbol)
    minute = np.arange(len(noise)) - CYCLE_MINUTES * row
    number = minute // EVERY
    side = np.where((number + row) % 2 == 0, 1.0, -1.0)
    moves = np.where(minute % EVERY < EVERY // 2, _DRIFT * side * _WITH_THE_SIGNAL[number % 5], 0.0)
    level = price / noise.open[0] * np.exp(np.cumsum(moves))
    open_, close = noise.open * np.append(level[0], level[:-1]), noise.close * level
    high, low = (np.maximum(noise.high * level, open_), np.minimum(noise.low * level, open_))
    return Bars(noise.symbol, noise.open_time_ms, open_, high, low, close, noise.volume)


def trade(bars: BarGrid) -> BacktestRun:
    """Trade the bench's signals on these bars in our engine, as the bench does."""
    plan = Plan(account_named("paper-100k", market="coinbase", policy=POLICY), ENTRY_BARS, bars.minutes)
    return run(bars, bench_signals(bars, EVERY), plan)


def ended_by_nautilus(bars: BarGrid, found: BacktestRun) -> dict[str, Any]:
    """Run the same brackets in nautilus_trader: its version, and each bracket with its exit."""
    peer = _peer(ENVIRONMENT / "bin" / "python", bars, found)
    ends = {one["number"]: {"leg": one["leg"], "closed_ms": one["closed_ms"]} for one in peer["trades"]}
    brackets = (_order(number, row) for number, row in enumerate(found.record.trades))
    return {"version": peer["version"], "trades": [one | ends.get(one["number"], {}) for one in brackets]}


def main() -> int:
    """Write the record."""
    bars = grid()
    found = ended_by_nautilus(bars, trade(bars))
    lines = ",\n".join(json.dumps(one) for one in found["trades"])
    RECORDED.write_text(f'{{"version": "{found["version"]}", "trades": [\n{lines}\n]}}\n', encoding="utf-8")
    sys.stdout.write(f"{len(found['trades'])} brackets ended by nautilus_trader {found['version']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
