"""The parameters of a job, defined once for the launcher that writes them and the job that reads them.

SageMaker carries them as text (`HyperParameters`). An empty text means "not given", because a pipeline's parameter cannot be left
out. Parameters that the container's own tools add (`sagemaker_program`, ...) are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.library.errors import TrainingPlanError

TOOL_PREFIX: Final = "sagemaker_"
MODEL_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9.-]{0,63}$"  # the same as for a bundle's name
ParametersT = TypeVar("ParametersT", bound="_Parameters")


class JobPurpose(StrEnum):
    """What a job is for. The EventBridge rule for finished jobs filters by it."""

    TRAIN = "train"
    EVALUATE = "evaluate"


class Registration(StrEnum):
    """Who registers the model of a training job."""

    ON_COMPLETION = "on_completion"  # register_model, when SageMaker's event reports that the job completed
    ON_PASS = "on_pass"  # noqa: S105 - the pipeline, after its own evaluation


class RegisterWhen(StrEnum):
    """Which gates a model must pass in a pipeline's evaluation to be registered."""

    PROMOTION = "promotion"  # all promotion gates
    INTEGRITY = "integrity"  # G0 alone: enough for a shadow deployment


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    @classmethod
    def parse(cls: type[ParametersT], values: Mapping[str, Any]) -> ParametersT:
        """Return the parameters of a job. Raises TrainingPlanError that names each wrong one."""
        own = {key: _plain(value) for key, value in values.items() if not key.startswith(TOOL_PREFIX)}
        try:
            return cls.model_validate({key: value for key, value in own.items() if value is not None and value != ""})
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
            raise TrainingPlanError(f"parameters of the job: {wrong}") from error

    def as_text(self) -> dict[str, str]:
        """Return the parameters as the texts that SageMaker carries, without those that are not given."""
        found: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return {key: str(value) for key, value in found.items()}


class _PeriodParameters(_Parameters):
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"expected start before end, got {self.start.isoformat()} and {self.end.isoformat()}")
        return self


class TrainParameters(_PeriodParameters):
    """Parameters of a training job: the options of `signalbox train`, and who registers the model."""

    purpose: Literal[JobPurpose.TRAIN] = JobPurpose.TRAIN
    model: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]  # the job makes this model's next version
    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "quick"  # training/configs/NAME.toml
    registration: Registration = Registration.ON_COMPLETION
    seed: Annotated[int, Field(ge=0)] | None = None
    folds: Annotated[int, Field(ge=0)] | None = None
    families: Annotated[str, Field(pattern=r"^[a-z]+(,[a-z]+)*$")] | None = None  # replaces the configuration's families
    tracking_uri: str | None = None


class EvaluateParameters(_PeriodParameters):
    """Parameters of an evaluation: the options of `signalbox evaluate`. Default period: the bundle's own test period."""

    purpose: Literal[JobPurpose.EVALUATE] = JobPurpose.EVALUATE
    coinbase_taker_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    register_when: RegisterWhen = RegisterWhen.PROMOTION


class FeaturesParameters(_PeriodParameters):
    """Parameters of the pipeline step that freezes a data set and checks that a model can be trained on it."""

    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "quick"


def _plain(value: object) -> object:
    """Return a text without the JSON quotes that some launchers put around it; any other value as it is."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
