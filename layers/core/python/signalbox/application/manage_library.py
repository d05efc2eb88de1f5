"""The library for people: who may ask, what is answered, what is changed. The doors (HTTP, the command line) are thin.

Every change is kept with who, when and why beside the row it makes. A caller without the role is refused and recorded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, assert_never

from pydantic import ValidationError

from signalbox.access import Refusal, Role, names_of
from signalbox.application.retries import retried
from signalbox.contracts import upload_key
from signalbox.inference.manifest import BundleManifest, Gate
from signalbox.library.artifact import MAX_PACKED_BYTES
from signalbox.library.catalogue import VersionRecord, VersionReference
from signalbox.library.commands import (
    COMPARED_DAYS,
    LIVE_DAYS,
    AnyLibraryRequest,
    ApproveVersion,
    AskDifference,
    AskHistory,
    AskLineage,
    AskSearch,
    AskVersion,
    AskVersions,
    DeployVersion,
    LibraryChange,
    PromoteVersion,
    RegisterVersion,
    RejectVersion,
    RetireVersion,
    RollBackDeployment,
    WithdrawVersion,
    needed_role,
)
from signalbox.library.deployments import ALL_SYMBOLS, LibraryDeployment, evaluated_rate
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import ArtifactError, DeploymentRefusedError, LibraryAccessError
from signalbox.library.judgements import read_object
from signalbox.library.lifecycle import Lifecycle, VersionDecision, approved, has_integrity, stepped
from signalbox.library.live_record import LiveDecision, compared_live, live_record
from signalbox.library.ports import ArtifactStore, DeploymentBook, Library, LiveDecisions, RegistryReader
from signalbox.library.registration import UploadedBundle, register_bundle
from signalbox.library.views import (
    compared_live_view,
    compared_view,
    deployment_view,
    edge_view,
    entry_view,
    key_text,
    listed,
    live_view,
    record_view,
    slot_view,
    summary_view,
)
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signals.signal import DeploymentStage

_DEPLOYMENT: Final = "deployment"  # recorded as `who` of what deploying a stage does
_STARTER_REQUEST: Final = "starter"


class LibraryRoles(Protocol):
    """Who may do what with the library. Implemented by adapters.postgres.library_roles."""

    def role(self, principals: Sequence[str]) -> Role | None:
        """Return the role that these names have: the least of their roles on all accounts, or that of a viewer on any."""

    def record(self, refusal: Refusal) -> None:
        """Keep a refusal."""


@dataclass
class ManageLibrary:
    """Answers one request at a time. `publish` publishes what it committed."""

    registry: RegistryReader
    library: Library
    book: DeploymentBook
    artifacts: ArtifactStore
    roles: LibraryRoles
    outbox: Outbox
    bus: EventPublisher
    models_bucket: str
    starter: Callable[[], bytes]  # the archive of the bundle that is shipped with the code
    live: LiveDecisions
    challengers: int = 3  # that may decide beside what serves
    owners: tuple[str, ...] = ()
    pause: Callable[[float], None] = time.sleep
    _denied: list[Refusal] = field(default_factory=list)

    def take_denied(self) -> tuple[Refusal, ...]:
        """Return the requests that were refused for lack of a role since the last call."""
        found, self._denied = tuple(self._denied), []
        return found

    def answer(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:
        """Return the answer in JSON's types. Raises LibraryError, BundleError, LedgerError.

        who: verified by the gateway. at: the gateway's time.
        """
        self._require(asked, who)
        return retried(lambda: self._answered(asked, who, at), self.pause)

    def _require(self, asked: AnyLibraryRequest, who: str) -> None:
        names, needed = names_of(who), needed_role(asked)
        held = Role.OWNER if set(names) & set(self.owners) else retried(lambda: self.roles.role(names), self.pause)
        if held is not None and held.includes(needed):
            return
        refusal = Refusal("", names[0] if names else who[:200], f"library {asked.verb}", needed, held)
        self._denied.append(refusal)
        retried(lambda: self.roles.record(refusal), self.pause)
        raise LibraryAccessError(
            f"`library {asked.verb}` needs the role {needed.value} on every account of the stage,"
            f" and {refusal.principal} has {'none' if held is None else held.value}; an owner grants roles with"
            " `signalbox accounts access grant`"
        )

    def _answered(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:  # noqa: C901, PLR0911, PLR0912 - a request a line
        match asked:
            case AskVersions():
                return {"versions": listed(self.registry.versions(asked.kind, asked.name, asked.tag, asked.limit), summary_view)}
            case AskSearch():
                return {"versions": listed(self.registry.search(asked.words, asked.limit), summary_view)}
            case AskVersion():
                record = self._record(asked.version, asked.kind)
                return {**record_view(record), "live": self._live(record, at)}
            case AskLineage():
                record = self._record(asked.version, asked.kind)
                edges = listed(self.registry.lineage(record.version), edge_view)
                return {"version": key_text(record.version), "lineage": edges}
            case AskHistory():
                version = None if asked.version is None else self._record(asked.version, EntityKind.MODEL).version
                entries = listed(self.registry.history(version, asked.limit), entry_view)
                slot = slot_view(self.book.slot(ALL_SYMBOLS))
                deployed = listed(self.book.deployments(ALL_SYMBOLS, asked.limit), deployment_view)
                answer = {"history": entries, "slot": slot, "deployments": deployed if version is None else []}
                return {**answer, "live": self._live_now(at) if version is None else []}
            case AskDifference():
                one, other = (self._record(text, EntityKind.MODEL) for text in (asked.version, asked.other))
                return self._compared_live(one, other, at) if asked.live else compared_view(one, other)
            case RegisterVersion():
                return self._registered(asked, who, at)
            case ApproveVersion():
                return self._step(asked, Lifecycle.APPROVED, who, at, override=asked.override)
            case RejectVersion():
                return self._step(asked, Lifecycle.REJECTED, who, at)
            case RetireVersion():
                return self._step(asked, Lifecycle.RETIRED, who, at)
            case DeployVersion():
                record = self._record(asked.version, EntityKind.MODEL)
                return deployment_view(self._deployed(record, asked.stage, beside=asked.beside, **_facts(asked, who, at)))
            case WithdrawVersion():
                version = self._record(asked.version, EntityKind.MODEL).version
                return deployment_view(self.book.withdraw(version, ALL_SYMBOLS, at=at, who=who, why=asked.why))
            case PromoteVersion():
                return deployment_view(self._promoted(asked, who, at))
            case RollBackDeployment():
                back = self.book.roll_back(ALL_SYMBOLS, to=asked.to, at=at, who=who, why=asked.why, request_id=asked.request_id)
                return deployment_view(back)
            case _:
                assert_never(asked)

    def _record(self, text: str, kind: EntityKind) -> VersionRecord:
        return self.registry.record(VersionReference.parse(text), kind)

    def _registered(self, asked: RegisterVersion, who: str, at: datetime) -> dict[str, Any]:
        uri = f"s3://{self.models_bucket}/{upload_key(asked.sha256)}"
        archive = self.artifacts.fetch(uri, at_most=MAX_PACKED_BYTES)
        return self._taken_in(UploadedBundle(archive, at, who, description=asked.why, tags=asked.tags))

    def _taken_in(self, upload: UploadedBundle) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="upload-") as folder:
            found = register_bundle(upload, artifacts=self.artifacts, library=self.library, workspace=Path(folder))
        name = f"{found.version.entity.name}@{found.version.number}"
        return {**record_view(self._record(name, EntityKind.MODEL)), "new": found.new}

    def _step(
        self,
        asked: ApproveVersion | RejectVersion | RetireVersion,
        to: Lifecycle,
        who: str,
        at: datetime,
        *,
        override: bool = False,
    ) -> dict[str, Any]:
        reference = VersionReference.parse(asked.version)
        with self.library.transaction() as tx:
            tx.lock(EntityKey(EntityKind.MODEL, reference.name))
            record = tx.record(reference, EntityKind.MODEL)
            decision = VersionDecision(to, who, at, asked.why, asked.request_id)
            if all(one.request_id != asked.request_id for one in record.decisions):
                current = record.lifecycle
                if to is Lifecycle.APPROVED:
                    decision = approved(record.name, current, record.judgements(), decision, override=override)
                else:
                    decision = stepped(record.name, current, decision)
                tx.add_decision(record.version, decision)
        return record_view(self._record(record.name, EntityKind.MODEL))

    def _deployed(
        self,
        record: VersionRecord,
        stage: DeploymentStage,
        *,
        who: str,
        at: datetime,
        why: str,
        request_id: str,
        only_first: bool = False,
        beside: bool = False,
    ) -> LibraryDeployment:
        require_deployable(record, stage)
        return self.book.request(
            record.version,
            ALL_SYMBOLS,
            stage,
            at=at,
            who=who,
            why=why,
            request_id=request_id,
            overridden=record.is_overridden and stage is DeploymentStage.ACTIVE,
            evaluated_rate=_rate_of(record),
            only_first=only_first,
            beside=beside,
            most=self.challengers,
        )

    def _live(self, record: VersionRecord, at: datetime) -> list[dict[str, Any]]:
        """Return the live record of each deployment of a version that decided within LIVE_DAYS."""
        horizon = horizon_of(record)
        if record.version.entity.kind is not EntityKind.MODEL or horizon is None:
            return []
        decisions = self.live.of(record.version, horizon_minutes=horizon, since=at - timedelta(days=LIVE_DAYS), until=at)
        by_name: dict[str, list[LiveDecision]] = {}
        for one in decisions:
            by_name.setdefault(one.deployment, []).append(one)
        return [live_view(name, live_record(found, costs_of(record))) for name, found in sorted(by_name.items())]

    def _live_now(self, at: datetime) -> list[dict[str, Any]]:
        """Return the live records of what decides now."""
        slot = self.book.slot(ALL_SYMBOLS)
        running = [one for one in (slot.current, *slot.challengers) if one is not None]
        names = {one.name for one in running}
        versions = dict.fromkeys(one.version for one in running)
        found = [one for version in versions for one in self._live(self._record(_name(version), EntityKind.MODEL), at)]
        return [one for one in found if one["deployment"] in names]

    def _compared_live(self, one: VersionRecord, other: VersionRecord, at: datetime) -> dict[str, Any]:
        horizons = [horizon_of(record) for record in (one, other)]
        if horizons[0] is None or horizons[0] != horizons[1]:
            texts = " and ".join("none" if found is None else f"{found} minutes" for found in horizons)
            raise DeploymentRefusedError(f"expected two versions with one horizon to compare live, got {texts}")
        began = [self.live.began(record.version) for record in (one, other)]
        if began[0] is None or began[1] is None:
            raise DeploymentRefusedError("expected two versions that were deployed to compare live, and one never was")
        since = max(began[0], began[1])
        until = min(at, since + timedelta(days=COMPARED_DAYS))
        first, second = (
            self.live.of(record.version, horizon_minutes=horizons[0], since=since, until=until) for record in (one, other)
        )
        found = compared_live(first, second, horizon_minutes=horizons[0], costs_bps=costs_of(one))
        return compared_live_view((one.name, other.name), since, until, found)

    def _promoted(self, asked: PromoteVersion, who: str, at: datetime) -> LibraryDeployment:
        if asked.version is not None:
            record = self._record(asked.version, EntityKind.MODEL)
        else:
            current = self.book.slot(ALL_SYMBOLS).current
            if current is None:
                raise DeploymentRefusedError("nothing serves yet, so there is nothing to promote; name a version, or deploy one")
            if current.stage is DeploymentStage.ACTIVE:
                raise DeploymentRefusedError(f"{current.name} is active already")
            record = self._record(_name(current.version), EntityKind.MODEL)
        return self._deployed(record, DeploymentStage.ACTIVE, **_facts(asked, who, at))

    def start(self, at: datetime) -> dict[str, Any]:
        """Register the starter bundle, and deploy it as shadow if nothing was ever deployed. Deploying a stage calls it again."""
        upload = UploadedBundle(
            self.starter(), at, _DEPLOYMENT, description="the bundle shipped with the code", tags=("starter",)
        )
        record = retried(lambda: self._taken_in(upload), self.pause)
        version = self._record(record["version"], EntityKind.MODEL)
        found = retried(
            lambda: self._deployed(
                version,
                DeploymentStage.SHADOW,
                who=_DEPLOYMENT,
                at=at,
                why="the first deployment of the stage",
                request_id=_STARTER_REQUEST,
                only_first=True,
            ),
            self.pause,
        )
        return {"version": record["version"], "deployment": deployment_view(found)}

    def publish(self) -> int:
        """Publish the committed events; return how many. Events that this misses are published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)


