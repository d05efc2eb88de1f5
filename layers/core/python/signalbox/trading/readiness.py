"""Decides whether an account may send orders to a live venue now: green, or every reason against it with its remedy. Pure.

It fails closed: an unknown fact (None) is a reason against trading. Every live order that opens risk needs a green result;
orders that only reduce risk do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from typing_extensions import override

from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.state import Halt

LIVE_GATES: Final = ("G0", "G1", "G2", "G3", "G4")


class NotReady(StrEnum):
    """Why an account may not trade live."""

    MODE_NOT_LIVE = "MODE_NOT_LIVE"
    MODE_NOT_CONFIRMED = "MODE_NOT_CONFIRMED"
    MODEL_NOT_ACTIVE = "MODEL_NOT_ACTIVE"
    GATE_NOT_PASSED = "GATE_NOT_PASSED"
    HALTED = "HALTED"
    NOT_COMPARED = "NOT_COMPARED"
    COMPARISON_OLD = "COMPARISON_OLD"
    DIFFERENCE = "DIFFERENCE"
    SECRETS_MISSING = "SECRETS_MISSING"
    DATA_STALE = "DATA_STALE"
    RULES_NOT_CONFIRMED = "RULES_NOT_CONFIRMED"
    VENUE_NOT_SUPPORTED = "VENUE_NOT_SUPPORTED"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A confirmation: who confirmed what and when. `what` is a mode or a version of the firm's rules."""

    who: str
    at: datetime
    what: str
    request_id: str = ""  # of the command; one command is one confirmation


WITHDRAWN: Final = "withdrawn"  # withdraws everything that was confirmed
MODE_WORDS: Final = (TradingMode.LIVE.value, TradingMode.PAPER.value, WITHDRAWN)


def words_of(account: TradingAccount) -> tuple[str, ...]:
    """Return what may be confirmed for an account: a mode, the version of its firm's rules, or the withdrawal of everything."""
    rules = () if account.rules is None else (f"{account.rules.name} {account.rules.version}",)
    return (*(word for word in MODE_WORDS if word != TradingMode.LIVE.value or account.mode is TradingMode.LIVE), *rules)


def mode_set(confirmation: Iterable[Confirmation]) -> Confirmation | None:
    """Return the newest confirmation of a mode, or None. Of two at the same instant, the one against live trading counts."""
    found = [one for one in confirmation if one.what in MODE_WORDS]
    return max(found, key=lambda one: (one.at, one.what != TradingMode.LIVE.value), default=None)


def rules_confirmed(confirmation: Iterable[Confirmation]) -> Confirmation | None:
    """Return the newest confirmation of the firm's rules, or None. Of two at the same instant, a withdrawal counts."""
    found = [one for one in confirmation if one.what not in MODE_WORDS or one.what == WITHDRAWN]
    return max(found, key=lambda one: (one.at, one.what == WITHDRAWN), default=None)


@dataclass(frozen=True, slots=True)
class ModelQualification:
    """The model behind the signals: its stage and its gate verdicts, keyed by the gate's short name (G0 to G4).

    A missing gate was not evaluated. A deployment with several bundles passes a gate only if all of them pass it.
    """

    deployment: str
    stage: Literal["shadow", "active"]
    gates: dict[str, bool]


def qualification_of(deployment: str, stage: str, bundles: Iterable[Mapping[str, str]]) -> ModelQualification:
    """Return the gate verdicts of a deployment. bundles: each one's verdicts: "pass", "fail" or "not evaluated"."""
    known = list(bundles)
    gates = {}
    for gate in sorted({gate for bundle in known for gate in bundle}):
        verdicts = {bundle.get(gate) for bundle in known}
        if verdicts == {"pass"} or "fail" in verdicts:
            gates[gate] = verdicts == {"pass"}
    return ModelQualification(deployment, "active" if stage == "active" else "shadow", gates)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The newest comparison of ledger and venue. open: the differences since its view was requested, as "CODE subject"."""

    at: datetime
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadinessLimits:
    """The maximum age of each fact."""

    comparison: timedelta = timedelta(minutes=15)
    data: timedelta = timedelta(minutes=10)
    rules: timedelta = timedelta(days=90)  # firms change their rules, so somebody has to read them again


@dataclass(frozen=True, slots=True)
class ReadinessFacts:
    """The facts about an account at one time. None means unknown and counts against the account."""

    account: TradingAccount
    mode_set: Confirmation | None
    model: ModelQualification | None
    halt: Halt | None
    compared: Comparison | None
    secrets_present: bool | None
    newest_bar_closed_at: datetime | None
    rules_confirmed: Confirmation | None = None  # only needed for accounts with prop-firm rules
    venues: tuple[str, ...] = ("coinbase", "mt5")  # the venues that execute_orders serves


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why an account may not trade live, and the remedy."""

    code: NotReady
    found: str
    remedy: str

    @override
    def __str__(self) -> str:
        return f"{self.code}: {self.found}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The result. Green when there is no reason against live trading."""

    reasons: tuple[Reason, ...]

    @property
    def is_green(self) -> bool:
        return not self.reasons


