"""The library's records: entities, their versions, evaluations and dependencies. They never change.

Versions of an entity are numbered 1, 2, 3, … Each is identified by its `origin`: the training job that made a model, the hash of
a data set's files, or the hash of a feature schema. One origin has one version, however often it is reported. Which version is
deployed, and when, is in deployments.py; whether it may be, in lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from signalbox.inference.manifest import Gate, Verdict

TRAINING: Final = "training"  # source of the evaluation inside a bundle


class EntityKind(StrEnum):
    """Kinds of entities."""

    MODEL = "model"
    STRATEGY = "strategy"
    FEATURE_SET = "feature_set"
    DATASET = "dataset"


class VersionState(StrEnum):
    """What an attempt to make a version led to."""

    CANDIDATE = "candidate"  # verified; may be deployed as far as its gates allow
    REFUSED = "refused"  # made, but must not be used; `reason` says why
    FAILED = "failed"  # not made: the job failed or was stopped
    RECORDED = "recorded"  # a data set or feature set, recorded because a model depends on it


@dataclass(frozen=True, slots=True, order=True)
class EntityKey:
    """Identifies an entity: its kind and name."""

    kind: EntityKind
    name: str


@dataclass(frozen=True, slots=True, order=True)
class VersionKey:
    """Identifies one version of an entity."""

    entity: EntityKey
    number: int

    @property
    def reference(self) -> str:
        """How a person names it among its kind, such as dir60@3."""
        return f"{self.entity.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that has no number yet."""

    entity: EntityKey
    origin: str
    state: VersionState
    created_at: datetime
    reason: str | None = None  # set for REFUSED and FAILED only
    bundle_key: str | None = None  # in the models bucket; set for a CANDIDATE only, because only that can be deployed
    sha256: str | None = None  # of the bundle's archive; set for a CANDIDATE and for a REFUSED one with a verified bundle
    manifest: str | None = None  # the bundle's manifest.json; set if sha256 is
    semantic: str | None = None  # MAJOR.MINOR.PATCH (numbering.py); set if sha256 is
    description: str | None = None  # what a person wrote about it


@dataclass(frozen=True, slots=True)
class EvaluationPeriod:
    """The period of an evaluation: decisions from `start` to `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class VersionEvaluation:
    """One evaluation of a version. source: its name within the version, either `training` or the evaluation job's name."""

    source: str
    evaluated_at: datetime
    qualifies: bool
    headline: str
    gates: Mapping[Gate, Verdict]
    report: str  # JSON with figures and intervals
    period: EvaluationPeriod | None = None  # None if the report does not state it
