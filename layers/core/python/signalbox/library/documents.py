"""The JSON documents that the library's API returns; views.py fills them. Instants are ISO 8601 in UTC."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class LibraryHealthDocument(TypedDict):
    """That the ledger answered, and the caller's role; null without one."""

    status: str
    role: str | None


class EntityDocument(TypedDict):
    """An entity. `revision` is in the header ETag too; it is 0 while no person described or archived it."""

    kind: str
    name: str
    description: str | None
    archived: bool
    revision: int
    versions: int
    created_at: str
    changed_at: str | None
    who: str | None
    why: str | None


class EntitiesDocument(TypedDict):
    """A page of entities. `next`: the cursor of the page after it; null on the last one."""

    entities: list[EntityDocument]
    next: str | None


class VersionLineDocument(TypedDict):
    """A version in a list."""

    version: str
    semantic: str | None
    kind: str
    made: str
    lifecycle: str | None
    overridden: bool
    deployed: str | None
    tags: list[str]
    created_at: str
    reason: str | None


class VersionsDocument(TypedDict):
    """A page of versions, newest first. `next`: the cursor of the page after it; null on the last one."""

    versions: list[VersionLineDocument]
    next: str | None


class VersionStepDocument(TypedDict):
    """A decision about a version."""

    state: str
    who: str
    at: str
    why: str
    overridden: bool


class JudgementDocument(TypedDict):
    """A judgement in short."""

    source: str
    evaluated_at: str
    qualifies: bool
    headline: str
    gates: dict[str, str]


class VersionDocument(TypedDict):
    """Everything of a version. `shortfalls`: what an approval by the gates lacks."""

    version: str
    semantic: str | None
    kind: str
    made: str
    origin: str
    lifecycle: str | None
    overridden: bool
    archived: bool
    created_at: str
    description: str | None
    reason: str | None
    tags: list[str]
    bundle_key: str | None
    sha256: str | None
    approved_by_gates: bool
    shortfalls: list[str]
    decisions: list[VersionStepDocument]
    evaluations: list[JudgementDocument]


class RegisteredDocument(VersionDocument):
    """A registered version. `new`: false if it was registered before."""

    new: bool


class PeriodDocument(TypedDict):
    """The period of an evaluation."""

    start: str
    end: str


class EvaluationDocument(JudgementDocument):
    """A judgement with its report. `period` is null if the report does not state it."""

    period: PeriodDocument | None
    report: dict[str, Any]


class EvaluationsDocument(TypedDict):
    """The judgements of a version, oldest first."""

    version: str
    evaluations: list[EvaluationDocument]


class EdgeDocument(TypedDict):
    """One version was made from another. `depth`: steps from the version asked for; negative for what was made from it."""

    version: str
    needs: str
    depth: int


class LineageDocument(TypedDict):
    """What a version was made from, and what was made from it."""

    version: str
    lineage: list[EdgeDocument]


class DifferenceDocument(TypedDict):
    """One difference: its place, and the value in each of the two versions."""

    what: str
    values: list[Any]


class ComparedDocument(TypedDict):
    """Two versions beside each other."""

    versions: list[str]
    differences: list[DifferenceDocument]


class LibraryDeploymentDocument(TypedDict):
    """A deployment. `ordinal`: its number within the slot. `reason`: why it failed or was rolled back."""

    deployment: str
    ordinal: int
    version: str
    semantic: str
    group: str
    stage: str
    state: str
    overridden: bool
    challenger: bool
    requested_at: str
    changed_at: str
    who: str
    why: str
    evaluated_rate: float | None
    replaces: str | None
    restores: str | None
    reason: str | None


class SlotDocument(TypedDict):
    """What serves, what is on its way, and what decides beside it."""

    current: LibraryDeploymentDocument | None
    incoming: LibraryDeploymentDocument | None
    challengers: list[LibraryDeploymentDocument]


class DeploymentsDocument(TypedDict):
    """A page of deployments, newest first. `next`: the cursor of the page after it; null on the last one."""

    slot: SlotDocument
    deployments: list[LibraryDeploymentDocument]
    next: str | None


class DeploymentStepDocument(TypedDict):
    """A step of a deployment."""

    state: str
    at: str
    who: str
    why: str


class DeploymentStepsDocument(LibraryDeploymentDocument):
    """A deployment with its steps, oldest first."""

    steps: list[DeploymentStepDocument]


class LiveFigureDocument(TypedDict):
    """A figure with its two-sided 95 % interval; the bounds are null with too few days."""

    value: float
    low: float | None
    high: float | None
    n: int


class LiveRecordDocument(TypedDict):
    """What became of a deployment's decisions. Figures are null without a decision that they are about."""

    deployment: str
    decisions: int
    settled: int
    unsettled: int
    signals: int
    days: int
    first: str | None
    last: str | None
    precision: LiveFigureDocument | None
    calibration_error: float | None
    squared_error: LiveFigureDocument | None
    net_bps: LiveFigureDocument | None
    costs_bps: float | None


class ShownVersionDocument(VersionDocument):
    """A version with the live records of its deployments."""

    live: list[LiveRecordDocument]


class LiveComparisonDocument(TypedDict):
    """Two models on the decisions that both made. for_first, for_second: e-values that the one is the better."""

    pairs: int
    days: int
    squared_error: LiveFigureDocument | None
    net_bps: LiveFigureDocument | None
    bets: int
    for_first: float
    for_second: float


class LiveComparedDocument(TypedDict):
    """A comparison of two versions, and its period."""

    versions: list[str]
    since: str
    until: str
    live: LiveComparisonDocument


class ChangeDocument(TypedDict):
    """A change of a version or of a deployment."""

    at: str
    what: str
    state: str
    who: str
    why: str
    ordinal: int | None


class HistoryDocument(TypedDict):
    """The newest changes, what serves, and the newest deployments (none for a single version)."""

    history: list[ChangeDocument]
    slot: SlotDocument
    deployments: list[LibraryDeploymentDocument]
    live: list[LiveRecordDocument]


class PermissionDocument(TypedDict):
    """That the caller may make the change; who may not gets a refusal."""

    may: bool


class ObservationStepDocument(TypedDict):
    """A step of an observation."""

    state: str
    at: str
    who: str
    why: str
    verdict: str | None
    reasons: list[str]


class ObservationDocument(TypedDict):
    """An observation: its rules, whose hash names it, and its steps."""

    observation: str
    state: str
    rules_sha256: str
    rules: dict[str, Any]
    steps: list[ObservationStepDocument]
