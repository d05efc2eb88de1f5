"""The one interface of all model families: a `Family` is fitted into `FittedMember`s; nobody else knows what they are made of.

XGBoost is in trees.py; LSTM and Transformer are in `training.fit.neural`, the only package that imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.fit.checkpoints import Checkpoints

FamilyName: TypeAlias = Literal["xgboost", "lstm", "transformer"]
Logits: TypeAlias = NDArray[np.float64]
OnProgress: TypeAlias = Callable[[float], None]
OnEpoch: TypeAlias = Callable[[str, int, Mapping[str, float]], None]  # series, epoch, its figures


class FittedMember(Protocol):
    """One fitted model of an ensemble."""

    @property
    def family(self) -> FamilyName: ...

    @property
    def window_bars(self) -> int | None:
        """How many rows it looks at; None for a model of the decision's own row."""

    @property
    def output(self) -> Literal["probability_pair", "logit"]:
        """What its graph gives, as the manifest calls it."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the report says of it."""

    def logits(self, data: Dataset) -> Logits:
        """Return (n,) logits of "up" for decisions."""

    def logits_of(self, given: NDArray[np.float32]) -> Logits:
        """Return (k,) logits for raw features: (k, f), or (k, window_bars, f) oldest row first."""

    def to_onnx(self, name: str) -> bytes:
        """Return its graph, with a free batch size, as signalbox.inference.manifest.Member describes it."""


@dataclass(frozen=True, slots=True)
class FitSpeed:
    """How fast a family was fitted. A measured figure: the one thing in a bundle that equal requests do not repeat.

    samples: rows seen, each once an epoch, or once a tree. device_figures: what was measured of a GPU, None without one.
    """

    family: FamilyName
    device: str
    precision: str
    members: int
    epochs: int  # of all members together; trees for XGBoost
    samples: int
    seconds: float
    device_figures: dict[str, float] | None = None

    @property
    def samples_a_second(self) -> float:
        return self.samples / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a family made of the data."""

    members: Sequence[FittedMember]
    speed: FitSpeed


def _quiet(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Making:
    """How a fit is watched. It changes nothing that is fitted, except that what `checkpoints` holds is gone on with.

    place: the name of the fit within the run ("whole", "fold-0"). detail: told a few words on what is going on right now.
    """

    seed: int
    place: str = "whole"
    on_progress: OnProgress = _quiet
    detail: Callable[[str], None] = _quiet
    on_epoch: OnEpoch = _quiet
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


class Family(Protocol):
    """A kind of model with its configuration."""

    def fit(self, train: Dataset, stopping: Dataset, making: Making) -> Fit:
        """Fit the members on `train`, each stopped on `stopping`."""
