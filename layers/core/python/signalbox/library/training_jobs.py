"""Requests to SageMaker as plain mappings: CreateTrainingJob, for trainings and evaluations.

Script mode without a network: the code is an input channel, from which the container's own tools unpack it. The two jobs run
`signalbox train` and `signalbox evaluate` (sagemaker/). Decision: docs/decisions/0027-jobs-are-requests.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from signalbox.contracts import PRODUCT
from signalbox.library.errors import TrainingPlanError
from signalbox.library.metrics import metric_definitions, training_definitions
from signalbox.library.parameters import EvaluateParameters, TrainParameters
from signalbox.library.plan import TrainingPlan

CHECKPOINTS: Final = "/opt/ml/checkpoints"
CODE_ARCHIVE: Final = "sourcedir.tar.gz"
CODE_CHANNEL: Final = "code"
CANDLES_CHANNEL: Final = "candles"
MODEL_CHANNEL: Final = "model"
TRAIN_PROGRAM: Final = "train.py"
EVALUATE_PROGRAM: Final = "evaluate.py"
INPUT_FOLDER: Final = "/opt/ml/input/data"
MAX_NAME: Final = 63  # SageMaker's limit for a job's name
RETRIES: Final = 2  # only after an internal error of SageMaker; a failure of our code is final

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """An input folder of a job and the S3 address of its content."""

    name: str
    uri: str

    def to_request(self) -> Request:
        source = {"S3DataType": "S3Prefix", "S3Uri": self.uri, "S3DataDistributionType": "FullyReplicated"}
        return {"ChannelName": self.name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def job_name(stage: str, purpose: str, instant: datetime, suffix: str = "") -> str:
    """Return a job's name. It is a pure function of the scheduled instant, so that starting a job twice gives one job.

    Raises TrainingPlanError if the name is longer than SageMaker allows.
    """
    name = f"{PRODUCT}-{stage}-{purpose}-{instant.astimezone(UTC):%Y%m%dt%H%M%Sz}" + (f"-{suffix}" if suffix else "")
    if len(name) > MAX_NAME:
        raise TrainingPlanError(f"expected a job name of at most {MAX_NAME} characters, got {name}")
    return name


def scheduled_parameters(plan: TrainingPlan, scheduled_at: datetime) -> TrainParameters:
    """Return the parameters of a scheduled job. It trains on the last `history_days` whole days before the instant."""
    end = scheduled_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return TrainParameters(
        model=plan.model,
        config=plan.config,
        start=end - timedelta(days=plan.history_days),
        end=end,
        tracking_uri=plan.tracking_uri or None,
    )


def training_request(plan: TrainingPlan, name: str, parameters: TrainParameters) -> Request:
    """Return CreateTrainingJob for a training. Raises TrainingPlanError if the plan has no container image."""
    if parameters.tracking_uri and plan.isolated:
        raise TrainingPlanError("tracking_uri: the plan has no tracking server, so its jobs run without a network to reach one")
    channels = [Channel(CANDLES_CHANNEL, plan.candles_uri), Channel(CODE_CHANNEL, plan.code_uri)]
    return _request(plan, name, TRAIN_PROGRAM, parameters.as_text(), channels)


def evaluation_request(plan: TrainingPlan, name: str, model_uri: str, parameters: EvaluateParameters) -> Request:
    """Return CreateTrainingJob for an evaluation. It is a training job, because only those can run on Spot.

    model_uri: the model.tar.gz of a training job, or a prefix with the files of a bundle. Raises TrainingPlanError if the job
    could not read it, or if the plan has no container image.
    """
    readable = f"{plan.artifacts_uri.rpartition('/')[0]}/"  # besides candles, the jobs' role may read only below this
    if not model_uri.startswith(readable) or model_uri == readable:
        raise TrainingPlanError(
            f"model: expected a model.tar.gz, or a folder with a bundle's files, below {readable} (a job may read nothing else),"
            f" got {model_uri!r}; copy it there with `aws s3 cp`"
        )
    channels = [
        Channel(CANDLES_CHANNEL, plan.candles_uri),
        Channel(MODEL_CHANNEL, model_uri),
        Channel(CODE_CHANNEL, plan.code_uri),
    ]
    return _request(plan, name, EVALUATE_PROGRAM, parameters.as_text(), channels)


def _request(plan: TrainingPlan, name: str, program: str, parameters: Mapping[str, str], channels: list[Channel]) -> Request:
    archive = f"{INPUT_FOLDER}/{CODE_CHANNEL}/{CODE_ARCHIVE}"
    request: Request = {
        "TrainingJobName": name,
        "RoleArn": plan.role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": plan.require_image(),
            "TrainingInputMode": "File",
            "EnableSageMakerMetricsTimeSeries": True,
            "MetricDefinitions": training_definitions() if program == TRAIN_PROGRAM else metric_definitions(),
        },
        "HyperParameters": {**parameters, "sagemaker_program": program, "sagemaker_submit_directory": archive},
        "InputDataConfig": [channel.to_request() for channel in channels],
        "OutputDataConfig": {"S3OutputPath": plan.artifacts_uri},
        "ResourceConfig": {
            "InstanceType": plan.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": plan.volume_gigabytes,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": plan.max_runtime_seconds},
        "EnableNetworkIsolation": plan.isolated,
        "EnableManagedSpotTraining": plan.spot,
        "RetryStrategy": {"MaximumRetryAttempts": RETRIES},
        "Tags": plan.tags,
    }
    if plan.spot:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = plan.max_wait_seconds
    if program == TRAIN_PROGRAM:  # an evaluation takes only minutes, so it starts over
        request["CheckpointConfig"] = {"S3Uri": f"{plan.checkpoints_uri}/{name}", "LocalPath": CHECKPOINTS}
    return request


@dataclass(frozen=True, slots=True)
class StartedJob:
    """A job that is running. new: False if it had been started before."""

    name: str
    arn: str
    new: bool
