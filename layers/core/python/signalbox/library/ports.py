"""Ports of the library. Implementations: adapters.postgres.library and adapters.aws.artifacts; in-memory twins in tests/.

Tests check these promises on every implementation: nothing is visible before the block ends without an error; an error undoes
everything; version numbers of an entity have no gap and no duplicate, even when transactions add versions concurrently.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from signalbox.events import Event
from signalbox.library.catalogue import (
    DeploymentStep,
    HistoryEntry,
    LibraryEntity,
    LineageEdge,
    PagePlace,
    VersionRecord,
    VersionReference,
    VersionSummary,
)
from signalbox.library.deployments import DeploymentState, LibraryDeployment, SignalCount, Slot
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionEvaluation, VersionKey
from signalbox.library.lifecycle import Lifecycle, VersionDecision
from signalbox.signals.signal import DeploymentStage

if TYPE_CHECKING:  # numpy, which most functions that import the ports do not need
    from signalbox.library.live_record import LiveDecision


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

    def newest_bundle(self, entity: EntityKey) -> tuple[str, str] | None:
        """Return the semantic number and the manifest of the newest version with a verified bundle, or None."""

    def lifecycle(self, version: VersionKey) -> Lifecycle | None:
        """Return where a version stands; None if nothing was decided about it."""

    def add_decision(self, version: VersionKey, decision: VersionDecision) -> bool:
        """Add the next step; return False if this request added one before. The caller holds the entity's lock."""

    def decided_by(self, request_id: str, entity: EntityKey) -> VersionKey | None:
        """Return the version of an entity that a request took a step of; None: of none yet."""

    def add_tag(self, version: VersionKey, tag: str) -> bool:
        """Add a tag; return False if the version has it."""

    def record(self, reference: VersionReference, kind: EntityKind) -> VersionRecord:
        """Return everything of a version. Raises UnknownVersionError that says what there is instead."""

    def add_evaluation(self, version: VersionKey, evaluation: VersionEvaluation) -> bool:
        """Add an evaluation; return False if the version already has one from this source."""

    def add_dependency(self, version: VersionKey, needs: VersionKey) -> bool:
        """Record that a version was made from another; return False if that was recorded before.

        Raises DependencyCycleError. Nobody locks an entity after it in the same block.
        """

    def add_event(self, event: Event, at: datetime) -> bool:
        """Put an event into the outbox; return False if its event_id exists."""


