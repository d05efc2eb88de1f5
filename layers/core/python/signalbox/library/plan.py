"""The settings that all training jobs of a stage share, as JSON that the template writes and functions and tools read."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.library.errors import TrainingPlanError
from signalbox.library.parameters import MODEL_NAME_PATTERN

MAX_JOB_DAYS: Final = 5  # SageMaker's limit for a training job
_S3 = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*$")]  # without a slash at its end


class TrainingPlan(BaseModel):
    """On what a stage's jobs run, with which limits, and where they read and write."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: Annotated[str, Field(pattern=r"^[a-z0-9]{2,12}$")]
    role_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")]
    image_uri: str  # empty: no image is configured, so no job can be started
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
    features_instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]  # no accelerator needed
    spot: bool
    max_runtime_seconds: Annotated[int, Field(ge=600, le=MAX_JOB_DAYS * 86_400)]
    max_wait_seconds: Annotated[int, Field(ge=600, le=MAX_JOB_DAYS * 86_400)]  # longest wait for Spot plus run
    volume_gigabytes: Annotated[int, Field(ge=10, le=1_000)]
    candles_uri: _S3
    code_uri: _S3  # sourcedir.tar.gz, written by `signalbox jobs package`
    artifacts_uri: _S3
    checkpoints_uri: _S3
    model: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
    config: str
    history_days: Annotated[int, Field(ge=60)]  # days of candles that a scheduled job trains on
    pipeline: str  # empty: the schedule starts a training job, not a pipeline
    pipeline_role_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")]
    register_function_arn: str
    tracking_uri: str  # empty: runs are not tracked, and jobs have no network at all

    @model_validator(mode="after")
    def _waits_long_enough(self) -> Self:
        if self.max_wait_seconds < self.max_runtime_seconds:
            raise ValueError("expected max_wait_seconds >= max_runtime_seconds: the wait includes the run")
        return self

    @property
    def isolated(self) -> bool:
        """Whether containers run without a network, which is the case unless a tracking server is configured."""
        return not self.tracking_uri

    @property
    def tags(self) -> list[dict[str, str]]:
        """Tags for all resources that a job starts."""
        return [{"Key": "product", "Value": "signalbox"}, {"Key": "stage", "Value": self.stage}]

    def require_image(self) -> str:
        """Return the container image. Raises TrainingPlanError if none is configured."""
        if not self.image_uri:
            raise TrainingPlanError(
                f"stage {self.stage}: no container image is configured; deploy with -c training_image=ACCOUNT.dkr.ecr.REGION."
                "amazonaws.com/NAME:TAG (docs/training-jobs.md)"
            )
        return self.image_uri


def read_plan(text: str | bytes) -> TrainingPlan:
    """Return the plan in a JSON text. Raises TrainingPlanError that names every fault."""
    try:
        return TrainingPlan.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors())
        raise TrainingPlanError(f"training plan: {wrong}") from error
