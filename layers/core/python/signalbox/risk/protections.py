"""Protections: pauses of new entries after a series of losses or a recent exit. Reductions are never locked.

Each is a pure function of the history up to `at`. Nothing is remembered, so a restart clears no lock, and facts dated after `at`
are ignored. A lock begins with the exit or equity that caused it and ends a fixed time later, unless it is caused again. The
order in which the facts are given has no effect. Windows are (t - lookback, t].
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.risk.limits import Share
from signalbox.risk.numbers import aware, exact
from signalbox.risk.snapshot import Lock


class ProtectionCode(StrEnum):
    """Why new entries are locked."""

    COOLDOWN_ACTIVE = "COOLDOWN_ACTIVE"
    STOP_LOSSES_OVER_LIMIT = "STOP_LOSSES_OVER_LIMIT"
    SYMBOL_PROFIT_BELOW_MINIMUM = "SYMBOL_PROFIT_BELOW_MINIMUM"
    EQUITY_DRAWDOWN_OVER_LIMIT = "EQUITY_DRAWDOWN_OVER_LIMIT"


@dataclass(frozen=True, slots=True)
class Exit:
    """A closed position: when it closed, its profit after costs, and whether its stop closed it."""

    symbol: Symbol
    at: datetime
    profit: Decimal
    by_stop: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", aware(self.at, "exit"))
        object.__setattr__(self, "profit", exact(self.profit, "profit"))


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity, including floating profit, at one instant. A drawdown of the closed balance alone would be noticed too late."""

    at: datetime
    equity: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", aware(self.at, "equity"))
        object.__setattr__(self, "equity", exact(self.equity, "equity"))


Minutes = Annotated[int, Field(ge=1, le=43_200)]


class ProtectionLimits(BaseModel):
    """All thresholds of the protections, bounded and without defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,40}\.\d+$")]
    cooldown_minutes: Minutes  # for a symbol, after each exit
    stop_loss_lookback_minutes: Minutes
    max_stop_losses_symbol: Annotated[int, Field(ge=1, le=1000)]  # this many stop losses lock the symbol
    max_stop_losses_account: Annotated[int, Field(ge=1, le=1000)]  # this many stop losses lock the account
    stop_loss_pause_minutes: Minutes
    low_profit_lookback_minutes: Minutes
    low_profit_min_exits: Annotated[int, Field(ge=1, le=1000)]
    low_profit_minimum: Annotated[Decimal, Field(allow_inf_nan=False)]  # total profit of the window's exits, account currency
    low_profit_pause_minutes: Minutes
    drawdown_lookback_minutes: Minutes
    max_drawdown_fraction: Share  # of the highest equity in the window
    drawdown_pause_minutes: Minutes


STANDARD: Final = ProtectionLimits(
    version="standard.1",
    cooldown_minutes=15,
    stop_loss_lookback_minutes=360,
    max_stop_losses_symbol=2,
    max_stop_losses_account=4,
    stop_loss_pause_minutes=240,
    low_profit_lookback_minutes=2_880,
    low_profit_min_exits=4,
    low_profit_minimum=ZERO,
    low_profit_pause_minutes=720,
    drawdown_lookback_minutes=2_880,
    max_drawdown_fraction=Decimal("0.04"),
    drawdown_pause_minutes=720,
)


def active_locks(
    exits: Iterable[Exit], equity: Iterable[EquityPoint], *, at: datetime, limits: ProtectionLimits
) -> tuple[Lock, ...]:
    """Return all locks in force at `at`, sorted by reason and symbol. All of them belong into the account's risk snapshot."""
    at = aware(at, "at")
    known = sorted([e for e in exits if e.at <= at], key=lambda e: e.at)
    points = sorted((p for p in equity if p.at <= at), key=lambda p: (p.at, p.equity))
    own: dict[Symbol, list[Exit]] = {}
    for one in known:
        own.setdefault(one.symbol, []).append(one)
    found = [drawdown(points, limits), stop_losses(known, None, at, limits)]
    for symbol in sorted(own):
        of_it = own[symbol]
        found += [cooldown(of_it, at, limits), stop_losses(of_it, symbol, at, limits), low_profit(of_it, at, limits)]
    in_force = [lock for lock in found if lock is not None and at < lock.until]
    return tuple(sorted(in_force, key=lambda lock: (lock.reason, lock.symbol or "")))


# These three are asked by `active_locks` alone: exits up to `at`, oldest first. None also for a lock that is over at `at`.


