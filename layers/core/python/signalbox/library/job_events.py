"""Input of register_model: SageMaker's event about a training job that ended, or the call of a pipeline's last step.

To SageMaker a stand-alone evaluation is a training job too. SageMaker may send several events for one change; a message that does
not report the end of one of our jobs is read as None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from signalbox.library.artifact import MODEL_ARCHIVE, OUTPUT_ARCHIVE
from signalbox.library.entries import TRAINING
from signalbox.library.errors import LibraryError
from signalbox.library.evaluations import FinishedEvaluation
from signalbox.library.parameters import (
    MODEL_NAME_PATTERN,
    EvaluateParameters,
    JobPurpose,
    RegisterWhen,
    Registration,
    TrainParameters,
)
from signalbox.library.registration import FinishedJob, JobEvaluation, JobOutcome
from signalbox.library.training_jobs import MODEL_CHANNEL

SOURCE: Final = "aws.sagemaker"
DETAIL_TYPE: Final = "SageMaker Training Job State Change"


class JobEventError(LibraryError):
    """The message does not report the end of a job."""


class _JobMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Output(_JobMessage):
    path: Annotated[str, Field(alias="S3OutputPath", pattern="^s3://.+")]


class _S3Source(_JobMessage):
    uri: Annotated[str, Field(alias="S3Uri")] = ""


class _DataSource(_JobMessage):
    s3: Annotated[_S3Source, Field(alias="S3DataSource")] = _S3Source()


class _Input(_JobMessage):
    name: Annotated[str, Field(alias="ChannelName")]
    source: Annotated[_DataSource, Field(alias="DataSource")] = _DataSource()


class _Detail(_JobMessage):
    name: Annotated[str, Field(alias="TrainingJobName", min_length=1)]
    status: Annotated[str, Field(alias="TrainingJobStatus")]
    parameters: Annotated[dict[str, str], Field(alias="HyperParameters")]
    output: Annotated[_Output, Field(alias="OutputDataConfig")]
    inputs: Annotated[tuple[_Input, ...], Field(alias="InputDataConfig")] = ()
    reason: Annotated[str | None, Field(alias="FailureReason")] = None


class _Envelope(_JobMessage):
    source: str
    detail_type: Annotated[str, Field(alias="detail-type")]
    time: AwareDatetime
    detail: _Detail


class PipelineRegistration(BaseModel):
    """The arguments of the pipeline's last step (library/pipeline.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    job: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
    finished_at: AwareDatetime
    artifact_uri: str
    evaluation: Annotated[str, Field(min_length=1)]
    evaluation_uri: str
    register_when: RegisterWhen
    passed: bool  # result of the pipeline's condition; the step is called in both branches

    @field_validator("evaluation")
    @classmethod
    def _is_a_job(cls, value: str) -> str:
        if value == TRAINING:  # the source name of the training's own evaluation
            raise ValueError(f"expected the name of an evaluation job, got the reserved name {value}")
        return value


def finished_job(event: Mapping[str, Any]) -> FinishedJob | FinishedEvaluation | None:
    """Return the finished job in SageMaker's event. None if it still runs, is not ours, or will be registered by a pipeline.

    Raises JobEventError for an unreadable event, TrainingPlanError for parameters that our launcher did not write.
    """
    try:
        found = _Envelope.model_validate(event)
    except ValidationError as error:
        raise JobEventError(_faults("event", error)) from error
    if (found.source, found.detail_type) != (SOURCE, DETAIL_TYPE):
        raise JobEventError(f"event: expected {DETAIL_TYPE} from {SOURCE}, got {found.detail_type} from {found.source}")
    detail = found.detail
    purpose = detail.parameters.get("purpose", "").strip('"')
    if detail.status not in set(JobOutcome) or purpose not in set(JobPurpose):
        return None
    outcome, folder = JobOutcome(detail.status), f"{detail.output.path.rstrip('/')}/{detail.name}/output"
    if purpose == JobPurpose.EVALUATE:
        EvaluateParameters.parse(detail.parameters)
        return FinishedEvaluation(
            name=detail.name,
            outcome=outcome,
            finished_at=found.time,
            model_uri=next((one.source.s3.uri for one in detail.inputs if one.name == MODEL_CHANNEL), ""),
            output_uri=f"{folder}/{OUTPUT_ARCHIVE}",
            reason=detail.reason,
        )
    parameters = TrainParameters.parse(detail.parameters)
    if outcome is JobOutcome.COMPLETED and parameters.registration is Registration.ON_PASS:
        return None
    return FinishedJob(
        name=detail.name,
        model=parameters.model,
        outcome=outcome,
        finished_at=found.time,
        artifact_uri=f"{folder}/{MODEL_ARCHIVE}",
        reason=detail.reason,
    )


def event_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON-ready end event of a job, made from DescribeTrainingJob: for an event that was lost or came too early.

    Raises JobEventError if the job still runs.
    """
    status, name = str(description["TrainingJobStatus"]), str(description["TrainingJobName"])
    if status not in set(JobOutcome):
        raise JobEventError(f"{name}: expected a job that has ended, got {status}; wait until it ends")
    ended = description.get("TrainingEndTime") or description.get("LastModifiedTime") or description["CreationTime"]
    kept = ("HyperParameters", "OutputDataConfig", "InputDataConfig", "FailureReason", "RoleArn")
    detail = {key: description[key] for key in kept if key in description}
    return {
        "source": SOURCE,
        "detail-type": DETAIL_TYPE,
        "time": ended.isoformat(),
        "detail": {"TrainingJobName": name, "TrainingJobStatus": status, **detail},
    }


def is_job_event(message: Mapping[str, Any]) -> bool:
    """Return whether this is an event of SageMaker, as opposed to the call of a pipeline's step."""
    return "detail-type" in message


def job_of_pipeline(arguments: Mapping[str, Any]) -> FinishedJob:
    """Return the job that a pipeline registers. Raises JobEventError that names each wrong field."""
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
        evaluation=JobEvaluation(found.evaluation, found.evaluation_uri, found.register_when, found.passed),
    )


def _faults(what: str, error: ValidationError) -> str:
    return f"{what}: " + "; ".join(f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors())
