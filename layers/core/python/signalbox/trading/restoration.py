"""Halts the live accounts of a restored ledger until a person has checked them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingMode
from signalbox.trading.changes import NO_CHANGES, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import TradingHalted
from signalbox.trading.kill_switch import SEVERITY
from signalbox.trading.state import AccountState, Halt

RESTORE: Final = "restore"  # as `who` of the halts it sets


def halt_restored(state: AccountState, dumped_at: datetime, at: datetime) -> Transition:
    """Halt a live account that was restored from a dump, because its ledger lacks everything that happened since the dump.

    An order that was sent after the dump is unknown here, and a position that it made looks like somebody else's. So nothing new
    is begun until the account was compared with its venue and somebody resumes; exits go on. What is in force already and is
    stricter or as strict stays, without an end. The next step of the account cancels the orders that would open risk.
    """
    if state.account.mode is not TradingMode.LIVE:
        return state, NO_CHANGES
    now = state.halt
    level = HaltLevel.HALT
    if now is not None and now.level_at(at) is not HaltLevel.NONE:
        if now.until is None:
            return state, NO_CHANGES
        level = max(level, now.level_at(at), key=SEVERITY.__getitem__)
    why = f"restored from the dump of {dumped_at.isoformat()}: compare with the venue before you resume"
    draft = AccountDraft(state, at)
    halt = Halt(level, RESTORE, why, draft.at)
    draft.keep_halt(halt)
    key = f"{halt.level}:{halt.since.isoformat()}"
    draft.record(RiskEvent(RiskEventKind.HALTED, key, halt.since, halt.level, who=RESTORE, detail=why))
    draft.announce(
        TradingHalted(account=state.account.account, level=halt.level, who=RESTORE, why=why, at=halt.since, until=None)
    )
    return draft.done()
