"""What register_model is told: SageMaker's event of a training job that ended, or the last step of a pipeline.

SageMaker may send several events for one change; what is not the end of a training of ours is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from signalbox.library.errors import LibraryError
from signalbox.library.parameters import Purpose, Registration, TrainParameters
from signalbox.library.registration import FinishedJob, JobEvaluation, JobOutcome

SOURCE: Final = "aws.sagemaker"
DETAIL_TYPE: Final = "SageMaker Training Job State Change"


class JobEventError(LibraryError):
    """A message that is not what register_model is told."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Output(_Told):
    path: Annotated[str, Field(alias="S3OutputPath", pattern="^s3://.+")]


class _Detail(_Told):
    name: Annotated[str, Field(alias="TrainingJobName", min_length=1)]
    status: Annotated[str, Field(alias="TrainingJobStatus")]
    parameters: Annotated[dict[str, str], Field(alias="HyperParameters")]
    output: Annotated[_Output, Field(alias="OutputDataConfig")]
    reason: Annotated[str | None, Field(alias="FailureReason")] = None


class _Envelope(_Told):
    source: str
    detail_type: Annotated[str, Field(alias="detail-type")]
    time: AwareDatetime
    detail: _Detail


class PipelineRegistration(BaseModel):
    """The arguments of the pipeline's last step (library/pipeline.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    job: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    finished_at: AwareDatetime
    artifact_uri: str
    evaluation: Annotated[str, Field(min_length=1)]
    evaluation_uri: str


def finished_job(event: Mapping[str, Any]) -> FinishedJob | None:
    """Return the job of SageMaker's event, or None: it goes on, is no training, or a pipeline registers it.

    Raises JobEventError for what cannot be read, TrainingPlanError for parameters that no launcher of ours wrote.
    """
    try:
        found = _Envelope.model_validate(event)
    except ValidationError as error:
        raise JobEventError(_faults("event", error)) from error
    if (found.source, found.detail_type) != (SOURCE, DETAIL_TYPE):
        raise JobEventError(f"event: expected {DETAIL_TYPE} of {SOURCE}, was {found.detail_type} of {found.source}")
    detail = found.detail
    if detail.status not in set(JobOutcome) or detail.parameters.get("purpose", "").strip('"') != Purpose.TRAIN:
        return None
    parameters, outcome = TrainParameters.parse(detail.parameters), JobOutcome(detail.status)
    if outcome is JobOutcome.COMPLETED and parameters.registration is Registration.ON_PASS:
        return None
    return FinishedJob(
        name=detail.name,
        model=parameters.model,
        outcome=outcome,
        finished_at=found.time,
        artifact_uri=f"{detail.output.path.rstrip('/')}/{detail.name}/output/model.tar.gz",
        reason=detail.reason,
    )


def job_of_pipeline(arguments: Mapping[str, Any]) -> FinishedJob:
    """Return the job that a pipeline registers. Raises JobEventError naming what is wrong."""
    try:
        found = PipelineRegistration.model_validate(arguments)
    except ValidationError as error:
        raise JobEventError(_faults("registration", error)) from error
    return FinishedJob(
        name=found.job,
        model=found.model,
        outcome=JobOutcome.COMPLETED,
        finished_at=found.finished_at,
        artifact_uri=found.artifact_uri,
        evaluation=JobEvaluation(found.evaluation, found.evaluation_uri),
    )


def _faults(what: str, error: ValidationError) -> str:
    return f"{what}: " + "; ".join(f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors())
