"""Records a finished evaluation job as an evaluation of the version that it judged. The version itself never changes.

The evaluation names the version by the sha256 of the bundle it loaded. An evaluation that belongs to no version in the library is
announced once, and the job's files stay in S3: sending the same message again after the model is registered records it. The
evaluation's source is the job's name, so a redelivered event changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.artifact import MAX_PACKED_BYTES, OUTPUT_ARCHIVE, unpack_artifact
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import ArtifactError, UnknownBundleError
from signalbox.library.events import EvaluationFailed, ModelEvaluated
from signalbox.library.judgements import EVALUATION_FILE, MAX_EVALUATION_BYTES, EvaluationFile, plain, read_evaluation, shortfalls
from signalbox.library.lifecycle import Lifecycle, VersionDecision
from signalbox.library.ports import ArtifactStore, Library, LibraryTransaction
from signalbox.library.registration import JobOutcome

_ENDED: Final = {"failed": "failed", "stopped": "was stopped"}
_SHOWN: Final = 12  # characters of a sha256 in a message


@dataclass(frozen=True, slots=True)
class FinishedEvaluation:
    """An evaluation job in its final state."""

    name: str
    outcome: JobOutcome
    finished_at: datetime
    model_uri: str  # the model given to the job; shown to people, not used for decisions
    output_uri: str  # where output.tar.gz is if the job completed
    reason: str | None = None  # why the job failed


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """The result of recording an evaluation job. new: False if it was recorded before. reason: why there is no version."""

    version: VersionKey | None
    new: bool
    qualifies: bool | None = None
    reason: str | None = None


def record_evaluation(
    job: FinishedEvaluation, *, artifacts: ArtifactStore, library: Library, workspace: Path
) -> EvaluationOutcome:
    """Record the result of an evaluation job. workspace: a folder that is empty and exists for the length of the call."""
    with library.transaction() as tx:
        known = tx.version_judged_by(job.name)
    if known is not None:
        return EvaluationOutcome(known, new=False)
    if job.outcome is not JobOutcome.COMPLETED:
        outcome: Literal["failed", "stopped"] = "stopped" if job.outcome is JobOutcome.STOPPED else "failed"
        return _not_judged(library, job, outcome, (job.reason or "").strip() or f"the job {_ENDED[outcome]} without a reason")
    try:
        found = _left(job, artifacts, workspace)
        return _recorded(library, job, found)
    except (ArtifactError, UnknownBundleError) as error:
        return _not_judged(library, job, "refused", f"{type(error).__name__}: {error}")


def _left(job: FinishedEvaluation, artifacts: ArtifactStore, workspace: Path) -> EvaluationFile:
    archive = artifacts.fetch(job.output_uri, at_most=MAX_PACKED_BYTES)
    path = unpack_artifact(archive, workspace / "output", name=OUTPUT_ARCHIVE) / EVALUATION_FILE
    if not path.is_file():
        raise ArtifactError(f"no {EVALUATION_FILE} in {job.output_uri}")
    if (size := path.stat().st_size) > MAX_EVALUATION_BYTES:
        raise ArtifactError(f"{EVALUATION_FILE}: expected at most {MAX_EVALUATION_BYTES} bytes, got {size}")
    return read_evaluation(path.read_bytes(), EVALUATION_FILE, source=job.name, at=job.finished_at)


def _recorded(library: Library, job: FinishedEvaluation, found: EvaluationFile) -> EvaluationOutcome:
    evaluation = found.evaluation
    with library.transaction() as tx:
        version = _judged_version(tx, found)
        if not tx.add_evaluation(version, evaluation):
            return EvaluationOutcome(version, new=False)
        if evaluation.gates.get(Gate.G0) is Verdict.PASS:
            tx.lock(version.entity)
            if tx.lifecycle(version) is Lifecycle.DRAFT:
                why = f"{job.name}: {Gate.G0.value} {Verdict.PASS.value}"
                tx.add_decision(version, VersionDecision(Lifecycle.CANDIDATE, "evaluation", job.finished_at, why, job.name))
        event = ModelEvaluated(
            model=found.model,
            version=version.number,
            job=job.name,
            at=job.finished_at,
            start=found.period.start,
            end=found.period.end,
            qualifies=evaluation.qualifies,
            headline=evaluation.headline,
            shortfalls=shortfalls(evaluation.gates, json.loads(evaluation.report)),
        )
        tx.add_event(event, job.finished_at)
    return EvaluationOutcome(version, new=True, qualifies=evaluation.qualifies)


def _judged_version(tx: LibraryTransaction, found: EvaluationFile) -> VersionKey:
    """Return the first version with this bundle; equal bundles get equal evaluations. Raises UnknownBundleError."""
    held = tx.bundles_of(EntityKey(EntityKind.MODEL, found.model))
    for version, sha256 in held:
        if sha256 == found.bundle_sha256:
            return version
    short = f"{found.bundle_sha256[:_SHOWN]}…"
    if not held:
        raise UnknownBundleError(
            f"the library has no version of {found.model} (bundle {short}); register its training job first, then send this"
            " evaluation again (docs/training-jobs.md)"
        )
    there = ", ".join(f"{version.number}: {sha256[:_SHOWN]}…" for version, sha256 in held[-5:] if sha256) or "none with a bundle"
    raise UnknownBundleError(
        f"no version of {found.model} has bundle {short}; it is another archive than was registered. Newest versions: {there}"
    )


def _not_judged(
    library: Library, job: FinishedEvaluation, outcome: Literal["failed", "stopped", "refused"], reason: str
) -> EvaluationOutcome:
    text = plain(reason)
    event = EvaluationFailed(job=job.name, at=job.finished_at, outcome=outcome, reason=text, model_uri=plain(job.model_uri))
    with library.transaction() as tx:
        new = tx.add_event(event, job.finished_at)
    return EvaluationOutcome(None, new=new, reason=text)
