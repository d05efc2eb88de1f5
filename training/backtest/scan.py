"""Which minute must be watched next: the first at which anything could happen to an open account. Floats, on the safe side.

Between two watched minutes nothing trades, so quantities and balance stand still and the account is a sum of prices. A
minute matters when a stop or target may be touched, a deadline comes, equity may reach a level of a loss limit that was not
told yet, a day ends, or bars are missing. Every comparison leaves `SLACK`, far more than floats can be wrong by: a minute
too many costs time, a minute too few would change the result.
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
from signalbox.risk.ftmo.judge import FtmoJudge
from signalbox.risk.ftmo.state import AccountStatus
from signalbox.risk.protections import STANDARD
from signalbox.trading.paper import SPREAD_BPS
from signalbox.trading.snapshot import judge_of
from signalbox.trading.state import Desk, Trade, TradeState
from training.backtest.tape import Tape

SLACK: Final = 1e-9  # of a price or an equity, relative
Floats: TypeAlias = NDArray[np.float64]
_HALF_SPREAD: Final = float(SPREAD_BPS) / 20_000  # of the open
_DRAWDOWN: Final = float(STANDARD.max_drawdown_fraction)
_NEAR: Final = 0.05  # of the allowed drawdown, before it


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Minutes [first, stop) of an account in which nothing happens before `stop - 1`.

    stop: the instant at which something may; until then every minute may be left out. worst, value: (stop - first,)
    estimated equity at the worst prices and at the closes of each minute.
    """

    first: int
    stop: int
    worst: NDArray[np.float64]
    value: NDArray[np.float64]

    def until(self, stop: int) -> Stretch:
        """Return what lies before an instant."""
        count = stop - self.first
        return Stretch(self.first, stop, self.worst[:count], self.value[:count])


@dataclass(frozen=True, slots=True)
class Levels:
    """What equity means today: the next level of each loss limit that was not told, and when that changes by itself.

    day_ends: also when the limits of tomorrow begin to count, shortly before.
    """

    day_ends: datetime | None
    highest_untold: float  # equity at or below which a level is reached; -inf when all were
    worst_equity: float  # of today so far
    status: AccountStatus = AccountStatus.ACTIVE


def levels_of(desk: Desk) -> Levels:
    """Return the levels of an account now. Without rules nothing is told and days do not end."""
    judge = judge_of(desk.account, desk.loss_rules)
    if judge is None:
        return Levels(None, -np.inf, -np.inf)
    room, today = judge.headroom(), judge.day
    untold = _highest_untold(judge, room.rules, today, desk)
    if today is not None:
        untold = max(untold, _highest_untold(judge, room.tomorrow, today + timedelta(days=1), desk))
    return Levels(
        _next_change(judge),
        untold,
        float(judge.state().worst_equity),
        judge.status,
    )


def _next_change(judge: FtmoJudge) -> datetime | None:
    """Return when other limits begin to count: those of tomorrow before midnight, and at midnight."""
    midnight = judge.next_midnight
    if midnight is None or judge.now is None:
        return midnight
    guarded = midnight - timedelta(minutes=judge.rules.stops.midnight_minutes)
    return guarded if judge.now < guarded else midnight


def _highest_untold(judge: FtmoJudge, rules: Sequence[RuleHeadroom], day: date | None, desk: Desk) -> float:
    stops = judge.rules.stops
    shares = ((stops.alert, StopLevel.ALERT), (stops.block, StopLevel.BLOCK), (stops.flatten, StopLevel.FLATTEN))
    found = -np.inf
    for rule in rules:
        untold = [
            rule.reference - share * rule.amount for share, level in shares if f"{rule.rule}:{level}:{day}" not in desk.warned
        ]
        if rule.rule not in judge.breaches:
            untold.append(rule.limit)
        found = max([found, *map(float, untold)])
    return found


def is_quiet(desk: Desk) -> bool:
    """Whether prices alone move the account: open trades and nothing on its way."""
    held = {symbol for symbol, position in desk.books.positions.items() if position.quantity}
    return (
        held == {str(symbol) for symbol in desk.trades}
        and all(trade.state is TradeState.OPEN and trade.exit_leg is None for trade in desk.trades.values())
        and all(order.state.is_closed for order in desk.orders.values())
    )


def stretch(tape: Tape, desk: Desk, levels: Levels, first: int, stop: int) -> Stretch:
    """Return the minutes from `first` up to the first that must be watched, `stop - 1` at the latest.

    The desk is quiet and watched up to `first`; no bar is missing in [first, stop).
    """
    for trade in desk.trades.values():
        stop = min(stop, max(tape.minute(trade.deadline) + 1, first + 1))
    if levels.day_ends is not None:
        stop = min(stop, max(tape.minute(levels.day_ends), first + 1))
    cut = slice(first, stop)
    hit = np.zeros(stop - first, dtype=np.bool_)
    balance = float(desk.books.balance)
    worst, value = np.full(stop - first, balance), np.full(stop - first, balance)
    for symbol, trade in desk.trades.items():
        row = tape.row[symbol]
        low, high, opened = tape.low[row, cut], tape.high[row, cut], tape.open[row, cut]
        half = opened * _HALF_SPREAD
        hit |= _touched(trade, low, high, half)
        position = desk.books.position(symbol)
        quantity, cost = float(position.quantity), float(position.cost)
        worst += quantity * (low if quantity > 0 else high) - cost
        value += quantity * tape.close[row, cut] - cost
    hit |= worst <= levels.highest_untold + SLACK * abs(balance)
    at = int(np.argmax(hit)) + 1 if hit.any() else stop - first
    return Stretch(first, first + at, worst[:at], value[:at])


def _touched(trade: Trade, low: Floats, high: Floats, half: Floats) -> NDArray[np.bool_]:
    stop = float(trade.stop_loss)
    target = None if trade.take_profit is None else float(trade.take_profit)
    if trade.side is Side.BUY:
        hit: NDArray[np.bool_] = low - half <= stop * (1 + SLACK)
        return hit if target is None else hit | (high - half >= target * (1 - SLACK))
    hit = high + half >= stop * (1 - SLACK)
    return hit if target is None else hit | (low + half <= target * (1 + SLACK))


def worst_minutes(part: Stretch, levels: Levels) -> Sequence[int]:
    """Return the minutes before the last that may set today's worst equity: none, one, or all that floats cannot tell apart."""
    if part.worst.shape[0] < 2:
        return ()
    inner = part.worst[:-1]
    least, slack = float(inner.min()), SLACK * max(abs(float(inner.max())), 1.0)
    if least > levels.worst_equity + slack:
        return ()
    near: list[int] = np.flatnonzero(inner <= least + slack).tolist()
    return [part.first + m for m in near]


def may_lock(peak: float, least: float) -> bool:
    """Whether equity may have fallen so far from its peak that the drawdown protection could act."""
    return least < peak * (1 - _DRAWDOWN * (1 - _NEAR))