def require_deployable(record: VersionRecord, stage: DeploymentStage) -> None:
    """Raise DeploymentRefusedError unless the version may be deployed so, with what has to happen first."""
    state, name = record.lifecycle, record.name
    if record.bundle_key is None or state is None:
        why = record.reason or "it has none"
        raise DeploymentRefusedError(f"{name} has no bundle that could be deployed: {why}")
    if state not in {Lifecycle.CANDIDATE, Lifecycle.APPROVED}:
        raise DeploymentRefusedError(f"{name} is {state.value}: expected a candidate or an approved version")
    if stage is DeploymentStage.ACTIVE and state is not Lifecycle.APPROVED:
        raise DeploymentRefusedError(
            f"{name} is {state.value}, and only an approved version may be active; `signalbox library approve {name} --why ...`"
        )
    if not has_integrity(record.judgements()):
        raise DeploymentRefusedError(f"{name} did not pass {Gate.G0.value} (integrity), so it may not be deployed at all")


class _Asked(TypedDict):
    who: str
    at: datetime
    why: str
    request_id: str


def _facts(asked: LibraryChange, who: str, at: datetime) -> _Asked:
    return {"who": who, "at": at, "why": asked.why, "request_id": asked.request_id}


def _rate_of(record: VersionRecord) -> float | None:
    return evaluated_rate(_report_of(record))


def _report_of(record: VersionRecord) -> Mapping[str, Any]:
    judged = record.newest_evaluation()
    try:
        return {} if judged is None else read_object(judged.report.encode(), "the report")
    except ArtifactError:
        return {}


def horizon_of(record: VersionRecord) -> int | None:
    """Return the minutes after which a version's decisions are settled; None if its manifest cannot be read."""
    try:
        return BundleManifest.model_validate_json(record.manifest or "").label.horizon_minutes
    except ValidationError:
        return None


def costs_of(record: VersionRecord) -> float | None:
    """Return the costs of a round trip in basis points by the first cost model of its newest evaluation; None: not stated."""
    figures = _report_of(record).get("figures")
    costs = figures.get("costs") if isinstance(figures, dict) else None
    side = next(iter(costs.values()), None) if isinstance(costs, dict) else None
    return 2.0 * side if isinstance(side, int | float) and not isinstance(side, bool) and side >= 0 else None


def _name(version: VersionKey) -> str:
    return f"{version.entity.name}@{version.number}"
