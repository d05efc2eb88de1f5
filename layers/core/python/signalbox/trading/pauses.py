"""Applies the protections: sets locks after exits and falling equity, and keeps the history that the next step needs."""

from __future__ import annotations

from bisect import insort
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter

from signalbox.exact import exactly
from signalbox.risk.protections import STANDARD, EquityPoint, Exit, active_locks, drawdown
from signalbox.trading.draft import AccountDraft
from signalbox.trading.memory import ProtectionMemory

_EXITS_KEPT = timedelta(minutes=max(STANDARD.stop_loss_lookback_minutes, STANDARD.low_profit_lookback_minutes))
_PEAKS_KEPT = timedelta(minutes=STANDARD.drawdown_lookback_minutes)

_by_instant = attrgetter("at", "symbol")  # the order in which exits are remembered


def remember_exit(draft: AccountDraft, closed: Exit) -> None:
    """Remember an exit and set the locks that it triggers."""
    since = closed.at - _EXITS_KEPT
    exits = [e for e in draft.memory.exits if e.at > since]
    insort(exits, closed, key=_by_instant)
    draft.remember(ProtectionMemory(tuple(exits), draft.memory.peaks))
    for lock in active_locks(exits, (), at=exits[-1].at, limits=STANDARD):
        draft.lock(lock)


@exactly
def remember_equity(draft: AccountDraft, at: datetime, equity: Decimal) -> None:
    """Remember an equity point, and lock all entries if it is too far below the highest point of the window."""
    peaks = [p for p in draft.memory.peaks if p.at > at - _PEAKS_KEPT]
    while peaks and peaks[-1].equity <= equity:
        peaks.pop()
    point = EquityPoint(at, equity)
    draft.remember(ProtectionMemory(draft.memory.exits, (*peaks, point)))
    if peaks and peaks[0].equity - equity > max(peaks[0].equity, Decimal(0)) * STANDARD.max_drawdown_fraction:
        lock = drawdown((peaks[0], point), STANDARD)
        if lock is not None:
            draft.lock(lock)
