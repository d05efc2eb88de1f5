"""Fits the temperature on the calibration period only, and the thresholds on the period after it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import FrozenThresholds
from training.config import CoverageConfig
from training.errors import TrainingError

_SHARPNESS: Final = (0.02, 20.0)  # bounds of 1 / temperature: it flattens a model without skill and never inverts one


def fit_temperature(logits: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return the T that minimises the log loss of sigmoid(logits / T).

    The loss is convex in 1 / T; bisection of its slope finds the minimum. There is only one parameter on purpose: an intercept
    would learn one month's rally.
    """
    low, high = _SHARPNESS
    for _ in range(60):
        middle = (low + high) / 2.0
        slope = float(np.mean((sigmoid(logits * middle) - label) * logits))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2.0 / (low + high)


def freeze_thresholds(probability_up: NDArray[np.float64], coverage: CoverageConfig) -> FrozenThresholds:
    """Return the margins above which these shares of decisions are issued and HIGH. Raises TrainingError for a constant model."""
    margin = np.abs(probability_up - 0.5)
    issue, high = np.quantile(margin, [1.0 - coverage.issue, 1.0 - coverage.high])
    if not 0.0 < issue <= high < 0.5:
        raise TrainingError(f"expected margins between 0 and 0.5, got {issue:.3g} and {high:.3g}: the model's output is constant")
    return FrozenThresholds(issue_margin=float(issue), high_margin=float(high))