def cooldown(own: Sequence[Exit], at: datetime, limits: ProtectionLimits) -> Lock | None:
    """Return the lock of a symbol after its newest exit."""
    if not own or own[-1].at + timedelta(minutes=limits.cooldown_minutes) <= at:
        return None
    return _lock(
        ProtectionCode.COOLDOWN_ACTIVE,
        own[-1].symbol,
        own[-1].at,
        pause_minutes=limits.cooldown_minutes,
        limit=ZERO,
        value=Decimal(1),
    )


def stop_losses(known: Sequence[Exit], symbol: Symbol | None, at: datetime, limits: ProtectionLimits) -> Lock | None:
    """Return the lock of a symbol (None: of the account) after too many stop losses within the window."""
    limit = limits.max_stop_losses_account if symbol is None else limits.max_stop_losses_symbol
    code = ProtectionCode.STOP_LOSSES_OVER_LIMIT

    def judge(first: int, stop: int) -> tuple[Decimal, Decimal] | None:
        return (Decimal(limit), Decimal(stop - first)) if stop - first >= limit else None

    stopped = [e for e in known if e.by_stop]
    if len(stopped) < limit:
        return None
    return _newest(
        stopped,
        symbol,
        code,
        at,
        lookback_minutes=limits.stop_loss_lookback_minutes,
        pause_minutes=limits.stop_loss_pause_minutes,
        judge=judge,
    )


@exactly
def low_profit(own: Sequence[Exit], at: datetime, limits: ProtectionLimits) -> Lock | None:
    """Return the lock of a symbol whose exits in the window, if there are enough, earned less than the minimum in total."""
    if len(own) < limits.low_profit_min_exits or own[-1].at + timedelta(minutes=limits.low_profit_pause_minutes) <= at:
        return None
    sums = list(accumulate((e.profit for e in own), initial=ZERO))  # exact, so a window's profit is a difference of two

    def judge(first: int, stop: int) -> tuple[Decimal, Decimal] | None:
        profit = sums[stop] - sums[first]
        enough = stop - first >= limits.low_profit_min_exits
        return (limits.low_profit_minimum, profit) if enough and profit < limits.low_profit_minimum else None

    return _newest(
        own,
        own[-1].symbol,
        ProtectionCode.SYMBOL_PROFIT_BELOW_MINIMUM,
        at,
        lookback_minutes=limits.low_profit_lookback_minutes,
        pause_minutes=limits.low_profit_pause_minutes,
        judge=judge,
    )


@exactly
def drawdown(points: Sequence[EquityPoint], limits: ProtectionLimits) -> Lock | None:
    """Return the lock of the account after equity fell too far below its highest value in the window."""
    lookback = timedelta(minutes=limits.drawdown_lookback_minutes)
    peaks: deque[EquityPoint] = deque()  # decreasing equities; the first is the highest of the window
    newest: Lock | None = None
    for point in points:
        while peaks and peaks[0].at <= point.at - lookback:
            peaks.popleft()
        while peaks and peaks[-1].equity <= point.equity:
            peaks.pop()
        peaks.append(point)
        peak = peaks[0].equity
        fall, limit = peak - point.equity, max(peak, ZERO) * limits.max_drawdown_fraction
        if fall > limit:
            code = ProtectionCode.EQUITY_DRAWDOWN_OVER_LIMIT
            newest = _lock(code, None, point.at, pause_minutes=limits.drawdown_pause_minutes, limit=limit, value=fall)
    return newest


def _newest(
    known: Sequence[Exit],
    symbol: Symbol | None,
    code: ProtectionCode,
    at: datetime,
    *,
    lookback_minutes: int,
    pause_minutes: int,
    judge: Callable[[int, int], tuple[Decimal, Decimal] | None],
) -> Lock | None:
    """Return the lock of the newest exit whose window exceeds the limit. Exits at one instant are judged together.

    known: oldest first. judge: of the window known[first:stop]; returns limit and value, or None within the limit.
    """
    lookback, pause = timedelta(minutes=lookback_minutes), timedelta(minutes=pause_minutes)
    instants = [e.at for e in known]
    stop = len(instants)
    while stop:
        moment = instants[stop - 1]
        if moment + pause <= at:  # its lock would be over, and so would every older one
            return None
        verdict = judge(bisect_right(instants, moment - lookback), stop)
        if verdict is not None:
            return _lock(code, symbol, moment, pause_minutes=pause_minutes, limit=verdict[0], value=verdict[1])
        stop = bisect_left(instants, moment)
    return None


def _lock(
    code: ProtectionCode, symbol: Symbol | None, since: datetime, *, pause_minutes: int, limit: Decimal, value: Decimal
) -> Lock:
    return Lock(code.value, symbol, since, since + timedelta(minutes=pause_minutes), limit, value)
