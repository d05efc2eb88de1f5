"""A deployment: one version in a slot, from the wish to the signals, and back. Pure.

The slot is a group of symbols. One deployment of it serves, one may be on its way, and challengers decide beside them as shadows;
all others are history. What serves changes only when the one on its way is confirmed by a cycle that it decided; whatever fails
before leaves what served. A deployment that is not confirmed within two cycles fails, and one whose share of signals leaves half
to twice what its evaluation found is rolled back. A challenger that fails is taken back, and changes nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from signalbox.library.entries import VersionKey
from signalbox.library.errors import DeploymentConflictError, DeploymentRefusedError, DeploymentStateError
from signalbox.signals.signal import DeploymentStage

ALL_SYMBOLS: Final = "all"  # the only group so far: every symbol of the stage
MAX_MISSED_CYCLES: Final = 2
RATE_WINDOW: Final = timedelta(hours=48)
RATE_FACTOR: Final = 2.0  # the share of signals may be half to twice the evaluated one
_Z: Final = 3.2905  # two-sided 99.9 %: the share is looked at every cycle, so 95 % would be left by chance within a day
MAX_NAME: Final = 100
DECIDER: Final = "generate_signals"  # recorded as `who` of what the cycle did by itself


class DeploymentState(StrEnum):
    """Where a deployment stands."""

    PENDING = "pending"  # asked for
    VALIDATING = "validating"  # a function fetches and verifies the bundle
    WARMING = "warming"  # loaded; decides its first cycle next
    HEALTHY = "healthy"  # decided a cycle: serves
    FAILED = "failed"  # never served; what served before stayed
    SUPERSEDED = "superseded"  # served until a later one was confirmed
    ROLLED_BACK = "rolled_back"  # served until somebody, or its own signals, took it back


INCOMING: Final = (DeploymentState.PENDING, DeploymentState.VALIDATING, DeploymentState.WARMING)
RUNNING: Final = (*INCOMING, DeploymentState.HEALTHY)
SERVED: Final = (DeploymentState.HEALTHY, DeploymentState.SUPERSEDED, DeploymentState.ROLLED_BACK)
LEGAL_MOVES: Final[Mapping[DeploymentState, frozenset[DeploymentState]]] = {
    DeploymentState.PENDING: frozenset({DeploymentState.VALIDATING, DeploymentState.FAILED}),
    DeploymentState.VALIDATING: frozenset({DeploymentState.WARMING, DeploymentState.FAILED}),
    DeploymentState.WARMING: frozenset({DeploymentState.HEALTHY, DeploymentState.FAILED}),
    DeploymentState.HEALTHY: frozenset({DeploymentState.SUPERSEDED, DeploymentState.ROLLED_BACK}),
    DeploymentState.FAILED: frozenset(),
    DeploymentState.SUPERSEDED: frozenset(),
    DeploymentState.ROLLED_BACK: frozenset(),
}


@dataclass(frozen=True, slots=True)
class LibraryDeployment:
    """A deployment as the ledger has it. ordinal: its number within the slot. reason: why it failed or was rolled back."""

    name: str
    version: VersionKey
    semantic: str
    group: str
    ordinal: int
    stage: DeploymentStage
    state: DeploymentState
    requested_at: datetime
    changed_at: datetime
    who: str
    why: str
    bundle_key: str
    sha256: str
    overridden: bool = False
    evaluated_rate: float | None = None  # share of decisions that its evaluation issued; None: not stated, so not watched
    replaces: str | None = None
    restores: str | None = None  # the earlier deployment that a rollback brings back
    missed: int = 0  # cycles decided without it since it was asked for
    reason: str | None = None
    challenger: bool = False  # decides beside what serves; never takes its place

    @property
    def is_incoming(self) -> bool:
        """Whether it is on its way."""
        return self.state in INCOMING

    @property
    def is_withdrawn(self) -> bool:
        """Whether somebody took it back before it served."""
        return self.state is DeploymentState.FAILED and (self.reason or "").startswith("withdrawn")


@dataclass(frozen=True, slots=True)
class Slot:
    """What serves a group of symbols, what is on its way there, and what decides beside it, the oldest first."""

    current: LibraryDeployment | None
    incoming: LibraryDeployment | None
    challengers: tuple[LibraryDeployment, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalCount:
    """The decisions of a deployment in a period, and how many of them recommended a trade, held back or not."""

    decisions: int
    signals: int


def moved(one: LibraryDeployment, to: DeploymentState, at: datetime, reason: str | None = None) -> LibraryDeployment:
    """Return the deployment in another state. Raises DeploymentStateError for a move that is not legal."""
    if to not in LEGAL_MOVES[one.state]:
        possible = sorted(state.value for state in LEGAL_MOVES[one.state]) or ["no other state"]
        raise DeploymentStateError(f"deployment {one.name} is {one.state}: expected {' or '.join(possible)} next, got {to}")
    return replace(one, state=to, changed_at=at, reason=reason if reason is not None else one.reason)


def missed(one: LibraryDeployment, at: datetime, why: str) -> LibraryDeployment:
    """Return a deployment on its way after one more cycle that it did not decide: the second one fails it."""
    counted = replace(one, missed=one.missed + 1)
    if counted.missed < MAX_MISSED_CYCLES:
        return counted
    return moved(counted, DeploymentState.FAILED, at, f"not confirmed within {MAX_MISSED_CYCLES} cycles: {why}")


def is_challenger(slot: Slot, stage: DeploymentStage, *, beside: bool) -> bool:
    """Whether a deployment asked for decides beside what serves. A shadow never takes the place of an active one."""
    serves_active = slot.current is not None and slot.current.stage is DeploymentStage.ACTIVE
    return stage is DeploymentStage.SHADOW and (beside or serves_active)


def require_room(slot: Slot, version: VersionKey, most: int) -> None:
    """Raise DeploymentRefusedError or DeploymentConflictError unless one more challenger, of this version, may begin."""
    if slot.current is None:
        raise DeploymentRefusedError("nothing serves yet that a model could decide beside; deploy one without --beside first")
    if (same := next((one for one in slot.challengers if one.version == version), None)) is not None:
        raise DeploymentConflictError(f"{version.reference} decides beside it already, as {same.name}")
    if len(slot.challengers) >= most:
        names = ", ".join(one.name for one in slot.challengers) or "none"
        raise DeploymentConflictError(
            f"expected at most {most} models beside the one that serves, there are {names}; `signalbox library withdraw` ends one"
        )


def taken_over(one: LibraryDeployment, by: LibraryDeployment, at: datetime) -> LibraryDeployment:
    """Return a challenger whose version now serves."""
    if one.is_incoming:
        return moved(one, DeploymentState.FAILED, at, f"withdrawn: {by.name} serves")
    return moved(one, DeploymentState.SUPERSEDED, at)


def ended(one: LibraryDeployment, at: datetime, why: str) -> LibraryDeployment:
    """Return a challenger that was taken back: rolled back if it had decided, else failed."""
    if one.is_incoming:
        return moved(one, DeploymentState.FAILED, at, why)
    return moved(one, DeploymentState.ROLLED_BACK, at, why)


def deployment_name(version: VersionKey, before: int) -> str:
    """Return the name on a deployment's signals. before: how many deployments of this version there were."""
    suffix = f"-v{version.number}" + (f"-{before + 1}" if before else "")
    return f"{version.entity.name[: MAX_NAME - len(suffix)]}{suffix}"


