"""The interface of all model families: a `Family` fits `FittedMember`s. No other module depends on the kind of model.

XGBoost is in trees.py. LSTM and Transformer are in `training.fit.neural`, the only package that imports torch.
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
OnEpoch: TypeAlias = Callable[[str, int, Mapping[str, float]], None]  # series, epoch, figures of the epoch


class FittedMember(Protocol):
    """One fitted model of an ensemble."""

    @property
    def family(self) -> FamilyName: ...

    @property
    def window_bars(self) -> int | None:
        """How many bars it sees, or None for a model that sees only the decision's own row."""

    @property
    def output(self) -> Literal["probability_pair", "logit", "score"]:
        """The kind of output its graph has, as the manifest names it."""

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about it for the report."""

    def logits(self, data: Dataset) -> Logits:
        """Return (n,) logits of "up", one per decision; of a model of returns the predicted returns in volatilities."""

    def logits_of(self, given: NDArray[np.float32]) -> Logits:
        """Return (k,) logits for raw features of shape (k, f), or (k, window_bars, f) with the oldest row first."""

    def to_onnx(self, name: str) -> bytes:
        """Return its ONNX graph with a free batch size. signalbox.inference.manifest.Member describes inputs and outputs."""


@dataclass(frozen=True, slots=True)
class FitSpeed:
    """How fast a family was fitted. These are measurements, the only part of a bundle that differs between equal requests.

    samples: rows processed; each row counts once per epoch, or once per tree. device_figures: GPU measurements, None without one.
    """

    family: FamilyName
    device: str
    precision: str
    members: int
    epochs: int  # sum over all members; for XGBoost, trees
    samples: int
    seconds: float
    device_figures: dict[str, float] | None = None

    @property
    def samples_a_second(self) -> float:
        return self.samples / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The result of fitting a family."""

    members: Sequence[FittedMember]
    speed: FitSpeed


def _quiet(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Making:
    """The context of a fit: seed, callbacks and checkpoints. The callbacks do not change the result.

    place: the name of the fit within the run ("whole", "fold-0"). detail: called with a few words on what is happening now.
    checkpoints: the fit resumes from what they hold.
    """

    seed: int
    place: str = "whole"
    on_progress: OnProgress = _quiet
    detail: Callable[[str], None] = _quiet
    on_epoch: OnEpoch = _quiet
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


class Family(Protocol):
    """A kind of model, with its configuration."""

    def fit(self, train: Dataset, stopping: Dataset, making: Making) -> Fit:
        """Fit the members on `train`, with early stopping on `stopping`."""
