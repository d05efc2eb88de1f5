"""Ports of the library. Implementations: adapters.postgres.library and adapters.aws.artifacts; in-memory twins in tests/.

Tests check these promises on every implementation: nothing is visible before the block ends without an error; an error undoes
everything; version numbers of an entity have no gap and no duplicate, even when transactions add versions concurrently.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from signalbox.events import Event
from signalbox.library.entries import EntityKey, NewVersion, VersionEvaluation, VersionKey


class LibraryTransaction(Protocol):
    """Reads and writes within one unit of work."""

    def lock(self, entity: EntityKey) -> None:
        """Lock an entity, waiting for other transactions that add versions of it."""

    def version_of(self, entity: EntityKey, origin: str) -> VersionKey | None:
        """Return the version that was made from `origin`, or None."""

    def bundles_of(self, entity: EntityKey) -> Sequence[tuple[VersionKey, str | None]]:
        """Return the versions of an entity by number, each with its bundle's sha256, or None if it has no bundle."""

    def version_judged_by(self, source: str) -> VersionKey | None:
        """Return the version with an evaluation from this source (a job's name), or None."""

    def add_version(self, version: NewVersion) -> VersionKey:
        """Add a version with the next number, and its entity if it is new. The caller holds the entity's lock."""

    def add_evaluation(self, version: VersionKey, evaluation: VersionEvaluation) -> bool:
        """Add an evaluation; return False if the version already has one from this source."""

    def add_dependency(self, version: VersionKey, needs: VersionKey) -> bool:
        """Record that a version was made from another; return False if that was recorded before."""

    def add_event(self, event: Event, at: datetime) -> bool:
        """Put an event into the outbox; return False if its event_id exists."""


class Library(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[LibraryTransaction]:
        """Return a block that commits when it ends and rolls back when it raises."""


class ArtifactStore(Protocol):
    """Output files of jobs, and the accepted bundles."""

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        """Return an object. Raises ArtifactError if it is missing, too large, or in a place where no job may write."""

    def keep_bundle(self, key: str, content: bytes) -> None:
        """Store a bundle's archive. Storing the same content again changes nothing."""
