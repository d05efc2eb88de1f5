"""Events of the library on the bus."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field
from typing_extensions import override

from signalbox.contracts import EventType
from signalbox.events import BusEvent
from signalbox.wire import cut


class _OfVersion(BusEvent):
    """The result of a job for a version of a model; published once for each job and event type."""

    model: str
    version: Annotated[int, Field(gt=0)]
    job: str
    at: AwareDatetime

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.model}:{self.job}"


class ModelRegistered(_OfVersion):
    """A training job's model is a candidate: it loads as it would in serving. qualifies: it passed its promotion gates."""

    type: ClassVar[EventType] = EventType.MODEL_REGISTERED
    qualifies: bool
    headline: str
    shortfalls: tuple[str, ...]  # each promotion gate that did not pass, with its figures; empty if the model qualifies
    bundle_key: str


class ModelNotQualified(_OfVersion):
    """A pipeline's model did not pass the pipeline's evaluation. It is recorded as refused and cannot be deployed."""

    type: ClassVar[EventType] = EventType.MODEL_NOT_QUALIFIED
    evaluation: str  # name of the job that judged the model
    headline: str
    shortfalls: tuple[str, ...]  # each required gate that did not pass, with its figures


class ModelEvaluated(_OfVersion):
    """An evaluation job judged a version. Neither the version nor what is deployed changes."""

    type: ClassVar[EventType] = EventType.MODEL_EVALUATED
    start: AwareDatetime  # of the evaluated period
    end: AwareDatetime
    qualifies: bool
    headline: str
    shortfalls: tuple[str, ...]  # as in ModelRegistered


class EvaluationFailed(BusEvent):
    """An evaluation job judged no version: it failed, was stopped, or judged a bundle that is not in the library."""

    type: ClassVar[EventType] = EventType.EVALUATION_FAILED
    job: str
    at: AwareDatetime
    outcome: Literal["failed", "stopped", "refused"]
    reason: str
    model_uri: str  # the model given to the job; may be empty

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.job}"


class TrainingFailed(_OfVersion):
    """A training job gave no usable model: it failed, was stopped, or its output was refused."""

    type: ClassVar[EventType] = EventType.TRAINING_FAILED
    outcome: Literal["failed", "stopped", "refused"]
    reason: str


class DeploymentChanged(BusEvent):
    """A deployment took over, failed on its way, or was rolled back. Each happens once to a deployment.

    version: of the model, as `name@number`. serves: what serves from now on; None if nothing does. why: in the words of whoever
    asked, or the check that did not pass.
    """

    type: ClassVar[EventType] = EventType.DEPLOYMENT_CHANGED
    deployment: str
    version: str
    stage: Literal["shadow", "active"]
    state: Literal["healthy", "failed", "rolled_back"]
    at: AwareDatetime
    who: str
    why: Annotated[str, cut(300)]
    serves: str | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.deployment}:{self.state}"
