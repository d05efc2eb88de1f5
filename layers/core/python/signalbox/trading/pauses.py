"""Applies the protections: sets locks after exits and falling equity, and keeps the history that the next step needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from signalbox.exact import exactly
from signalbox.risk.protections import STANDARD, EquityPoint, Exit, active_locks, drawdown
from signalbox.trading.draft import AccountDraft
from signalbox.trading.memory import ProtectionMemory

_EXITS_KEPT = timedelta(minutes=max(STANDARD.stop_loss_lookback_minutes, STANDARD.low_profit_lookback_minutes))
_PEAKS_KEPT = timedelta(minutes=STANDARD.drawdown_lookback_minutes)


def remember_exit(draft: AccountDraft, closed: Exit) -> None:
    """Remember an exit and set the locks that it triggers."""
    exits = [e for e in (*draft.memory.exits, closed) if e.at > closed.at - _EXITS_KEPT]
    draft.remember(ProtectionMemory(tuple(sorted(exits, key=lambda e: (e.at, e.symbol))), draft.memory.peaks))
    newest = max(e.at for e in exits)
    for lock in active_locks(exits, (), at=newest, limits=STANDARD):
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
