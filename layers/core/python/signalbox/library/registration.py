"""Records a finished training job as a version of its model: a candidate, or refused or failed with the reason.

In a pipeline, a model that did not pass its evaluation is refused: its version has the evaluation, the lineage and the bundle's
sha256, but no bundle that could be deployed. The pipeline reports whether its condition passed, and this module checks the
evaluation's gates again; a candidate needs both.

The model is verified as in serving (`load_bundle`), and its archive is stored under a key made from its content. Version,
evaluation, lineage and event are committed together. The origin is the job's name, so a redelivered event changes nothing. If S3
or the ledger fails, the error is raised and the event is delivered again; if the model is at fault, the fault is recorded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from signalbox.contracts import BUNDLES_PREFIX
from signalbox.inference import BundleManifest, load_bundle
from signalbox.inference.archive import pack_bundle, unpack_bundle
from signalbox.inference.errors import BundleError, BundleManifestError
from signalbox.inference.manifest import MANIFEST_FILE, REPORT_FILE, Gate, Verdict
from signalbox.labels import CONTRACTS
from signalbox.library.artifact import MAX_PACKED_BYTES, unpack_artifact
from signalbox.library.entries import (
    TRAINING,
    EntityKey,
    EntityKind,
    NewVersion,
    VersionEvaluation,
    VersionKey,
    VersionState,
)
from signalbox.library.errors import ArtifactError
from signalbox.library.events import ModelNotQualified, ModelRegistered, TrainingFailed
from signalbox.library.judgements import (
    MAX_EVALUATION_BYTES,
    needed_gates,
    period_of,
    plain,
    read_evaluation,
    read_object,
    registers,
    shortfalls,
)
from signalbox.library.lifecycle import Lifecycle, VersionDecision
from signalbox.library.numbering import MadeFrom, next_semantic
from signalbox.library.parameters import RegisterWhen
from signalbox.library.ports import ArtifactStore, Library, LibraryTransaction

CANDLES: Final = "candles"  # name of the data set entity


class JobOutcome(StrEnum):
    """How a training job ended, in SageMaker's words."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A training job in its final state."""

    name: str
    model: str
    outcome: JobOutcome
    finished_at: datetime
    artifact_uri: str  # where model.tar.gz is if the job completed
    reason: str | None = None  # why the job failed
    evaluation: JobEvaluation | None = None
    who: str = "training"  # recorded for the first decision about the version
    description: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobEvaluation:
    """A second evaluation of the model, made by a pipeline before registration."""

    source: str
    uri: str  # of evaluation.json
    when: RegisterWhen
    passed: bool  # result of the pipeline's condition


@dataclass(frozen=True, slots=True)
class RegistrationOutcome:
    """The result of recording a training job. new: False if it was recorded before."""

    version: VersionKey
    state: VersionState | None  # None if the job was recorded before
    new: bool
    reason: str | None = None
    qualified: bool = True  # False if the model was verified but did not pass the pipeline's evaluation


@dataclass(frozen=True, slots=True)
class _Model:
    """A verified bundle and what is recorded of it."""

    manifest: BundleManifest
    manifest_text: str
    archive: bytes
    sha256: str
    report: dict[str, Any]
    further: VersionEvaluation | None
    shortfall: str | None  # why the pipeline's evaluation does not allow registration

    @property
    def key(self) -> str:
        return bundle_key(self.manifest.name, self.sha256)


def bundle_key(model: str, sha256: str) -> str:
    """Return the key of a bundle's archive in the models bucket."""
    return f"{BUNDLES_PREFIX}/{model}/{sha256}.zip"


def register(job: FinishedJob, *, artifacts: ArtifactStore, library: Library, workspace: Path) -> RegistrationOutcome:
    """Record the result of a training job. workspace: a folder that is empty and exists for the length of the call."""
    entity = EntityKey(EntityKind.MODEL, job.model)
    with library.transaction() as tx:
        known = tx.version_of(entity, job.name)
    if known is not None:
        return RegistrationOutcome(known, None, new=False)
    if job.outcome is not JobOutcome.COMPLETED:
        reason = plain((job.reason or "").strip() or f"the job was {job.outcome.value.lower()} without a reason")
        return _record_failure(library, job, VersionState.FAILED, reason)
    try:
        model = _verified(job, artifacts, workspace)
    except (ArtifactError, BundleError) as error:
        return _record_failure(library, job, VersionState.REFUSED, plain(f"{type(error).__name__}: {error}"))
    if model.shortfall is None:
        artifacts.keep_bundle(model.key, model.archive)
    return _record_model(library, job, model)


@dataclass(frozen=True, slots=True)
class UploadedBundle:
    """A bundle that a person, or the deployment itself, brings. archive: as `pack_bundle` writes it."""

    archive: bytes
    at: datetime
    who: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    model: str | None = None  # whose bundle it has to be; None: of whichever model it names