class Library(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[LibraryTransaction]:
        """Return a block that commits when it ends and rolls back when it raises."""


class RegistryReader(Protocol):
    """What the library shows. Each answer is one consistent snapshot."""

    def versions(
        self, kind: EntityKind, name: str | None, tag: str | None, limit: int, after: PagePlace | None = None
    ) -> Sequence[VersionSummary]:
        """Return versions, newest first."""

    def search(self, words: str, limit: int, after: PagePlace | None = None) -> Sequence[VersionSummary]:
        """Return versions whose name, description or reason has all of these words, or that have one of them as a tag."""

    def record(self, reference: VersionReference, kind: EntityKind) -> VersionRecord:
        """As of LibraryTransaction."""

    def lineage(self, version: VersionKey) -> Sequence[LineageEdge]:
        """Return what a version was made from, and what was made from it, all the way."""

    def history(self, version: VersionKey | None, limit: int) -> Sequence[HistoryEntry]:
        """Return the newest changes of a version and its deployments, or of everything."""


class SlotBook(Protocol):
    """Deployments in the ledger. Every change locks the slot, is one transaction, and is an event beside the row."""

    def slot(self, group: str) -> Slot:
        """Return what serves and what is on its way."""

    def move(self, name: str, to: DeploymentState, at: datetime, who: str, why: str) -> LibraryDeployment:
        """Move a deployment on its way; nothing if it is there. Raises DeploymentStateError, UnknownVersionError."""

    def confirm(self, name: str, at: datetime, why: str) -> LibraryDeployment:
        """Make a warming deployment the one that serves, and what served before superseded or rolled back, in one commit."""

    def miss(self, name: str, cycle_at: datetime, why: str) -> LibraryDeployment:
        """Count a cycle that was decided without a deployment on its way, once; the second fails it."""

    def end(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment:
        """Take a challenger back; nothing if it has ended. Raises UnknownVersionError, DeploymentStateError for what serves."""

    def fall_back(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment | None:
        """Ask for the previous healthy deployment in place of this one, whose bundle cannot be used. Reads no bundle.

        Passes over those whose bundles could not be used either. None if this one does not serve any more or another one is on
        its way. Raises DeploymentRefusedError if there is nothing to go back to.
        """

    def count(self, name: str, since: datetime, until: datetime) -> SignalCount:
        """Return how many decisions a deployment made in (since, until]."""

    def roll_back(self, group: str, *, to: int | None, at: datetime, who: str, why: str, request_id: str) -> LibraryDeployment:
        """Withdraw what is on its way, or ask for an earlier deployment that served (to: its ordinal). Reads no bundle.

        The same request gives the same one. A cycle (who: DECIDER) withdraws nothing, and gets what is on its way. Returns what
        serves next; the withdrawn one if nothing served before. Raises DeploymentRefusedError if there is nothing to go back to.
        """


class DeploymentBook(SlotBook, Protocol):
    """A slot, and what people ask of it."""

    def deployments(self, group: str, limit: int, before: int | None = None) -> Sequence[LibraryDeployment]:
        """Return the newest deployments of a slot, newest first. A row that cannot be read is left out. before: an ordinal."""

    def deployment(self, name: str) -> tuple[LibraryDeployment, Sequence[DeploymentStep]]:
        """Return a deployment with its steps, oldest first. Raises UnknownVersionError."""

    def request(
        self,
        version: VersionKey,
        group: str,
        stage: DeploymentStage,
        *,
        at: datetime,
        who: str,
        why: str,
        request_id: str,
        overridden: bool,
        evaluated_rate: float | None,
        only_first: bool = False,
        beside: bool = False,
        most: int = 0,
    ) -> LibraryDeployment:
        """Ask for a deployment; the same request gives the same one. Raises DeploymentConflictError if one is on its way.

        only_first: only into a slot that never had one; else return its newest. beside: as a challenger of what serves; a shadow
        is one anyway while an active deployment serves. most: how many challengers the slot may have; one more is refused with
        DeploymentConflictError, and one beside nothing with DeploymentRefusedError.
        """

    def requested(self, request_id: str) -> LibraryDeployment | None:
        """Return the deployment that a request asked for; None: it asked for none yet."""

    def withdraw(
        self, version: VersionKey, group: str, *, at: datetime, who: str, why: str, request_id: str
    ) -> LibraryDeployment:
        """Take the challenger of a version back; the same request gives the same one.

        Raises DeploymentRefusedError if no model of this version decides beside what serves.
        """


class LiveDecisions(Protocol):
    """What deployed models decided, with the bars that ended the horizons."""

    def began(self, version: VersionKey) -> datetime | None:
        """Return when a version was first asked to be deployed; None: never."""

    def of(self, version: VersionKey, *, horizon_minutes: int, since: datetime, until: datetime) -> Sequence[LiveDecision]:
        """Return the decisions of all deployments of a version, made in (since, until], oldest first; none that was late."""


class EntityBook(Protocol):
    """Entities, and what people say of them. Each change is a revision that is added."""

    def entities(
        self, kind: EntityKind | None, *, archived: bool, limit: int, after: EntityKey | None = None
    ) -> Sequence[LibraryEntity]:
        """Return entities by kind and name, those that are archived or those that are not."""

    def entity(self, key: EntityKey) -> LibraryEntity:
        """Return an entity. Raises UnknownVersionError."""

    def create(
        self, key: EntityKey, description: str | None, *, at: datetime, who: str, why: str, request_id: str
    ) -> LibraryEntity:
        """Create an entity; the same request gives the same one. Raises EntityExistsError."""

    def change(
        self,
        key: EntityKey,
        revision: int,
        *,
        description: str | None,
        archived: bool | None,
        at: datetime,
        who: str,
        why: str,
        request_id: str,
    ) -> LibraryEntity:
        """Add a revision; None leaves what was. The same request gives what it made.

        Raises UnknownVersionError, and RevisionConflictError unless `revision` is the newest.
        """


class RequestBook(Protocol):
    """Request ids, each with the one request that it belongs to; and the key of cursors."""

    def claim(self, request_id: str, digest: str, *, verb: str, at: datetime, who: str, why: str) -> None:
        """Record that an id belongs to a request; a repetition changes nothing. digest: sha256 of caller and content.

        Raises RequestReusedError if it belongs to another.
        """

    def page_key(self) -> bytes:
        """Return the key that signs cursors: 32 bytes, the same for every process."""


class BundleStore(Protocol):
    """Bundles by address."""

    def archive(self, key: str, sha256: str) -> bytes:
        """Return a bundle's archive with exactly this hash. Raises BundleMissingError; other errors may be tried again."""


class ArtifactStore(Protocol):
    """Output files of jobs, and the accepted bundles."""

    def fetch(self, uri: str, *, at_most: int) -> bytes:
        """Return an object. Raises ArtifactError if it is missing, too large, or in a place where no job may write."""

    def keep_bundle(self, key: str, content: bytes) -> None:
        """Store a bundle's archive. Storing the same content again changes nothing."""
