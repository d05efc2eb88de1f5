"""The library for people: who may ask, what is answered, what is changed. The doors (HTTP, the command line) are thin.

Every change is kept with who, when and why beside the row it makes. A caller without the role is refused and recorded.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, assert_never

from signalbox.access import Refusal, Role, names_of
from signalbox.application.library_questions import LibraryQuestions
from signalbox.application.live_answers import LiveAnswers, report_of
from signalbox.application.retries import retried
from signalbox.contracts import SYMBOLS, upload_key
from signalbox.inference.manifest import Gate
from signalbox.library.artifact import MAX_PACKED_BYTES
from signalbox.library.catalogue import VersionRecord, VersionReference
from signalbox.library.commands import (
    AddDependency,
    AnyLibraryChange,
    AnyLibraryRequest,
    ApproveVersion,
    ChangeEntity,
    CreateEntity,
    DeployVersion,
    EndObservation,
    LibraryChange,
    PromoteVersion,
    RegisterVersion,
    RejectVersion,
    RetireVersion,
    RollBackDeployment,
    StartObservation,
    WithdrawVersion,
    needed_role,
)
from signalbox.library.deployments import ALL_SYMBOLS, LibraryDeployment, evaluated_rate
from signalbox.library.documents import (
    LibraryHealthDocument,
    LineageDocument,
    ObservationDocument,
    RegisteredDocument,
    VersionDocument,
)
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionState
from signalbox.library.errors import ArtifactError, DeploymentRefusedError, LibraryAccessError
from signalbox.library.lifecycle import Lifecycle, VersionDecision, approved, has_integrity, stepped
from signalbox.library.ports import ArtifactStore, DeploymentBook, EntityBook, Library, LiveDecisions, RegistryReader, RequestBook
from signalbox.library.registration import UploadedBundle, register_bundle
from signalbox.library.views import deployment_view, entity_view, observation_view, record_view
from signalbox.observation.errors import ObservationRulesError
from signalbox.observation.ports import ObservationBook, ObservationState, ObservationStep
from signalbox.observation.rules import ObservationRules, parse_rules
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signals.signal import DeploymentStage
from signalbox.signing import AcceptedKeys

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
    entities: EntityBook
    requests: RequestBook
    book: DeploymentBook
    observations: ObservationBook
    artifacts: ArtifactStore
    roles: LibraryRoles
    outbox: Outbox
    bus: EventPublisher
    models_bucket: str
    starter: Callable[[], bytes]  # the archive of the bundle that is shipped with the code
    live: LiveDecisions
    challengers: int = 3  # that may decide beside what serves
    owners: tuple[str, ...] = ()
    person_keys: AcceptedKeys | None = None  # of the bot, which names a person with them
    pause: Callable[[float], None] = time.sleep
    _denied: list[Refusal] = field(default_factory=list)
    _questions: LibraryQuestions = field(init=False)

    def __post_init__(self) -> None:
        self._questions = LibraryQuestions(self.registry, self.entities, self.book, self.requests, LiveAnswers(self.live))

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

    def _answered(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:
        if not isinstance(asked, LibraryChange):
            return self._questions.answer(asked, at)
        # by itself, before the change: each change is repeatable by its request id, so what is claimed and not done is done then
        self.requests.claim(asked.request_id, _digest(asked, who), verb=asked.verb, at=at, who=who, why=asked.why)
        return self._changed(asked, who, at)

    def _changed(self, asked: AnyLibraryChange, who: str, at: datetime) -> Any:  # noqa: C901, PLR0911, PLR0912 - a change a line
        match asked:
            case CreateEntity():
                key = EntityKey(asked.kind, asked.name)
                return entity_view(self.entities.create(key, asked.description, **_facts(asked, who, at)))
            case ChangeEntity():
                stated: _Stated = {"description": asked.description, "archived": asked.archived}
                key = EntityKey(asked.kind, asked.name)
                return entity_view(self.entities.change(key, asked.revision, **stated, **_facts(asked, who, at)))
            case RegisterVersion():
                return self._registered(asked, who, at)
            case AddDependency():
                return self._depended(asked)
            case ApproveVersion():
                return self._step(asked, Lifecycle.APPROVED, who, at, override=asked.override)
            case RejectVersion():
                return self._step(asked, Lifecycle.REJECTED, who, at)
            case RetireVersion():
                return self._step(asked, Lifecycle.RETIRED, who, at)
            case DeployVersion() | PromoteVersion() if (found := self.book.requested(asked.request_id)) is not None:
                return deployment_view(found)  # whatever is newest, serves or may be deployed by now
            case DeployVersion():
                record = self._questions.record(asked.version, EntityKind.MODEL)
                return deployment_view(self._deployed(record, asked.stage, beside=asked.beside, **_facts(asked, who, at)))
            case WithdrawVersion():
                version = self._questions.record(asked.version, EntityKind.MODEL).version
                return deployment_view(self.book.withdraw(version, ALL_SYMBOLS, **_facts(asked, who, at)))
            case PromoteVersion():
                return deployment_view(self._promoted(asked, who, at))
            case RollBackDeployment():
                return deployment_view(self.book.roll_back(ALL_SYMBOLS, to=asked.to, **_facts(asked, who, at)))
            case StartObservation():
                return self._observed(asked, who, at)
            case EndObservation():
                step = ObservationStep(ObservationState.ENDED, at, who, asked.why, asked.request_id, asked.verdict, asked.reasons)
                return observation_view(self.observations.end(asked.observation, step))
            case _:
                assert_never(asked)

    def health(self, who: str) -> LibraryHealthDocument:
        """Return that the ledger answers, and the caller's role. Raises LedgerError."""
        names = names_of(who)
        held = retried(lambda: self.roles.role(names), self.pause)
        role = Role.OWNER if set(names) & set(self.owners) else held
        return {"status": "healthy", "role": None if role is None else role.value}

    def _depended(self, asked: AddDependency) -> LineageDocument:
        with self.library.transaction() as tx:
            version = tx.record(VersionReference.parse(asked.version), asked.kind).version
            tx.add_dependency(version, tx.record(VersionReference.parse(asked.needs), asked.needs_kind).version)
        return self._questions.lineage(version)

    def _registered(self, asked: RegisterVersion, who: str, at: datetime) -> RegisteredDocument:
        if asked.kind is EntityKind.STRATEGY:
            raise ArtifactError("a strategy has no bundle yet; expected a version of a model, dataset or feature_set")
        if asked.kind is not EntityKind.MODEL:
            return self._recorded(asked, at)
        uri = f"s3://{self.models_bucket}/{upload_key(asked.sha256)}"
        archive = self.artifacts.fetch(uri, at_most=MAX_PACKED_BYTES)
        return self._taken_in(UploadedBundle(archive, at, who, description=asked.why, tags=asked.tags, model=asked.name))

    def _recorded(self, asked: RegisterVersion, at: datetime) -> RegisteredDocument:
        """Record a dataset or feature set, which is known by its hash alone."""
        entity = EntityKey(asked.kind, asked.name)
        with self.library.transaction() as tx:
            tx.lock(entity)
            known = tx.version_of(entity, asked.sha256)
            version = known or tx.add_version(NewVersion(entity, asked.sha256, VersionState.RECORDED, at, description=asked.why))
            for tag in asked.tags if known is None else ():
                tx.add_tag(version, tag)
        record = self._questions.record(version.reference, asked.kind)
        return {**record_view(record), "new": known is None}

    def _taken_in(self, upload: UploadedBundle) -> RegisteredDocument:
        with tempfile.TemporaryDirectory(prefix="upload-") as folder:
            found = register_bundle(upload, artifacts=self.artifacts, library=self.library, workspace=Path(folder))
        name = found.version.reference
        return {**record_view(self._questions.record(name, EntityKind.MODEL)), "new": found.new}

    def _step(
        self,
        asked: ApproveVersion | RejectVersion | RetireVersion,
        to: Lifecycle,
        who: str,
        at: datetime,
        *,
        override: bool = False,
    ) -> VersionDocument:
        reference = VersionReference.parse(asked.version)
        with self.library.transaction() as tx:
            entity = EntityKey(asked.kind, reference.name)
            tx.lock(entity)
            if (stepped_before := tx.decided_by(asked.request_id, entity)) is not None:
                reference = VersionReference.parse(stepped_before.reference)  # the newest may be another one by now
            record = tx.record(reference, asked.kind)
            decision = VersionDecision(to, who, at, asked.why, asked.request_id)
            if all(one.request_id != asked.request_id for one in record.decisions):
                current = record.lifecycle
                if to is Lifecycle.APPROVED:
                    decision = approved(record.name, current, record.judgements(), decision, override=override)
                else:
                    decision = stepped(record.name, current, decision)
                tx.add_decision(record.version, decision)
        return record_view(self._questions.record(record.name, asked.kind))

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

    def _promoted(self, asked: PromoteVersion, who: str, at: datetime) -> LibraryDeployment:
        if asked.version is not None:
            record = self._questions.record(asked.version, EntityKind.MODEL)
        else:
            current = self.book.slot(ALL_SYMBOLS).current
            if current is None:
                raise DeploymentRefusedError("nothing serves yet, so there is nothing to promote; name a version, or deploy one")
            if current.stage is DeploymentStage.ACTIVE:
                raise DeploymentRefusedError(f"{current.name} is active already")
            record = self._questions.record(current.version.reference, EntityKind.MODEL)
        return self._deployed(record, DeploymentStage.ACTIVE, **_facts(asked, who, at))

    def _observed(self, asked: StartObservation, who: str, at: datetime) -> ObservationDocument:
        """Start an observation of what serves, under rules that fit it. Raises ObservationRulesError."""
        rules = parse_rules(asked.rules)
        if not self.observations.is_recorded(rules):  # asked again after it began or what serves changed, it is the same one
            rules.require_ahead(at)
            require_observable(rules, self.book.slot(ALL_SYMBOLS).current)
        step = ObservationStep(ObservationState.RUNNING, at, who, asked.why, asked.request_id)
        return observation_view(self.observations.start(rules, step))

    def start(self, at: datetime) -> dict[str, Any]:
        """Register the starter bundle, and deploy it as shadow if nothing was ever deployed. Deploying a stage calls it again."""
        upload = UploadedBundle(
            self.starter(), at, _DEPLOYMENT, description="the bundle shipped with the code", tags=("starter",)
        )
        record = retried(lambda: self._taken_in(upload), self.pause)
        version = self._questions.record(record["version"], EntityKind.MODEL)
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


