"""What the library shows of its versions: a line of a list, the whole of one, its lineage, its history, and differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from signalbox.library.entries import TRAINING, EntityKey, VersionEvaluation, VersionKey, VersionState
from signalbox.library.errors import UnknownVersionError
from signalbox.library.lifecycle import GateVerdicts, Lifecycle, VersionDecision

_REFERENCE: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]{0,63})(?:@(?:(?P<number>[1-9][0-9]{0,8})|(?P<semantic>[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})))?"
)


@dataclass(frozen=True, slots=True)
class VersionReference:
    """A version as a person names it: MODEL (its newest with a bundle), MODEL@3, or MODEL@1.2.0."""

    name: str
    number: int | None = None
    semantic: str | None = None

    @classmethod
    def parse(cls, text: str) -> VersionReference:
        """Read a reference. Raises UnknownVersionError for a text that names none."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise UnknownVersionError(f"expected MODEL, MODEL@NUMBER or MODEL@1.2.0, got {text[:100]!r}")
        number = found["number"]
        return cls(found["name"], None if number is None else int(number), found["semantic"])

    @override
    def __str__(self) -> str:
        """Return it as it is typed."""
        given = self.semantic if self.number is None else self.number
        return self.name if given is None else f"{self.name}@{given}"


@dataclass(frozen=True, slots=True)
class LibraryEntity:
    """An entity as its newest revision has it. revision: 0 if no person described or archived it."""

    key: EntityKey
    created_at: datetime
    revision: int
    description: str | None
    archived: bool
    changed_at: datetime | None
    who: str | None
    why: str | None
    versions: int  # how many it has


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Where a list of versions goes on: after the version with this sort key. Lists are newest first."""

    created_at: datetime
    version: VersionKey


@dataclass(frozen=True, slots=True)
class DeploymentStep:
    """One step of a deployment."""

    state: str
    at: datetime
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One line of a list of versions."""

    version: VersionKey
    semantic: str | None
    made: VersionState
    lifecycle: Lifecycle | None
    overridden: bool
    created_at: datetime
    tags: tuple[str, ...]
    deployed: str | None  # the deployment of this version that serves or is on its way, with its state
    reason: str | None


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """Everything of one version."""

    version: VersionKey
    semantic: str | None
    made: VersionState
    origin: str
    created_at: datetime
    description: str | None
    reason: str | None
    bundle_key: str | None
    sha256: str | None
    manifest: str | None
    tags: tuple[str, ...]
    decisions: tuple[VersionDecision, ...]
    evaluations: tuple[VersionEvaluation, ...]
    archived: bool = False  # its entity

    @property
    def name(self) -> str:
        """The version as a person names it."""
        return self.version.reference

    @property
    def lifecycle(self) -> Lifecycle | None:
        """Where it stands."""
        return self.decisions[-1].state if self.decisions else None

    @property
    def is_overridden(self) -> bool:
        """Whether a person approved it although gates did not pass."""
        return any(one.overridden for one in self.decisions)

    def judgements(self) -> tuple[GateVerdicts, ...]:
        """Return the judgements that an approval needs: the one of the training, and the newest."""
        ordered = sorted(self.evaluations, key=lambda one: (one.evaluated_at, one.source))
        kept = [one for one in ordered if one.source == TRAINING] + ordered[-1:]
        return tuple(GateVerdicts(source, gates) for source, gates in {one.source: one.gates for one in kept}.items())

    def newest_evaluation(self) -> VersionEvaluation | None:
        """Return the newest evaluation."""
        return max(self.evaluations, key=lambda one: (one.evaluated_at, one.source), default=None)


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """One version was made from another. depth: steps from where the walk began."""

    version: VersionKey
    needs: VersionKey
    depth: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A change of a version or of a deployment, with who, when and why."""

    at: datetime
    what: str
    state: str
    who: str
    why: str
    ordinal: int | None = None  # the deployment's number within its slot, for `rollback --to`


def difference(one: Any, other: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Return where two JSON values differ: a path, and the value of each. Equal values give nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted(set(one) | set(other)):
            found += difference(one.get(key), other.get(key), f"{place}.{key}" if place else str(key))
        return found
    return [] if one == other else [(place or "value", one, other)]


def newest_first(found: Sequence[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return a history with the newest change first; changes of one instant stay in their order."""
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))
