"""A finished evaluation job becomes an evaluation of the version that it judged; the version itself is never changed.

An evaluation names its version by the sha256 of the bundle it loaded. What cannot be tied to a version of the
library is told once, and the job's files stay in S3: the same message again, when the model is known, records it. The source is
the job's name, so a redelivered event changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from signalbox.library.artifact import MAX_PACKED_BYTES, OUTPUT_ARCHIVE, unpack_artifact
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import ArtifactError, UnknownBundleError
from signalbox.library.events import EvaluationFailed, ModelEvaluated
from signalbox.library.judgements import EVALUATION_FILE, MAX_EVALUATION_BYTES, EvaluationFile, plain, read_evaluation, shortfalls
from signalbox.library.ports import ArtifactStore, Library, LibraryTransaction
from signalbox.library.registration import JobOutcome

_ENDED: Final = {"failed": "failed", "stopped": "was stopped"}
_SHOWN: Final = 12  # characters of a sha256 in a message


@dataclass(frozen=True, slots=True)
class FinishedEvaluation:
    """An evaluation job that will not change any more."""

    name: str
    outcome: JobOutcome
    finished_at: datetime
    model_uri: str  # what it was given to judge; for people, it decides nothing
    output_uri: str  # where output.tar.gz lies when it completed
    reason: str | None = None  # why it failed


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """The outcome of an evaluation job; `new` is false for a duplicate. `reason` says why it has no version."""

    version: VersionKey | None
    new: bool
    qualifies: bool | None = None
    reason: str | None = None


def record_evaluation(
    job: FinishedEvaluation, *, artifacts: ArtifactStore, library: Library, workspace: Path
) -> EvaluationOutcome:
    """Record what an evaluation job found. `workspace`: an empty folder for the length of the call."""
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
        raise ArtifactError(f"{EVALUATION_FILE}: expected at most {MAX_EVALUATION_BYTES} bytes, was {size}")
    return read_evaluation(path.read_bytes(), EVALUATION_FILE, source=job.name, at=job.finished_at)


def _recorded(library: Library, job: FinishedEvaluation, found: EvaluationFile) -> EvaluationOutcome:
    evaluation = found.evaluation
    with library.transaction() as tx:
        version = _judged_version(tx, found)
        if not tx.add_evaluation(version, evaluation):
            return EvaluationOutcome(version, new=False)
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
    """Return the first version of the bundle, for equal bundles are equally judged. Raises UnknownBundleError."""
    held = tx.bundles_of(EntityKey(EntityKind.MODEL, found.model))
    for version, sha256 in held:
        if sha256 == found.bundle_sha256:
            return version
    short = f"{found.bundle_sha256[:_SHOWN]}…"
    if not held:
        raise UnknownBundleError(
            f"expected a model of the library, was {found.model} (bundle {short}), of which it has no version; register its"
            " training job first, then this one again (docs/training-jobs.md)"
        )
    there = ", ".join(f"{version.number}: {sha256[:_SHOWN]}…" for version, sha256 in held[-5:] if sha256) or "none with a bundle"
    raise UnknownBundleError(
        f"expected a bundle of a version of {found.model}, was {short}: another archive than was registered; the newest: {there}"
    )


def _not_judged(
    library: Library, job: FinishedEvaluation, outcome: Literal["failed", "stopped", "refused"], reason: str
) -> EvaluationOutcome:
    text = plain(reason)
    event = EvaluationFailed(job=job.name, at=job.finished_at, outcome=outcome, reason=text, model_uri=plain(job.model_uri))
    with library.transaction() as tx:
        new = tx.add_event(event, job.finished_at)
    return EvaluationOutcome(None, new=new, reason=text)
