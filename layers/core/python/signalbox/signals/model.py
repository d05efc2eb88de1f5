"""The model as the cycle sees it: a deployment that scores windows of feature rows, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from signalbox.signals.signal import DeploymentStage, Thresholds

if TYPE_CHECKING:  # the ports name a model, and most functions that have ports have no talib
    from signalbox.features import FeatureSchema


class Scorer(Protocol):
    """A loaded and verified bundle."""

    @property
    def schema(self) -> FeatureSchema:
        """The only feature schema it accepts."""

    @property
    def window_bars(self) -> int:
        """How many of the newest feature rows it looks at."""

    @property
    def history_bars(self) -> int:
        """How many of the newest bars these rows need."""

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probability of "up" for each window of (k, window_bars, n_features), oldest row first."""


def _unjudged() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A scorer under the name and stage it was deployed with; one reference, swapped as a whole.

    gates: what each gate said of the bundle ("pass", "fail", "not evaluated"), by its short name; a gate that is absent was
    not judged.
    """

    deployment: str
    stage: DeploymentStage
    scorer: Scorer
    thresholds: Thresholds
    horizon_minutes: int
    bundle: str = "unknown"  # the name its manifest gives
    gates: Mapping[str, str] = field(default_factory=_unjudged)


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
