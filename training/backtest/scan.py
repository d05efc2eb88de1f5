"""Finds the next minute that must be applied: the first at which anything could happen to an open account.

Between two applied minutes nothing trades, so quantities and balance are constant and equity is a sum of prices. A minute matters
if a stop or target may be touched, a deadline passes, equity may reach a level of a loss limit that was not reported yet, a day
ends, or bars are missing. Floats are used, so every comparison leaves `SLACK`, far more than their error: a minute too many costs
time, a minute too few would change the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from signalbox.orders.terms import Side
from signalbox.risk.ftmo.headroom import RuleHeadroom, StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.state import AccountStatus
from signalbox.risk.protections import STANDARD
from signalbox.trading.paper import SPREAD_BPS
from signalbox.trading.snapshot import rules_in_force
from signalbox.trading.state import AccountState, Trade, TradeState
from signalbox.trading.warnings import LimitWarning
from training.backtest.bar_grid import BarGrid

SLACK: Final = 1e-9  # relative to a price or an equity
Floats: TypeAlias = NDArray[np.float64]
_HALF_SPREAD: Final = float(SPREAD_BPS) / 20_000  # as a fraction of the open
_DRAWDOWN: Final = float(STANDARD.max_drawdown_fraction)
_NEAR: Final = 0.05  # the last share of the allowed drawdown counts as near


@dataclass(frozen=True, slots=True, eq=False)
class QuietInterval:
    """Minutes [first, stop) of an account in which nothing happens before the minute `stop - 1`.

    stop: the instant at which something may happen; every minute before may be skipped.
    worst, value: (stop - first,) float64, estimated equity at the worst prices and at the close of each minute.
    """

    first: int
    stop: int
    worst: NDArray[np.float64]
    value: NDArray[np.float64]

    def until(self, stop: int) -> QuietInterval:
        """Return the part before an instant."""
        count = stop - self.first
        return QuietInterval(self.first, stop, self.worst[:count], self.value[:count])


@dataclass(frozen=True, slots=True)
class QuietLevels:
    """The equity levels that matter today: the next unreported level of each loss limit, and the time when they change.

    day_ends: midnight, or the earlier time shortly before it from which tomorrow's limits count too.
    """

    day_ends: datetime | None
    highest_pending: float  # a level is reached at or below this equity; -inf if all were reported
    worst_equity: float  # lowest equity of today so far
    status: AccountStatus = AccountStatus.ACTIVE


def levels_of(state: AccountState) -> QuietLevels:
    """Return the current levels of an account. Without loss rules there are no levels and days do not end."""
    monitor = rules_in_force(state.account, state.loss_rules)
    if monitor is None:
        return QuietLevels(None, -np.inf, -np.inf)
    service, today = monitor.headroom(), monitor.day
    pending = _highest_pending(monitor, service.rules, today, state)
    if today is not None:
        pending = max(pending, _highest_pending(monitor, service.tomorrow, today + timedelta(days=1), state))
    return QuietLevels(
        _next_change(monitor),
        pending,
        float(monitor.state().worst_equity),
        monitor.status,
    )


def _next_change(monitor: FtmoRuleMonitor) -> datetime | None:
    """Return the time when other limits begin to count: tomorrow's limits shortly before midnight, then midnight itself."""
    midnight = monitor.next_midnight
    if midnight is None or monitor.now is None:
        return midnight
    guarded = midnight - timedelta(minutes=monitor.rules.stops.midnight_minutes)
    return guarded if monitor.now < guarded else midnight


def _highest_pending(monitor: FtmoRuleMonitor, rules: Sequence[RuleHeadroom], day: date | None, state: AccountState) -> float:
    stops = monitor.rules.stops
    shares = ((stops.alert, StopLevel.ALERT), (stops.block, StopLevel.BLOCK), (stops.flatten, StopLevel.FLATTEN))
    found = -np.inf
    for rule in rules:
        pending = [
            rule.reference - share * rule.amount
            for share, level in shares
            if day is None or LimitWarning(rule.rule, level, day) not in state.warned
        ]
        if rule.rule not in monitor.breaches:
            pending.append(rule.limit)
        found = max([found, *map(float, pending)])
    return found


def is_quiet(state: AccountState) -> bool:
    """Whether only prices can change the account: there are open trades, and no order or exit is pending."""
    return (
        state.books.held.keys() == {str(symbol) for symbol in state.trades}
        and all(trade.state is TradeState.OPEN and trade.exit_leg is None for trade in state.trades.values())
        and all(order.state.is_closed for order in state.orders.values())
    )


def quiet_interval(grid: BarGrid, state: AccountState, levels: QuietLevels, first: int, stop: int) -> QuietInterval:
    """Return the minutes from `first` to the first minute that must be applied, at most `stop - 1`.

    The account must be quiet, its bars applied up to `first`, and no bar missing in [first, stop).
    """
    for trade in state.trades.values():
        stop = min(stop, max(grid.minute(trade.deadline) + 1, first + 1))
    if levels.day_ends is not None:
        stop = min(stop, max(grid.minute(levels.day_ends), first + 1))
    cut = slice(first, stop)
    hit = np.zeros(stop - first, dtype=np.bool_)
    balance = float(state.books.balance)
    worst, value = np.full(stop - first, balance), np.full(stop - first, balance)
    for symbol, trade in state.trades.items():
        row = grid.row[symbol]
        low, high, opened = grid.low[row, cut], grid.high[row, cut], grid.open[row, cut]
        half = opened * _HALF_SPREAD
        hit |= _touched(trade, low, high, half)
        position = state.books.position(symbol)
        quantity, cost = float(position.quantity), float(position.cost)
        worst += quantity * (low if quantity > 0 else high) - cost
        value += quantity * grid.close[row, cut] - cost
    hit |= worst <= levels.highest_pending + SLACK * abs(balance)
    at = int(np.argmax(hit)) + 1 if hit.any() else stop - first
    return QuietInterval(first, first + at, worst[:at], value[:at])


def _touched(trade: Trade, low: Floats, high: Floats, half: Floats) -> NDArray[np.bool_]:
    stop = float(trade.stop_loss)
    target = None if trade.take_profit is None else float(trade.take_profit)
    if trade.side is Side.BUY:
        hit: NDArray[np.bool_] = low - half <= stop * (1 + SLACK)
        return hit if target is None else hit | (high - half >= target * (1 - SLACK))
    hit = high + half >= stop * (1 - SLACK)
    return hit if target is None else hit | (low + half <= target * (1 + SLACK))


def worst_minutes(part: QuietInterval, levels: QuietLevels) -> Sequence[int]:
    """Return the minutes before the last that may set today's worst equity: none, one, or all that floats cannot distinguish."""
    if part.worst.shape[0] < 2:
        return ()
    inner = part.worst[:-1]
    least, slack = float(inner.min()), SLACK * max(abs(float(inner.max())), 1.0)
    if least > levels.worst_equity + slack:
        return ()
    near: list[int] = np.flatnonzero(inner <= least + slack).tolist()
    return [part.first + m for m in near]


def may_lock(peak: float, least: float) -> bool:
    """Return whether equity may have fallen far enough from its peak for the drawdown protection to act."""
    return least < peak * (1 - _DRAWDOWN * (1 - _NEAR))
