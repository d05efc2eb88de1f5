"""The kill switch of an account: set, and released by a command. Pure."""

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
    """Set the kill switch; FLATTEN also closes everything. Of two the stricter level holds until the later end.

    One that is neither stricter nor longer than what is in force changes nothing. Working orders that are not reductions
    are cancelled. Raises CommandError for NONE: that is `resume`.
    """
    if level is HaltLevel.NONE:
        raise CommandError("expected a level that stops something, was NONE; resume releases the kill switch")
    draft = AccountDraft(state, at)
    if not set_halt(draft, Halt(level, who, why, draft.at, until)):
        return state, NO_CHANGES
    manage_exits(draft, draft.stamp(draft.at))
    return draft.done()


def resume(state: AccountState, who: str, why: str, at: datetime, given_at: datetime | None = None) -> Transition:
    """Release the kill switch. Raises CommandError while a loss rule is broken: a breach is final.

    given_at: when the command was given, default: now. A delayed or repeated command does not release a halt that was set
    after it, because nobody has looked at that one: it raises CommandError.
    """
    if state.halt is None:
        return state, NO_CHANGES
    if given_at is not None and given_at < state.halt.since:
        raise CommandError(
            f"{state.account.account}: expected a resume given after the halt of {state.halt.since.isoformat()} "
            f"({state.halt.why}), was of {given_at.isoformat()}; look at it and resume again"
        )
    monitor = rule_monitor_of(state.account, state.loss_rules)
    if monitor is not None and monitor.status is AccountStatus.BREACHED:
        broken = ", ".join(monitor.breaches)
        raise CommandError(f"{state.account.account}: expected no broken rule, was {broken}; a breach is final")
    draft = AccountDraft(state, at)
    release(draft, state.halt, who, why)
    return draft.done()


def halt_at_end(settings: Iterable[Halt], record: Iterable[RiskEvent], end: datetime) -> Halt | None:
    """Return the kill switch as it was set just before `end`; None once it was resumed. What ended by itself is still told.

    settings: the account's settings, in any order. record: its compliance record, in the order it was written: a resume leaves
    no setting, only its line. A setting takes over what it overlaps (`AccountDraft.set_halt`), so the newest line decides alone.
    """
    lines = [line for line in record if line.kind in {RiskEventKind.HALTED, RiskEventKind.RESUMED} and line.at < end]
    if not lines or lines[-1].kind is RiskEventKind.RESUMED:
        return None
    newest = lines[-1]
    return next(one for one in settings if (one.since, one.level) == (newest.at, newest.code))
