"""The parameters of a job, as its launcher writes them and as the job reads them: one page for both sides.

SageMaker carries them as text (`HyperParameters`); an empty text is "not given", because a pipeline's parameter has no other way
to say so. What the container's own tools add (`sagemaker_program`, ...) is none of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.library.errors import TrainingPlanError

TOOL_PREFIX: Final = "sagemaker_"
MODEL_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9.-]{0,63}$"  # as a bundle's name
ParametersT = TypeVar("ParametersT", bound="_Parameters")


class JobPurpose(StrEnum):
    """What a job is for; the rule that hears of finished jobs asks for it."""

    TRAIN = "train"
    EVALUATE = "evaluate"


class Registration(StrEnum):
    """Who registers the model of a training job."""

    ON_COMPLETION = "on_completion"  # the event of its completion does
    ON_PASS = "on_pass"  # noqa: S105 - a pipeline does, after its own evaluation


class RegisterWhen(StrEnum):
    """What a pipeline's evaluation must show before its model is registered."""

    PROMOTION = "promotion"  # every gate of promotion
    INTEGRITY = "integrity"  # G0 alone: a candidate for shadow


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    @classmethod
    def parse(cls: type[ParametersT], values: Mapping[str, Any]) -> ParametersT:
        """Return the parameters of a job. Raises TrainingPlanError naming each that is wrong."""
        own = {key: _plain(value) for key, value in values.items() if not key.startswith(TOOL_PREFIX)}
        try:
            return cls.model_validate({key: value for key, value in own.items() if value is not None and value != ""})
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
            raise TrainingPlanError(f"parameters of the job: {wrong}") from error

    def as_text(self) -> dict[str, str]:
        """Return them as SageMaker carries them; what is not given is left out."""
        found: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return {key: str(value) for key, value in found.items()}


class _PeriodParameters(_Parameters):
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"expected start before end, was {self.start.isoformat()} and {self.end.isoformat()}")
        return self


class TrainParameters(_PeriodParameters):
    """Parameters of a training job: the options of `signalbox train`, and what becomes of the model."""

    purpose: Literal[JobPurpose.TRAIN] = JobPurpose.TRAIN
    model: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]  # whose next version this will be
    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "quick"  # training/configs/NAME.toml
    registration: Registration = Registration.ON_COMPLETION
    seed: Annotated[int, Field(ge=0)] | None = None
    folds: Annotated[int, Field(ge=0)] | None = None
    families: Annotated[str, Field(pattern=r"^[a-z]+(,[a-z]+)*$")] | None = None  # instead of the configuration's
    tracking_uri: str | None = None


class EvaluateParameters(_PeriodParameters):
    """Parameters of an evaluation: the options of `signalbox evaluate`. Without a period: the bundle's own test period."""

    purpose: Literal[JobPurpose.EVALUATE] = JobPurpose.EVALUATE
    coinbase_taker_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    register_when: RegisterWhen = RegisterWhen.PROMOTION


class FeaturesParameters(_PeriodParameters):
    """Parameters of the step that freezes a data set and proves that it can be trained on."""

    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "quick"


def _plain(value: object) -> object:
    """Undo the JSON quotes that some launchers put around a text."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
