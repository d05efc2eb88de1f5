"""The library and its artifacts in memory, keeping the promises of `library.ports`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from signalbox.events import Event
from signalbox.library.entries import EntityKey, NewVersion, VersionEvaluation, VersionKey
from signalbox.library.errors import ArtifactError


@dataclass
class LibraryTables:
    versions: dict[VersionKey, NewVersion] = field(default_factory=dict)
    evaluations: dict[tuple[VersionKey, str], VersionEvaluation] = field(default_factory=dict)
    dependencies: set[tuple[VersionKey, VersionKey]] = field(default_factory=set)
    events: dict[str, Event] = field(default_factory=dict)


class MemoryLibrary:
    def __init__(self) -> None:
        self.tables = LibraryTables()

    @contextmanager
    def transaction(self) -> Iterator[MemoryLibraryTransaction]:
        own = copy.copy(self.tables)
        own.versions, own.evaluations = dict(own.versions), dict(own.evaluations)
        own.dependencies, own.events = set(own.dependencies), dict(own.events)
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
            raise ArtifactError(f"{uri} does not exist: the job did not write it")
        if len(self.objects[uri]) > at_most:
            raise ArtifactError(f"{uri}: expected at most {at_most} bytes, got {len(self.objects[uri])}")
        return self.objects[uri]

    def keep_bundle(self, key: str, content: bytes) -> None:
        self.kept[key] = content
