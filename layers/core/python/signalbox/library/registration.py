"""A finished training job becomes a version of its model: a candidate, or refused or failed with the reason.

The model is verified as serving would (`load_bundle`), its archive kept under a key made of its content, and version,
evaluation, lineage and event are committed together. The origin is the job's name, so a redelivered event changes nothing.
What S3 or the ledger cannot do now is raised, and the delivery comes again; what is wrong with the model is recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from signalbox.contracts import BUNDLES_PREFIX
from signalbox.inference import BundleManifest, load_bundle
from signalbox.inference.archive import pack_bundle
from signalbox.inference.errors import BundleError, BundleManifestError
from signalbox.inference.manifest import MANIFEST_FILE, PROMOTION_GATES, REPORT_FILE, Gate, Verdict
from signalbox.library.artifact import MAX_PACKED_BYTES, unpack_artifact
from signalbox.library.entries import EntityKey, Evaluation, Kind, NewVersion, VersionKey, VersionState
from signalbox.library.errors import ArtifactError
from signalbox.library.events import ModelRegistered, TrainingFailed
from signalbox.library.ports import ArtifactStore, Library, LibraryTransaction

TRAINING: Final = "training"  # source of the evaluation that a bundle brings along
CANDLES: Final = "candles"  # the data set's entity
MAX_REASON: Final = 1_000
MAX_EVALUATION_BYTES: Final = 8 * 1024 * 1024


class JobOutcome(StrEnum):
    """How a training job ended, in SageMaker's words."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A training job that will not change any more."""

    name: str
    model: str
    outcome: JobOutcome
    finished_at: datetime
    artifact_uri: str  # where model.tar.gz lies when it completed
    reason: str | None = None  # why it failed
    evaluation: JobEvaluation | None = None


@dataclass(frozen=True, slots=True)
class JobEvaluation:
    """A further judgement that a pipeline made of the model before it was registered."""

    source: str
    uri: str  # of evaluation.json


@dataclass(frozen=True, slots=True)
class Registered:
    """What a job became; `new` is false when it was known."""

    version: VersionKey
    state: VersionState | None  # None when it was known
    new: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Model:
    """A bundle that may be used."""

    manifest: BundleManifest
    manifest_text: str
    archive: bytes
    sha256: str
    report: dict[str, Any]
    further: Evaluation | None

    @property
    def key(self) -> str:
        return bundle_key(self.manifest.name, self.sha256)


def bundle_key(model: str, sha256: str) -> str:
    """Return where the archive of a bundle is kept in the models bucket."""
    return f"{BUNDLES_PREFIX}/{model}/{sha256}.zip"


def register(job: FinishedJob, *, artifacts: ArtifactStore, library: Library, workspace: Path) -> Registered:
    """Record what a job became. `workspace`: an empty folder for the length of the call."""
    entity = EntityKey(Kind.MODEL, job.model)
    with library.transaction() as tx:
        known = tx.version_of(entity, job.name)
    if known is not None:
        return Registered(known, None, new=False)
    if job.outcome is not JobOutcome.COMPLETED:
        reason = (job.reason or f"the job was {job.outcome.value.lower()} without a reason")[:MAX_REASON]
        return _record_failure(library, job, VersionState.FAILED, reason)
    try:
        model = _verified(job, artifacts, workspace)
    except (ArtifactError, BundleError) as error:
        return _record_failure(library, job, VersionState.REFUSED, f"{type(error).__name__}: {error}"[:MAX_REASON])
    artifacts.keep_bundle(model.key, model.archive)
    return _record_candidate(library, job, model)


def _verified(job: FinishedJob, artifacts: ArtifactStore, workspace: Path) -> _Model:
    folder = unpack_artifact(artifacts.fetch(job.artifact_uri, at_most=MAX_PACKED_BYTES), workspace / "bundle")
    manifest = load_bundle(folder).manifest
    if manifest.name != job.model:
        raise BundleManifestError(f"expected a bundle of {job.model}, as the job was asked for, was {manifest.name}")
    archive = pack_bundle(folder)
    return _Model(
        manifest=manifest,
        manifest_text=(folder / MANIFEST_FILE).read_text(encoding="utf-8"),
        archive=archive,
        sha256=hashlib.sha256(archive).hexdigest(),
        report=_json_object((folder / REPORT_FILE).read_bytes(), REPORT_FILE),
        further=_further(job, manifest, artifacts),
    )


