"""Events of the library on the bus."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field
from typing_extensions import override

from signalbox.contracts import EventType
from signalbox.events import BusEvent


class ModelRegistered(BusEvent):
    """A training job's model is a candidate: it loads as serving would load it. `qualifies`: it passes its promotion gates."""

    type: ClassVar[EventType] = EventType.MODEL_REGISTERED
    model: str
    version: Annotated[int, Field(gt=0)]
    job: str
    at: AwareDatetime
    qualifies: bool
    headline: str
    shortfalls: tuple[str, ...]  # each gate of promotion that did not pass, with what it found; empty when it qualifies
    bundle_key: str

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.model}:{self.job}"


class TrainingFailed(BusEvent):
    """A training job gave no model that could be used: it failed, was stopped, or what it left was refused."""

    type: ClassVar[EventType] = EventType.TRAINING_FAILED
    model: str
    version: Annotated[int, Field(gt=0)]
    job: str
    at: AwareDatetime
    outcome: Literal["failed", "stopped", "refused"]
    reason: str

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.model}:{self.job}"
