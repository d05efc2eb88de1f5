"""What the library needs from the outside. Implementations: adapters.postgres.library, adapters.aws.artifacts; twins in tests/.

Promises that tests check on every implementation: nothing is visible before the block ends without an error; an error undoes
all of it; numbers of an entity have no gap and no double, whoever adds at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from signalbox.events import Event
from signalbox.library.entries import EntityKey, NewVersion, VersionEvaluation, VersionKey


class LibraryTransaction(Protocol):
    """The writes and reads of one unit of work."""

    def lock(self, entity: EntityKey) -> None:
        """Wait for other transactions that add versions of this entity."""

    def version_of(self, entity: EntityKey, origin: str) -> VersionKey | None:
        """Return the version that came from `origin`."""

    def bundles_of(self, entity: EntityKey) -> Sequence[tuple[VersionKey, str | None]]:
        """Return the versions of an entity by number, each with the sha256 of its bundle where it has one."""

    def version_judged_by(self, source: str) -> VersionKey | None:
        """Return the version that has an evaluation of this source, a job's name."""

    def add_version(self, version: NewVersion) -> VersionKey:
        """Add a version with the next number, its entity too when it is new. The caller holds the entity's lock."""

    def add_evaluation(self, version: VersionKey, evaluation: VersionEvaluation) -> bool:
        """Add a judgement; False when the version has one of this source."""

    def add_dependency(self, version: VersionKey, needs: VersionKey) -> bool:
        """Record that a version was made from another; False when that is known."""

    def add_event(self, event: Event, at: datetime) -> bool:
        """Put an event into the outbox; False when its event_id exists."""


class Library(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[LibraryTransaction]:
        """Commit when the block ends, roll back when it raises."""


class ArtifactStore(Protocol):
    """What jobs left, and the bundles that were accepted."""

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        """Return an object. Raises ArtifactError when there is none, it is larger, or it lies where no job may write."""

    def keep_bundle(self, key: str, content: bytes) -> None:
        """Write a bundle's archive; again with equal content changes nothing."""
