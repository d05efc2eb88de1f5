"""The life of a version: draft → candidate → approved | rejected → retired. Each step is a decision that is added, never changed.

A version whose integrity gate (G0) did not pass yet is a draft; one that passed is a candidate, and may be deployed as shadow.
Approval is what stage `active` needs. The gates alone approve: G0 to G3 have to pass both in the judgement that the training
brought along and in the newest one. A person may approve without them, by name and with a reason; such an override stays visible
on every signal that the version makes, and it can never replace G0. Decision: docs/decisions/0121-a-deployment-is-a-row.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from signalbox.library.errors import ApprovalRefusedError, LifecycleError


class Lifecycle(StrEnum):
    """Where a version stands. One that failed or was refused when it was made has no such state."""

    DRAFT = "draft"
    CANDIDATE = "candidate"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETIRED = "retired"


LEGAL_STEPS: Final[frozenset[tuple[Lifecycle | None, Lifecycle]]] = frozenset(
    {
        (None, Lifecycle.DRAFT),
        (None, Lifecycle.CANDIDATE),
        (Lifecycle.DRAFT, Lifecycle.CANDIDATE),
        (Lifecycle.DRAFT, Lifecycle.REJECTED),
        (Lifecycle.CANDIDATE, Lifecycle.APPROVED),
        (Lifecycle.CANDIDATE, Lifecycle.REJECTED),
        (Lifecycle.APPROVED, Lifecycle.RETIRED),
        (Lifecycle.REJECTED, Lifecycle.RETIRED),
    }
)


@dataclass(frozen=True, slots=True)
class VersionDecision:
    """One step in the life of a version. overridden: approved by a person although gates did not pass."""

    state: Lifecycle
    who: str
    at: datetime
    why: str
    request_id: str
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class GateVerdicts:
    """The gates of one judgement. source: as of VersionEvaluation."""

    source: str
    gates: Mapping[Gate, Verdict]


def stepped(name: str, current: Lifecycle | None, decision: VersionDecision) -> VersionDecision:
    """Return the decision if it is a legal step. Raises LifecycleError that names the steps that are. name: of the version."""
    if (current, decision.state) not in LEGAL_STEPS:
        possible = [to.value for to in Lifecycle if (current, to) in LEGAL_STEPS]
        now = "has no lifecycle, because no verified bundle belongs to it" if current is None else f"is {current.value}"
        raise LifecycleError(
            f"{name} {now} and cannot become {decision.state.value};"
            f" expected {' or '.join(possible) if possible else 'no further step'}"
        )
    return decision


def gate_shortfalls(judgements: Sequence[GateVerdicts]) -> tuple[str, ...]:
    """Return why the gates do not approve: a line for each promotion gate of each judgement that did not pass."""
    if not judgements:
        return ("no judgement is recorded",)
    return tuple(
        f"{one.source}: {gate.value} {one.gates.get(gate, Verdict.NOT_EVALUATED).value}"
        for one in judgements
        for gate in PROMOTION_GATES
        if one.gates.get(gate) is not Verdict.PASS
    )


def has_integrity(judgements: Sequence[GateVerdicts]) -> bool:
    """Return whether G0 passed in every one of these judgements, and there is one."""
    return bool(judgements) and all(one.gates.get(Gate.G0) is Verdict.PASS for one in judgements)


def approved(
    name: str, current: Lifecycle | None, judgements: Sequence[GateVerdicts], decision: VersionDecision, *, override: bool
) -> VersionDecision:
    """Return an approval by the gates, or by override if a person asks for one and the gates do not approve.

    judgements: the training's and the newest. Raises LifecycleError, ApprovalRefusedError.
    """
    found = stepped(name, current, decision)
    missing = gate_shortfalls(judgements)
    if not missing:
        return found
    if not has_integrity(judgements):
        raise ApprovalRefusedError(f"{name} did not pass G0 (integrity), which no override replaces: {'; '.join(missing)}")
    if not override:
        raise ApprovalRefusedError(
            f"{name} did not pass its gates: {'; '.join(missing)}; train a better one, or approve it with --override and a reason"
        )
    return VersionDecision(found.state, found.who, found.at, found.why, found.request_id, overridden=True)
