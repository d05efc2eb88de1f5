"""The model as the cycle sees it: a deployment that scores feature rows, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema
from signalbox.signals.signal import DeploymentStage, Thresholds


class Scorer(Protocol):
    """A loaded and verified bundle."""

    @property
    def schema(self) -> FeatureSchema:
        """The only feature schema it accepts."""

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probability of "up" for each row of (k, n_features) float64."""


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A scorer under the name and stage it was deployed with; one reference, swapped as a whole."""

    deployment: str
    stage: DeploymentStage
    scorer: Scorer
    thresholds: Thresholds
    horizon_minutes: int


@dataclass(frozen=True, slots=True)
class ModelProblem:
    """A deployment that was asked for and could not be loaded; `kept` is the one still in use, if any."""

    deployment: str
    reason: str
    kept: str | None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What to score this cycle with: perhaps nothing, which refuses every symbol."""

    model: DeployedModel | None
    problem: ModelProblem | None = None
