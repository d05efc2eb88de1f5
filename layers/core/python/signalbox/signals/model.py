"""The model of a cycle: a deployment that scores windows of feature rows, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from signalbox.signals.signal import DeploymentStage, Thresholds

if TYPE_CHECKING:  # the ports mention a model, but most functions that import the ports have no talib and need no numpy
    import numpy as np
    from numpy.typing import NDArray

    from signalbox.features import FeatureSchema


class Scorer(Protocol):
    """A loaded and verified bundle."""

    @property
    def schema(self) -> FeatureSchema:
        """The feature schema that it was fitted on; it accepts no other."""

    @property
    def window_bars(self) -> int:
        """How many of the newest feature rows a prediction needs."""

    @property
    def history_bars(self) -> int:
        """How many of the newest bars are needed to compute these rows."""

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probability of "up" for each window of (k, window_bars, n_features), oldest row first."""


def _unjudged() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A scorer with the name and stage of its deployment. It is replaced as a whole, never in part.

    gates: the result of each gate ("pass", "fail", "not evaluated"), by the gate's short name; a missing gate was not evaluated.
    """

    deployment: str
    stage: DeploymentStage
    scorer: Scorer
    thresholds: Thresholds
    horizon_minutes: int
    bundle: str = "unknown"  # the name in the bundle's manifest
    gates: Mapping[str, str] = field(default_factory=_unjudged)
    overridden: bool = False  # as of Signal
    challenger: bool = False  # as of Signal


@dataclass(frozen=True, slots=True)
class ModelProblem:
    """A deployment that could not be loaded. kept: the deployment that stays in use, if any."""

    deployment: str
    reason: str
    kept: str | None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model for this cycle. Without a model every symbol is refused."""

    model: DeployedModel | None
    problem: ModelProblem | None = None
