"""A stage's settings for training: the table `[training]` of its file. cdk/stage.py has the other settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, Field, model_validator

CONTEXT_FIELDS: Final[Mapping[str, str]] = {  # key of the context: field
    "retrain": "retrain",
    "training_image": "image",
    "training_instance": "instance",
    "training_spot": "spot",
    "training_pipeline": "pipeline",
    "training_model": "model",
    "training_config": "config",
    "mlflow_server": "mlflow_server",
}


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """Training on SageMaker. Deploying it starts nothing: the weekly schedule is off unless `retrain` is set."""

    image: str = ""  # of the container; empty: no job can be started
    instance: str = Field(default="ml.g5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    features_instance: str = Field(default="ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    spot: bool = True
    retrain: bool = False  # every Sunday
    pipeline: str = Field(default="", pattern=r"^([a-zA-Z0-9](-*[a-zA-Z0-9]){0,255})?$")  # what it starts; empty: a job
    model: str = Field(default="dir60", pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    config: str = Field(default="quick", pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")  # training/configs/NAME.toml
    history_days: int = Field(default=1_095, ge=60)
    max_hours: int = Field(default=6, ge=1, le=48)
    mlflow_server: str = Field(default="", pattern=r"^(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-tracking-server/.+)?$")

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        if self.retrain and not self.image:
            raise ValueError("expected an image with retrain: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG")
        return self


def training_from_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of TrainingConfig that the context sets."""
    return {field: context[key] for key, field in CONTEXT_FIELDS.items() if context.get(key) not in {None, ""}}
