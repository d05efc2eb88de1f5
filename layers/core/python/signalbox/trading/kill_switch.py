"""Applies the kill switch: of two halts the stricter level and the later end count, and orders that add risk are cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import TradingHalted, TradingResumed
from signalbox.trading.order_requests import keep_cancelling
from signalbox.trading.state import Halt

SEVERITY: Final = {level: rank for rank, level in enumerate(HaltLevel)}


def set_halt(draft: AccountDraft, halt: Halt) -> bool:
    """Set the kill switch. Return False if the halt in force is as strict and lasts as long; a halt never becomes milder here.

    Of two overlapping halts the stricter level holds until the later end, so that none is lost when the other one ends.
    """
    now = draft.halt
    if now is not None and now.level_at(halt.since) is not HaltLevel.NONE:
        stricter = SEVERITY[halt.level] > SEVERITY[now.level]
        longer = now.until is not None and (halt.until is None or halt.until > now.until)
        if not stricter and not longer:
            return False
        halt = replace(halt, level=halt.level if stricter else now.level, until=halt.until if longer else now.until)
    draft.keep_halt(halt)
    draft.record(
        RiskEvent(
            RiskEventKind.HALTED,
            f"{halt.level}:{halt.since.isoformat()}",
            halt.since,
            halt.level,
            who=halt.who,
            detail=halt.why,
        )
    )
    draft.announce(
        TradingHalted(
            account=draft.account.account, level=halt.level, who=halt.who, why=halt.why, at=halt.since, until=halt.until
        )
    )
    cancel_new_risk(draft, halt.since)
    return True


def cancel_new_risk(draft: AccountDraft, at: datetime) -> None:
    """Cancel every working order that is not reduce-only while the kill switch is set. Called again until all have ended."""
    if draft.halt is None or draft.halt_level(at) is HaltLevel.NONE:
        return
    for order in draft.open_orders():
        if not order.terms.reduce_only:
            keep_cancelling(draft, order, f"halt-{draft.halt.since.isoformat()}", max(at, order.accepted_at or at))


def release(draft: AccountDraft, halt: Halt, who: str, why: str) -> None:
    """Release the halt in force. Depleted headroom is announced again, because whoever resumes has to know of it."""
    draft.keep_halt(None)
    draft.lift_depletion_warnings()
    draft.record(RiskEvent(RiskEventKind.RESUMED, draft.at.isoformat(), draft.at, halt.level, who=who, detail=why))
    draft.announce(TradingResumed(account=draft.account.account, who=who, why=why, at=draft.at))