def _further(job: FinishedJob, manifest: BundleManifest, artifacts: ArtifactStore) -> Evaluation | None:
    if job.evaluation is None:
        return None
    told = _json_object(artifacts.fetch(job.evaluation.uri, at_most=MAX_EVALUATION_BYTES), job.evaluation.uri)
    if told.get("name") != manifest.name:
        raise ArtifactError(f"{job.evaluation.uri}: expected an evaluation of {manifest.name}, was of {told.get('name')}")
    try:
        gates = {Gate(name): Verdict(found["verdict"]) for name, found in told["gates"].items()}
        return Evaluation(
            source=job.evaluation.source,
            evaluated_at=job.finished_at,
            qualifies=bool(told["qualifies"]),
            headline=str(told["headline"]),
            gates=gates,
            report=json.dumps(told),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{job.evaluation.uri}: expected the gates of an evaluation: {error}") from error


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{name}: expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{name}: expected an object, was {type(found).__name__}")
    return found


def _record_failure(library: Library, job: FinishedJob, state: VersionState, reason: str) -> Registered:
    entity = EntityKey(Kind.MODEL, job.model)
    with library.transaction() as tx:
        if (known := _known(tx, entity, job.name)) is not None:
            return Registered(known, None, new=False)
        version = tx.add_version(NewVersion(entity, job.name, state, job.finished_at, reason=reason))
        outcome = "refused" if state is VersionState.REFUSED else "stopped" if job.outcome is JobOutcome.STOPPED else "failed"
        event = TrainingFailed(
            model=job.model, version=version.number, job=job.name, at=job.finished_at, outcome=outcome, reason=reason
        )
        tx.add_event(event, job.finished_at)
    return Registered(version, state, new=True, reason=reason)


def _record_candidate(library: Library, job: FinishedJob, model: _Model) -> Registered:
    entity, manifest = EntityKey(Kind.MODEL, job.model), model.manifest
    candidate = NewVersion(
        entity,
        job.name,
        VersionState.CANDIDATE,
        job.finished_at,
        bundle_key=model.key,
        sha256=model.sha256,
        manifest=model.manifest_text,
    )
    own = Evaluation(
        source=TRAINING,
        evaluated_at=manifest.created_at,
        qualifies=manifest.passes_promotion,
        headline=str(model.report.get("headline", "")),
        gates=manifest.gates,
        report=json.dumps(model.report),
    )
    with library.transaction() as tx:
        if (known := _known(tx, entity, job.name)) is not None:
            return Registered(known, None, new=False)
        version = tx.add_version(candidate)
        tx.add_evaluation(version, own)
        if model.further is not None:
            tx.add_evaluation(version, model.further)
        for needed, origin in _lineage(manifest):
            tx.add_dependency(version, _recorded(tx, needed, origin, job.finished_at))
        tx.add_event(_announcement(job, version, model), job.finished_at)
    return Registered(version, VersionState.CANDIDATE, new=True)


def _known(tx: LibraryTransaction, entity: EntityKey, origin: str) -> VersionKey | None:
    tx.lock(entity)  # whoever was first has committed when we hold it
    return tx.version_of(entity, origin)


def _lineage(manifest: BundleManifest) -> tuple[tuple[EntityKey, str], ...]:
    """What the model was made from. In a fixed order, the order in which their locks are taken."""
    return (
        (EntityKey(Kind.DATASET, CANDLES), dataset_hash(manifest)),
        (EntityKey(Kind.FEATURE_SET, manifest.feature_schema.name), manifest.feature_schema.hash),
    )


def dataset_hash(manifest: BundleManifest) -> str:
    """Return the sha256 of what was trained on: the symbols, the ends, and each source with its own hash."""
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


def _announcement(job: FinishedJob, version: VersionKey, model: _Model) -> ModelRegistered:
    last = model.further
    return ModelRegistered(
        model=job.model,
        version=version.number,
        job=job.name,
        at=job.finished_at,
        qualifies=model.manifest.passes_promotion if last is None else last.qualifies and model.manifest.passes_promotion,
        headline=str(model.report.get("headline", "")) if last is None else last.headline,
        shortfalls=tuple(_shortfalls(model.manifest.gates, model.report))
        + (() if last is None else tuple(f"{last.source}: {text}" for text in _shortfalls(last.gates, json.loads(last.report)))),
        bundle_key=model.key,
    )


def _shortfalls(gates: Mapping[Gate, Verdict], report: Mapping[str, Any]) -> list[str]:
    """Return a line for each gate of promotion that did not pass, with what the report found."""
    lines = []
    for gate in PROMOTION_GATES:
        verdict = gates.get(gate, Verdict.NOT_EVALUATED)
        if verdict is not Verdict.PASS:
            found = _found(report, gate)
            lines.append(f"{gate.value} {verdict.value}: {found}" if found else f"{gate.value} {verdict.value}")
    return lines


def _found(report: Mapping[str, Any], gate: Gate) -> str:
    told = report.get("gates")
    result = told.get(gate.value) if isinstance(told, dict) else None
    return str(result.get("found", "")) if isinstance(result, dict) else ""
