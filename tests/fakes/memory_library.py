"""The library and its artifacts in memory, keeping the promises of `library.ports`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from signalbox.events import Event
from signalbox.library.catalogue import VersionRecord, VersionReference
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionEvaluation, VersionKey, VersionState
from signalbox.library.errors import ArtifactError, UnknownVersionError
from signalbox.library.lifecycle import Lifecycle, VersionDecision


@dataclass
class LibraryTables:
    versions: dict[VersionKey, NewVersion] = field(default_factory=dict)
    evaluations: dict[tuple[VersionKey, str], VersionEvaluation] = field(default_factory=dict)
    dependencies: set[tuple[VersionKey, VersionKey]] = field(default_factory=set)
    events: dict[str, Event] = field(default_factory=dict)
    decisions: dict[VersionKey, tuple[VersionDecision, ...]] = field(default_factory=dict)
    tags: set[tuple[VersionKey, str]] = field(default_factory=set)


class MemoryLibrary:
    def __init__(self) -> None:
        self.tables = LibraryTables()

    @contextmanager
    def transaction(self) -> Iterator[MemoryLibraryTransaction]:
        own = copy.copy(self.tables)
        own.versions, own.evaluations = dict(own.versions), dict(own.evaluations)
        own.dependencies, own.events = set(own.dependencies), dict(own.events)
        own.decisions, own.tags = dict(own.decisions), set(own.tags)
        yield MemoryLibraryTransaction(own)
        self.tables = own


class MemoryLibraryTransaction:
    def __init__(self, tables: LibraryTables) -> None:
        self._tables = tables

    def lock(self, entity: EntityKey) -> None:
        """One at a time already."""

    def version_of(self, entity: EntityKey, origin: str) -> VersionKey | None:
        found = (key for key, one in self._tables.versions.items() if (one.entity, one.origin) == (entity, origin))
        return next(found, None)

    def bundles_of(self, entity: EntityKey) -> list[tuple[VersionKey, str | None]]:
        return sorted((key, one.sha256) for key, one in self._tables.versions.items() if key.entity == entity)

    def version_judged_by(self, source: str) -> VersionKey | None:
        return min((key for key, one in self._tables.evaluations if one == source), default=None)

    def add_version(self, version: NewVersion) -> VersionKey:
        numbers = [key.number for key in self._tables.versions if key.entity == version.entity]
        key = VersionKey(version.entity, max(numbers, default=0) + 1)
        self._tables.versions[key] = version
        return key

    def newest_bundle(self, entity: EntityKey) -> tuple[str, str] | None:
        found = [(key.number, one) for key, one in self._tables.versions.items() if key.entity == entity and one.semantic]
        if not found:
            return None
        _, newest = max(found, key=lambda pair: pair[0])
        return newest.semantic or "", newest.manifest or ""

    def lifecycle(self, version: VersionKey) -> Lifecycle | None:
        steps = self._tables.decisions.get(version, ())
        return steps[-1].state if steps else None

    def add_decision(self, version: VersionKey, decision: VersionDecision) -> bool:
        steps = self._tables.decisions.get(version, ())
        if any(one.request_id == decision.request_id for one in steps):
            return False
        self._tables.decisions[version] = (*steps, decision)
        return True

    def decided_by(self, request_id: str, entity: EntityKey) -> VersionKey | None:
        decided = self._tables.decisions.items()
        found = (key for key, steps in decided if key.entity == entity and any(one.request_id == request_id for one in steps))
        return min(found, default=None)

    def add_tag(self, version: VersionKey, tag: str) -> bool:
        known = (version, tag) in self._tables.tags
        self._tables.tags.add((version, tag))
        return not known

    def record(self, reference: VersionReference, kind: EntityKind) -> VersionRecord:
        found = [
            (key, one)
            for key, one in self._tables.versions.items()
            if key.entity == EntityKey(kind, reference.name)
            and (reference.number is None or key.number == reference.number)
            and (reference.semantic is None or one.semantic == reference.semantic)
            and (reference.number or reference.semantic or one.state in {VersionState.CANDIDATE, VersionState.RECORDED})
        ]
        if not found:
            raise UnknownVersionError(f"the library has no {kind.value} {reference}")
        key, one = max(found, key=lambda pair: pair[0].number)
        return VersionRecord(
            version=key,
            semantic=one.semantic,
            made=one.state,
            origin=one.origin,
            created_at=one.created_at,
            description=one.description,
            reason=one.reason,
            bundle_key=one.bundle_key,
            sha256=one.sha256,
            manifest=one.manifest,
            tags=tuple(sorted(tag for of, tag in self._tables.tags if of == key)),
            decisions=self._tables.decisions.get(key, ()),
            evaluations=tuple(
                sorted(
                    (judged for (of, _), judged in self._tables.evaluations.items() if of == key),
                    key=lambda judged: (judged.evaluated_at, judged.source),
                )
            ),
        )

    def add_evaluation(self, version: VersionKey, evaluation: VersionEvaluation) -> bool:
        known = (version, evaluation.source) in self._tables.evaluations
        self._tables.evaluations.setdefault((version, evaluation.source), evaluation)
        return not known

    def add_dependency(self, version: VersionKey, needs: VersionKey) -> bool:
        known = (version, needs) in self._tables.dependencies
        self._tables.dependencies.add((version, needs))
        return not known

    def add_event(self, event: Event, at: datetime) -> bool:
        known = event.event_id in self._tables.events
        self._tables.events.setdefault(event.event_id, event)
        return not known


class MemoryArtifacts:
    """Objects by URI; what was kept, by key."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.kept: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        self.fetched.append(uri)
        if uri not in self.objects:
            raise ArtifactError(f"{uri} does not exist")
        if len(self.objects[uri]) > at_most:
            raise ArtifactError(f"{uri}: expected at most {at_most} bytes, got {len(self.objects[uri])}")
        return self.objects[uri]

    def keep_bundle(self, key: str, content: bytes) -> None:
        self.kept[key] = content