def require_observable(rules: ObservationRules, current: LibraryDeployment | None) -> None:
    """Raise ObservationRulesError unless the rules name what serves, as it was evaluated, and every symbol of the stage."""
    if current is None:
        raise ObservationRulesError("nothing serves yet, so there is nothing to observe; deploy a version")
    model = rules.model
    wanted = {
        "deployment": current.name,
        "bundle_sha256": current.sha256,
        "evaluated_share": current.evaluated_rate,
        "symbols": tuple(SYMBOLS),
    }
    for name, value in wanted.items():
        if value is None:
            raise ObservationRulesError(f"{current.name} states no evaluated share of signals, so its rate cannot be observed")
        if (found := getattr(model, name)) != value:
            raise ObservationRulesError(f"model.{name}: expected {value} of what serves, got {found}")


def require_deployable(record: VersionRecord, stage: DeploymentStage) -> None:
    """Raise DeploymentRefusedError unless the version may be deployed so, with what has to happen first."""
    state, name = record.lifecycle, record.name
    if record.bundle_key is None or state is None:
        why = record.reason or "it has none"
        raise DeploymentRefusedError(f"{name} has no bundle that could be deployed: {why}")
    if record.archived:
        raise DeploymentRefusedError(f"{name} is of an archived model; take it out of the archive first, or deploy another one")
    if state not in {Lifecycle.CANDIDATE, Lifecycle.APPROVED}:
        raise DeploymentRefusedError(f"{name} is {state.value}: expected a candidate or an approved version")
    if stage is DeploymentStage.ACTIVE and state is not Lifecycle.APPROVED:
        raise DeploymentRefusedError(
            f"{name} is {state.value}, and only an approved version may be active; `signalbox library approve {name} --why ...`"
        )
    if not has_integrity(record.judgements()):
        raise DeploymentRefusedError(f"{name} did not pass {Gate.G0.value} (integrity), so it may not be deployed at all")


class _Stated(TypedDict):
    description: str | None
    archived: bool | None


class _Asked(TypedDict):
    who: str
    at: datetime
    why: str
    request_id: str


def _facts(asked: LibraryChange, who: str, at: datetime) -> _Asked:
    return {"who": who, "at": at, "why": asked.why, "request_id": asked.request_id}


def _digest(asked: LibraryChange, who: str) -> str:
    """Return the hash of a request's caller and content, which its request id belongs to.

    The caller is the narrowest name that identifies one: whoever assumes a role has another session at each retry.
    """
    facts = {"who": next(iter(names_of(who)), who), **asked.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _rate_of(record: VersionRecord) -> float | None:
    return evaluated_rate(report_of(record))
