"""The baseline of a coin toss on the entries of a run: same times, symbols and distances, with a random side.

Floats: the rate is only for comparison and is never booked. Costs are those of the paper venue. If stop and target differ in
distance, or there is no target, a coin toss does not win half of the time, so a hit rate means little without this baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import Symbol
from signalbox.trading.instruments import FEE_BPS
from signalbox.trading.paper import SLIPPAGE_BPS, SPREAD_BPS
from training.backtest.bar_grid import BarGrid
from training.backtest.record import TradeRow

_HALF: Final = float(SPREAD_BPS) / 20_000
_SLIP: Final = float(SLIPPAGE_BPS) / 10_000
_FEE: Final = float(FEE_BPS) / 10_000


def coin_wins(grid: BarGrid, trades: Sequence[TradeRow], horizon_minutes: int) -> NDArray[np.float64]:
    """Return (n,) the chance that a random side earns after costs at the entry of each trade: 0, one half or 1."""
    return np.array(
        [np.mean([side_return(grid, trade, side, horizon_minutes) > 0 for side in (1, -1)]) for trade in trades],
        dtype=np.float64,
    )


def side_return(grid: BarGrid, trade: TradeRow, side: int, horizon_minutes: int) -> float:
    """Return the net return of a side as a fraction of its entry, with the exits of the trade mirrored to that side."""
    row = grid.row[Symbol(trade.symbol)]
    decided, first = grid.minute(trade.decided_at), grid.minute(trade.opened_at)
    price = float(grid.close[row, decided - 1])
    stop = price - side * abs(price - float(trade.stop_loss))
    target = None if trade.take_profit is None else price + side * abs(float(trade.take_profit) - price)
    entry = float(grid.open[row, first]) * (1 + side * (_HALF + _SLIP))
    last = min(decided + horizon_minutes + 60, grid.minutes)
    for m in range(first, last):
        opened = float(grid.open[row, m])
        if np.isnan(opened):
            continue
        half = opened * _HALF
        worst, best = (grid.low, grid.high) if side > 0 else (grid.high, grid.low)
        leave: float | None = None
        jumped = m > first and side * (opened - side * half - stop) <= 0
        if jumped or m >= decided + horizon_minutes:
            leave = (opened - side * half) * (1 - side * _SLIP)
        elif side * (float(worst[row, m]) - side * half - stop) <= 0:
            leave = stop * (1 - side * _SLIP)
        elif target is not None and side * (float(best[row, m]) - side * half - target) > 0:
            leave = target
        if leave is not None:
            return (side * (leave - entry) - _FEE * (leave + entry)) / entry
    return 0.0
