"""Bounds on the entries that a run may still make, for `signalbox.trading.headroom`: how near and how far stops can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.events import SignalGenerated
from signalbox.market.candles import Symbol
from signalbox.trading.account import TradingAccount
from signalbox.trading.entry_plan import ENTRY_BARS, LEAST_RETURNS
from signalbox.trading.headroom import EntryReach, depleted_headroom
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.state import AccountState
from training.backtest.bar_grid import BarGrid

_FLOATS: Final = 0.999  # the volatility summed here may differ in its last digits from that of an entry


@dataclass(frozen=True, slots=True, eq=False)
class LeastEntries:
    """Bounds on the entries still to come.

    own: (n,) distance to the stop of the entry from signal i, as a fraction of the price; NaN where it makes none.
    nearest, farthest: (n + 1,) that distance of any entry from signal i or a later one.
    step_value: the most that the smallest step of a quantity can be worth; rounding may reduce an entry by this much.
    """

    own: NDArray[np.float64]
    nearest: NDArray[np.float64]
    farthest: NDArray[np.float64]
    step_value: float


def least_entries(grid: BarGrid, signals: Sequence[SignalGenerated], account: TradingAccount) -> LeastEntries:
    """Return the bounds on the entries of a run's signals."""
    measured = _measured(grid)
    moves = [measured[Symbol(signal.symbol)].item(grid.minute(signal.decided_at)) for signal in signals]
    found = np.array([*moves, np.nan])
    found[:-1] *= np.sqrt([signal.horizon_minutes for signal in signals]) * float(account.policy.stop_volatilities)
    found[~(np.isfinite(found) & (found > 0))] = np.nan
    nearest = np.minimum.accumulate(np.nan_to_num(found, nan=np.inf)[::-1])[::-1]
    farthest = np.maximum.accumulate(np.nan_to_num(found, nan=0.0)[::-1])[::-1]
    steps = [float(INSTRUMENTS[s].step) * float(np.nanmax(grid.high[row])) for s, row in grid.row.items() if s in INSTRUMENTS]
    return LeastEntries(found[:-1], nearest * _FLOATS, farthest / _FLOATS, max(steps, default=0.0))


@lru_cache(maxsize=1)  # one grid; every start date asks for the same values
def _measured(grid: BarGrid) -> dict[Symbol, NDArray[np.float64]]:
    return {symbol: _volatilities(grid, row) for symbol, row in grid.row.items()}


def _volatilities(grid: BarGrid, row: int) -> NDArray[np.float64]:
    """Return (minutes + 1,) the deviation of one-minute returns that an entry at each instant measures, NaN where bars lack."""
    returns = np.diff(np.log(grid.close[row]), prepend=np.nan)
    known = np.isfinite(returns)
    clean = np.where(known, returns, 0.0)
    count, total, squares = (np.concatenate([[0.0], np.cumsum(column)]) for column in (known, clean, clean**2))
    stop = np.arange(grid.minutes + 1)
    start = np.maximum(stop - (ENTRY_BARS - 1), 0)
    n, mean = count[stop] - count[start], total[stop] - total[start]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares[stop] - squares[start] - mean**2 / n) / (n - 1)
        found: NDArray[np.float64] = np.where(n >= LEAST_RETURNS, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    return found


def is_exhausted(state: AccountState, at: datetime, least: LeastEntries, next_signal: int) -> bool:
    """Whether no entry of the remaining signals can pass. The rule is the accounts' own, given how near and far stops can be."""
    if not np.isfinite(least.nearest[next_signal]):  # no remaining signal can make an entry
        return False
    over = depleted_headroom(state, at, _reach(least.nearest[next_signal], least.farthest[next_signal], least.step_value))
    return over is not None and over.until is None


def is_hopeless(state: AccountState, at: datetime, least: LeastEntries, number: int) -> bool:
    """Whether the entry of one signal of an idle account cannot pass at `at`; False where that is not known."""
    own = least.own[number]
    if not np.isfinite(own):
        return False
    return depleted_headroom(state, at, _reach(own * _FLOATS, own / _FLOATS, least.step_value)) is not None


def _reach(nearest: float, farthest: float, step_value: float) -> EntryReach:
    return EntryReach(*(Decimal(repr(float(value))) for value in (nearest, farthest, step_value)))
