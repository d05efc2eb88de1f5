"""Events of the library on the bus."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field
from typing_extensions import override

from signalbox.contracts import EventType
from signalbox.events import BusEvent


class _OfVersion(BusEvent):
    """What a job did to a version of a model; published once a job and kind."""

    model: str
    version: Annotated[int, Field(gt=0)]
    job: str
    at: AwareDatetime

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.model}:{self.job}"


class ModelRegistered(_OfVersion):
    """A training job's model is a candidate: it loads as serving would load it. `qualifies`: it passes its promotion gates."""

    type: ClassVar[EventType] = EventType.MODEL_REGISTERED
    qualifies: bool
    headline: str
    shortfalls: tuple[str, ...]  # each gate of promotion that did not pass, with what it found; empty when it qualifies
    bundle_key: str


class ModelNotQualified(_OfVersion):
    """A pipeline's model did not pass the pipeline's evaluation: recorded as refused, and nothing of it can be deployed."""

    type: ClassVar[EventType] = EventType.MODEL_NOT_QUALIFIED
    evaluation: str  # the job that judged it
    headline: str
    shortfalls: tuple[str, ...]  # each gate it would have needed, with what was found


class ModelEvaluated(_OfVersion):
    """A version was judged by an evaluation job. What is deployed, and the version itself, are as they were."""

    type: ClassVar[EventType] = EventType.MODEL_EVALUATED
    start: AwareDatetime  # of the period that was judged
    end: AwareDatetime
    qualifies: bool
    headline: str
    shortfalls: tuple[str, ...]  # as in ModelRegistered


class EvaluationFailed(BusEvent):
    """An evaluation job judged no version: it failed, was stopped, or judged what the library does not hold."""

    type: ClassVar[EventType] = EventType.EVALUATION_FAILED
    job: str
    at: AwareDatetime
    outcome: Literal["failed", "stopped", "refused"]
    reason: str
    model_uri: str  # what the job was given; may be empty

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.job}"


class TrainingFailed(_OfVersion):
    """A training job gave no model that could be used: it failed, was stopped, or what it left was refused."""

    type: ClassVar[EventType] = EventType.TRAINING_FAILED
    outcome: Literal["failed", "stopped", "refused"]
    reason: str