def signal_rate_fault(found: SignalCount, evaluated: float | None, overlap: int) -> str | None:
    """Return why the share of signals is not what the evaluation found, or None. Wilson's interval has to lie outside wholly.

    overlap: decisions within one horizon; they look at the same bars and count as one. So a calm hour proves nothing, and a model
    that says BUY at every bar is found within hours.
    """
    if evaluated is None or found.decisions == 0:
        return None
    low, high = _wilson(found.signals / overlap, found.decisions / overlap)
    least, most = evaluated / RATE_FACTOR, min(1.0, evaluated * RATE_FACTOR)
    if high >= least and low <= most:
        return None
    return (
        f"{found.signals} signals in {found.decisions} decisions, expected a share of {least:.3f} to {most:.3f}"
        f" (half to twice the evaluated {evaluated:.3f}); the 99.9 % interval is {low:.3f} to {high:.3f}"
    )


def _wilson(hits: float, count: float) -> tuple[float, float]:
    share, z2 = hits / count, _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def evaluated_rate(report: Mapping[str, Any]) -> float | None:
    """Return the share of decisions for which a report's evaluation issued a signal; None if it states none in (0, 1]."""
    figures = report.get("figures")
    issued = figures.get("issued") if isinstance(figures, dict) else None
    share = issued.get("coverage") if isinstance(issued, dict) else None
    found = share.get("value") if isinstance(share, dict) else share
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0.0 < float(found) <= 1.0:
        return None
    return float(found)