def readiness(facts: ReadinessFacts, at: datetime, limits: ReadinessLimits | None = None) -> Readiness:
    """Check an account at `at`. Returns all reasons, not only the first."""
    bounds = limits or ReadinessLimits()
    return Readiness(
        (
            *_mode(facts, at),
            *_model(facts),
            *_halt(facts, at),
            *_comparison(facts, at, bounds),
            *_secrets(facts),
            *_data(facts, at, bounds),
            *_rules(facts, at, bounds),
        )
    )


def _mode(facts: ReadinessFacts, at: datetime) -> Iterator[Reason]:
    account, confirmation = facts.account, facts.mode_set
    if account.mode is not TradingMode.LIVE:
        yield Reason(NotReady.MODE_NOT_LIVE, f"{account.account} is in mode {account.mode}", "Open an account with mode live.")
    if (
        confirmation is None
        or not confirmation.who.strip()
        or confirmation.what != TradingMode.LIVE.value
        or confirmation.at > at
    ):
        found = (
            "nobody confirmed mode live"
            if confirmation is None
            else f"the newest confirmation is {confirmation.what!r} by {confirmation.who!r}"
        )
        yield Reason(NotReady.MODE_NOT_CONFIRMED, found, "An operator confirms mode live under their own name.")
    if account.mode is TradingMode.LIVE and account.venue not in facts.venues:
        yield Reason(NotReady.VENUE_NOT_SUPPORTED, f"no venue {account.venue!r} here", f"Use one of {', '.join(facts.venues)}.")


def _model(facts: ReadinessFacts) -> Iterator[Reason]:
    model = facts.model
    if model is None:
        yield Reason(NotReady.MODEL_NOT_ACTIVE, "no deployed model has decided yet", "Deploy a bundle in stage active.")
        return
    if model.stage != "active":
        yield Reason(
            NotReady.MODEL_NOT_ACTIVE,
            f"{model.deployment} is in stage {model.stage}",
            "Promote it, or deploy an active model.",
        )
    for gate in LIVE_GATES:
        if model.gates.get(gate) is not True:
            found = f"{model.deployment}: gate {gate} {'not evaluated' if gate not in model.gates else 'not passed'}"
            yield Reason(NotReady.GATE_NOT_PASSED, found, "Deploy a model that passes; live trading has no override.")


def _halt(facts: ReadinessFacts, at: datetime) -> Iterator[Reason]:
    if facts.halt is not None and facts.halt.level_at(at) is not HaltLevel.NONE:
        halt = facts.halt
        yield Reason(
            NotReady.HALTED,
            f"{halt.level_at(at)} since {halt.since.isoformat()} by {halt.who}: {halt.why}",
            "Give a resume command.",
        )


def _comparison(facts: ReadinessFacts, at: datetime, limits: ReadinessLimits) -> Iterator[Reason]:
    compared = facts.compared
    if compared is None:
        yield Reason(NotReady.NOT_COMPARED, "ledger and venue were never compared", "Wait for the first comparison.")
        return
    if not timedelta(0) <= at - compared.at <= limits.comparison:
        found = f"the newest comparison is from {compared.at.isoformat()}"
        yield Reason(NotReady.COMPARISON_OLD, found, f"Wait for a newer one; the limit is {limits.comparison}.")
    for difference in compared.open:
        yield Reason(NotReady.DIFFERENCE, difference, "Resolve it by hand (docs/live-trading.md); the next comparison clears it.")


def _secrets(facts: ReadinessFacts) -> Iterator[Reason]:
    if facts.secrets_present is not True:
        found = (
            "unknown whether credentials work"
            if facts.secrets_present is None
            else f"venue {facts.account.venue} has no usable credentials"
        )
        yield Reason(NotReady.SECRETS_MISSING, found, "Put them into the execution secret (docs/live-trading.md).")


def _data(facts: ReadinessFacts, at: datetime, limits: ReadinessLimits) -> Iterator[Reason]:
    newest = facts.newest_bar_closed_at
    if newest is None or not timedelta(0) <= at - newest <= limits.data:
        found = "no bar is known" if newest is None else f"the newest bar closed at {newest.isoformat()}"
        yield Reason(NotReady.DATA_STALE, found, f"Repair the collection of {facts.account.market}; the limit is {limits.data}.")


def _rules(facts: ReadinessFacts, at: datetime, limits: ReadinessLimits) -> Iterator[Reason]:
    rules = facts.account.rules
    if rules is None:
        return
    confirmation = facts.rules_confirmed
    expected = f"{rules.name} {rules.version}"
    current = (
        confirmation is not None
        and confirmation.what == expected
        and confirmation.who.strip()
        and timedelta(0) <= at - confirmation.at <= limits.rules
    )
    if not current:
        found = (
            "nobody confirmed the firm's rules"
            if confirmation is None
            else f"confirmed {confirmation.what!r} on {confirmation.at.date()} by {confirmation.who!r}"
        )
        yield Reason(NotReady.RULES_NOT_CONFIRMED, found, f"Read the firm's rules, compare them with {expected!r}, then confirm.")
