"""What the library holds: entities and their versions, evaluations, and what depends on what. Facts that never change.

A version is numbered within its entity, 1, 2, 3, …, and known by its `origin`: the training job that made a model, the hash of a
data set's files, the hash of a feature schema. An origin has one version, however often it is reported. What is deployed when
is another table's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from signalbox.inference.manifest import Gate, Verdict


class EntityKind(StrEnum):
    """Kinds of entities."""

    MODEL = "model"
    STRATEGY = "strategy"
    FEATURE_SET = "feature_set"
    DATASET = "dataset"


class VersionState(StrEnum):
    """What became of an attempt to make a version."""

    CANDIDATE = "candidate"  # verified, may be deployed as far as its gates allow
    REFUSED = "refused"  # made, but it may not be used; `reason` says why
    FAILED = "failed"  # never made: the job failed or was stopped
    RECORDED = "recorded"  # a data set or a feature set, which are used by being depended on


@dataclass(frozen=True, slots=True, order=True)
class EntityKey:
    """An entity."""

    kind: EntityKind
    name: str


@dataclass(frozen=True, slots=True, order=True)
class VersionKey:
    """One version of an entity."""

    entity: EntityKey
    number: int


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version before it has its number."""

    entity: EntityKey
    origin: str
    state: VersionState
    created_at: datetime
    reason: str | None = None  # given exactly for REFUSED and FAILED
    bundle_key: str | None = None  # in the models bucket; given exactly for a CANDIDATE: without it nothing can be deployed
    sha256: str | None = None  # of the bundle's archive; given for a CANDIDATE, and a REFUSED one whose bundle verified
    manifest: str | None = None  # the bundle's own manifest.json; given where sha256 is


@dataclass(frozen=True, slots=True)
class EvaluationPeriod:
    """What was judged: decisions from `start` to `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class VersionEvaluation:
    """One judgement of a version. `source` names it within the version: `training`, or the job that evaluated."""

    source: str
    evaluated_at: datetime
    qualifies: bool
    headline: str
    gates: Mapping[Gate, Verdict]
    report: str  # JSON, figures and intervals
    period: EvaluationPeriod | None = None  # None where the report has none
