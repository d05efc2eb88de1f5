"""The protections at work: what an exit or a fall of equity locks, and what has to be remembered for the next one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from signalbox.exact import exactly
from signalbox.risk.protections import STANDARD, EquityPoint, Exit, active_locks, drawdown
from signalbox.risk.snapshot import Lock
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.memory import ProtectionMemory

_EXITS_KEPT = timedelta(minutes=max(STANDARD.stop_loss_lookback_minutes, STANDARD.low_profit_lookback_minutes))
_PEAKS_KEPT = timedelta(minutes=STANDARD.drawdown_lookback_minutes)


def remember_exit(draft: AccountDraft, closed: Exit) -> None:
    """Keep an exit, and lock what it locks."""
    exits = [e for e in (*draft.memory.exits, closed) if e.at > closed.at - _EXITS_KEPT]
    draft.memory = replace(draft.memory, exits=tuple(sorted(exits, key=lambda e: (e.at, e.symbol))))
    newest = max(e.at for e in exits)
    for lock in active_locks(exits, (), at=newest, limits=STANDARD):
        _lock(draft, lock)


@exactly
def remember_equity(draft: AccountDraft, at: datetime, equity: Decimal) -> None:
    """Keep an equity point, and lock everything while it is too far below the highest of the window."""
    peaks = [p for p in draft.memory.peaks if p.at > at - _PEAKS_KEPT]
    while peaks and peaks[-1].equity <= equity:
        peaks.pop()
    point = EquityPoint(at, equity)
    draft.memory = ProtectionMemory(draft.memory.exits, (*peaks, point))
    if peaks and peaks[0].equity - equity > max(peaks[0].equity, Decimal(0)) * STANDARD.max_drawdown_fraction:
        lock = drawdown((peaks[0], point), STANDARD)
        if lock is not None:
            _lock(draft, lock)


def _lock(draft: AccountDraft, lock: Lock) -> None:
    """Keep a lock in place of an older one of its reason and symbol; it is written down once for as long as it runs on."""
    same = [k for k in draft.locks if (k.reason, k.symbol) == (lock.reason, lock.symbol)]
    if any(k.until >= lock.until for k in same):
        return
    draft.locks = tuple(
        sorted((*(k for k in draft.locks if k not in same), lock), key=lambda k: (k.reason, k.symbol or "", k.until))
    )
    draft.new_locks.append(lock)
    if any(k.until >= lock.since for k in same):
        return
    draft.risk.append(
        RiskEvent(
            RiskEventKind.LOCKED,
            f"{lock.reason}:{lock.symbol or ''}:{lock.since.isoformat()}",
            lock.since,
            lock.reason,
            symbol=lock.symbol,
            limit=lock.limit,
            value=lock.value,
            detail=f"until {lock.until.isoformat()}",
        )
    )