def register_bundle(
    upload: UploadedBundle, *, artifacts: ArtifactStore, library: Library, workspace: Path
) -> RegistrationOutcome:
    """Record an uploaded bundle as a version; its origin is its hash, so one bundle is one version, however often it comes.

    Nothing is recorded of a bundle that does not verify. Raises BundleError. workspace: as of `register`.
    """
    folder = unpack_bundle(upload.archive, workspace / "bundle")
    manifest = load_bundle(folder, contracts=CONTRACTS.values()).manifest
    if upload.model not in {None, manifest.name}:
        raise BundleManifestError(f"expected a bundle of {upload.model}, got one of {manifest.name}")
    archive = pack_bundle(folder)  # as this code packs it, whatever packed the upload
    model = _Model(
        manifest=manifest,
        manifest_text=(folder / MANIFEST_FILE).read_text(encoding="utf-8"),
        archive=archive,
        sha256=hashlib.sha256(archive).hexdigest(),
        report=_report_of(folder),
        further=None,
        shortfall=None,
    )
    job = FinishedJob(
        name=f"upload-{model.sha256}",
        model=manifest.name,
        outcome=JobOutcome.COMPLETED,
        finished_at=upload.at,
        artifact_uri="",
        who=upload.who,
        description=upload.description,
        tags=upload.tags,
    )
    artifacts.keep_bundle(model.key, model.archive)
    return _record_model(library, job, model)


def _report_of(folder: Path) -> dict[str, Any]:
    try:
        return read_object((folder / REPORT_FILE).read_bytes(), REPORT_FILE)
    except ArtifactError as error:
        raise BundleManifestError(f"{folder.name}: {error}") from error


def _verified(job: FinishedJob, artifacts: ArtifactStore, workspace: Path) -> _Model:
    folder = unpack_artifact(artifacts.fetch(job.artifact_uri, at_most=MAX_PACKED_BYTES), workspace / "bundle")
    manifest = load_bundle(folder, contracts=CONTRACTS.values()).manifest
    if manifest.name != job.model:
        raise BundleManifestError(f"expected a bundle of {job.model}, the job's model, got {manifest.name}")
    archive = pack_bundle(folder)
    sha256 = hashlib.sha256(archive).hexdigest()
    further = _further(job, sha256, artifacts)
    return _Model(
        manifest=manifest,
        manifest_text=(folder / MANIFEST_FILE).read_text(encoding="utf-8"),
        archive=archive,
        sha256=sha256,
        report=read_object((folder / REPORT_FILE).read_bytes(), REPORT_FILE),
        further=further,
        shortfall=_shortfall(job, further),
    )


def _further(job: FinishedJob, sha256: str, artifacts: ArtifactStore) -> VersionEvaluation | None:
    if job.evaluation is None:
        return None
    uri = job.evaluation.uri
    content = artifacts.fetch(uri, at_most=MAX_EVALUATION_BYTES)
    given = read_evaluation(content, uri, source=job.evaluation.source, at=job.finished_at)
    if (given.model, given.bundle_sha256) != (job.model, sha256):
        raise ArtifactError(
            f"{uri}: expected an evaluation of {job.model} with sha256 {sha256}, got one of {given.model}"
            f" with {given.bundle_sha256}"
        )
    return given.evaluation


def _shortfall(job: FinishedJob, further: VersionEvaluation | None) -> str | None:
    if job.evaluation is None or further is None:
        return None
    when = job.evaluation.when
    if job.evaluation.passed and registers(further.gates, when):
        return None
    missing = shortfalls(further.gates, json.loads(further.report), needed_gates(when))
    why = "; ".join(missing) or "the pipeline's condition did not pass, although all needed gates do"
    return plain(f"did not qualify for registration ({when.value}): {why}")


def _record_failure(library: Library, job: FinishedJob, state: VersionState, reason: str) -> RegistrationOutcome:
    entity = EntityKey(EntityKind.MODEL, job.model)
    with library.transaction() as tx:
        if (known := _known(tx, entity, job.name)) is not None:
            return RegistrationOutcome(known, None, new=False)
        version = tx.add_version(NewVersion(entity, job.name, state, job.finished_at, reason=reason))
        outcome = "refused" if state is VersionState.REFUSED else "stopped" if job.outcome is JobOutcome.STOPPED else "failed"
        event = TrainingFailed(
            model=job.model, version=version.number, job=job.name, at=job.finished_at, outcome=outcome, reason=reason
        )
        tx.add_event(event, job.finished_at)
    return RegistrationOutcome(version, state, new=True, reason=reason)


