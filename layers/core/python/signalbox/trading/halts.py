"""The kill switch of an account: commands set and release it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from signalbox.risk.ftmo.state import AccountStatus
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import NO_CHANGES, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.errors import CommandError
from signalbox.trading.exits import manage_exits
from signalbox.trading.kill_switch import release, set_halt
from signalbox.trading.snapshot import rule_monitor_of
from signalbox.trading.state import AccountState, Halt


def halt(  # noqa: PLR0917 - who, why and when read in this order
    state: AccountState, level: HaltLevel, who: str, why: str, at: datetime, until: datetime | None = None
) -> Transition:
    """Set the kill switch. FLATTEN also closes every position. Of two halts the stricter level holds until the later end.

    A halt that is neither stricter nor longer than the one in force changes nothing. Working orders that are not reduce-only are
    cancelled. Raises CommandError for NONE: use `resume`.
    """
    if level is HaltLevel.NONE:
        raise CommandError("level NONE halts nothing; use resume to release the kill switch")
    draft = AccountDraft(state, at)
    if not set_halt(draft, Halt(level, who, why, draft.at, until)):
        return state, NO_CHANGES
    manage_exits(draft, draft.stamp(draft.at))
    return draft.done()


def resume(state: AccountState, who: str, why: str, at: datetime, given_at: datetime | None = None) -> Transition:
    """Release the kill switch. Raises CommandError while a loss rule is broken: a breach is final.

    given_at: when the command was given; None means now. A delayed or repeated command must not release a halt that was set
    later, because its sender did not know of that halt: it raises CommandError.
    """
    if state.halt is None:
        return state, NO_CHANGES
    if given_at is not None and given_at < state.halt.since:
        raise CommandError(
            f"{state.account.account}: the halt of {state.halt.since.isoformat()} "
            f"({state.halt.why}) is newer than this resume of {given_at.isoformat()}; check the halt, then resume again"
        )
    monitor = rule_monitor_of(state.account, state.loss_rules)
    if monitor is not None and monitor.status is AccountStatus.BREACHED:
        broken = ", ".join(monitor.breaches)
        raise CommandError(f"{state.account.account}: cannot resume: {broken} is broken, and a breach is final")
    draft = AccountDraft(state, at)
    release(draft, state.halt, who, why)
    return draft.done()


def halt_at_end(settings: Iterable[Halt], record: Iterable[RiskEvent], end: datetime) -> Halt | None:
    """Return the halt as set just before `end`, None if it was resumed. A halt that expired by itself is still returned.

    settings: the account's halts in any order. record: its compliance record in writing order; a resume is found only there. A
    new halt includes the one it overlaps (`kill_switch.set_halt`), so the newest line alone decides.
    """
    lines = [line for line in record if line.kind in {RiskEventKind.HALTED, RiskEventKind.RESUMED} and line.at < end]
    if not lines or lines[-1].kind is RiskEventKind.RESUMED:
        return None
    newest = lines[-1]
    return next(one for one in settings if (one.since, one.level) == (newest.at, newest.code))