def _record_model(library: Library, job: FinishedJob, model: _Model) -> RegistrationOutcome:
    entity, manifest = EntityKey(EntityKind.MODEL, job.model), model.manifest
    wanted = model.shortfall is None
    state = VersionState.CANDIDATE if wanted else VersionState.REFUSED
    version_facts = NewVersion(
        entity,
        job.name,
        state,
        job.finished_at,
        reason=model.shortfall,
        bundle_key=model.key if wanted else None,
        sha256=model.sha256,
        manifest=model.manifest_text,
        description=job.description,
    )
    own = VersionEvaluation(
        source=TRAINING,
        evaluated_at=manifest.created_at,
        qualifies=manifest.passes_promotion,
        headline=_headline(model),
        gates=manifest.gates,
        report=json.dumps(model.report, allow_nan=False),
        period=period_of(model.report),
    )
    with library.transaction() as tx:
        if (known := _known(tx, entity, job.name)) is not None:
            return RegistrationOutcome(known, None, new=False)
        version = add_bundle_version(tx, version_facts, manifest, who=job.who)
        tx.add_evaluation(version, own)
        for tag in job.tags:
            tx.add_tag(version, tag)
        if model.further is not None:
            tx.add_evaluation(version, model.further)
        # every lock of an entity comes before the lock of dependencies
        for needed in [_recorded(tx, entity, origin, job.finished_at) for entity, origin in lineage(manifest)]:
            tx.add_dependency(version, needed)
        tx.add_event(_announcement(job, version, model), job.finished_at)
    return RegistrationOutcome(version, state, new=True, reason=model.shortfall, qualified=wanted)


def add_bundle_version(tx: LibraryTransaction, facts: NewVersion, manifest: BundleManifest, *, who: str) -> VersionKey:
    """Add a version of a verified bundle with its semantic number; one that may be deployed begins its lifecycle.

    who: whose doing it is, for the record. The caller holds the entity's lock.
    """
    version = tx.add_version(replace(facts, semantic=_semantic(tx, facts.entity, manifest)))
    if facts.state is VersionState.CANDIDATE:
        tx.add_decision(version, _first_step(facts, manifest, who))
    return version


def _semantic(tx: LibraryTransaction, entity: EntityKey, manifest: BundleManifest) -> str:
    before = tx.newest_bundle(entity)
    if before is None:
        return next_semantic(None, None, made_from(manifest))
    semantic, text = before
    try:
        earlier = made_from(BundleManifest.model_validate_json(text))
    except ValidationError:  # of a format that this code no longer reads
        earlier = None
    return next_semantic(semantic, earlier, made_from(manifest))


def made_from(manifest: BundleManifest) -> MadeFrom:
    """Return what a bundle was made from."""
    return MadeFrom(manifest.feature_schema.hash, dataset_hash(manifest))


def _first_step(facts: NewVersion, manifest: BundleManifest, who: str) -> VersionDecision:
    passed = manifest.gates[Gate.G0] is Verdict.PASS
    state = Lifecycle.CANDIDATE if passed else Lifecycle.DRAFT
    why = f"registered: {Gate.G0.value} {manifest.gates[Gate.G0].value}"
    return VersionDecision(state, who, facts.created_at, why, facts.origin)


def _headline(model: _Model) -> str:
    return plain(str(model.report.get("headline", "")))


def _known(tx: LibraryTransaction, entity: EntityKey, origin: str) -> VersionKey | None:
    tx.lock(entity)  # once we hold the lock, an earlier transaction for the same job has committed
    return tx.version_of(entity, origin)


def lineage(manifest: BundleManifest) -> tuple[tuple[EntityKey, str], ...]:
    """Return what the model was made from. The order is fixed, because the locks are taken in it."""
    return (
        (EntityKey(EntityKind.DATASET, CANDLES), dataset_hash(manifest)),
        (EntityKey(EntityKind.FEATURE_SET, manifest.feature_schema.name), manifest.feature_schema.hash),
    )


def dataset_hash(manifest: BundleManifest) -> str:
    """Return the sha256 of the training data: the symbols, start and end, and each source with its own hash."""
    training = manifest.training
    facts = {
        "symbols": list(training.symbols),
        "start": training.start.isoformat(),
        "end": training.end.isoformat(),
        "sources": [[source.name, source.sha256] for source in training.sources],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _recorded(tx: LibraryTransaction, entity: EntityKey, origin: str, at: datetime) -> VersionKey:
    known = _known(tx, entity, origin)
    return known or tx.add_version(NewVersion(entity, origin, VersionState.RECORDED, at))


def _announcement(job: FinishedJob, version: VersionKey, model: _Model) -> ModelRegistered | ModelNotQualified:
    last = model.further
    missing = shortfalls(model.manifest.gates, model.report)
    if job.evaluation is not None and last is not None and model.shortfall is not None:
        found = shortfalls(last.gates, json.loads(last.report), needed_gates(job.evaluation.when))
        return ModelNotQualified(
            model=job.model,
            version=version.number,
            job=job.name,
            evaluation=last.source,
            at=job.finished_at,
            headline=last.headline,
            shortfalls=found or (model.shortfall,),
        )
    return ModelRegistered(
        model=job.model,
        version=version.number,
        job=job.name,
        at=job.finished_at,
        qualifies=model.manifest.passes_promotion if last is None else last.qualifies and model.manifest.passes_promotion,
        headline=_headline(model) if last is None else last.headline,
        shortfalls=missing
        + (() if last is None else tuple(f"{last.source}: {text}" for text in shortfalls(last.gates, json.loads(last.report)))),
        bundle_key=model.key,
    )
