"""Fits the temperature on the calibration period only, and the thresholds on the period after it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import Calibrator, FrozenThresholds
from training.config import CoverageConfig
from training.data.dataset import Dataset
from training.errors import TrainingError

_SHARPNESS: Final = (0.02, 20.0)  # bounds of 1 / temperature: it flattens a model without skill and never inverts one
_MOST_OFTEN: Final = 0.99  # its log-odds are within those that a manifest may hold


def fit_temperature(logits: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return the T that minimises the log loss of sigmoid(logits / T).

    The loss is convex in 1 / T; bisection of its slope finds the minimum. There is only one parameter on purpose: an intercept
    would learn one month's rally.
    """
    return _temperature(logits, label, 0.0)


def _temperature(logits: NDArray[np.float64], label: NDArray[np.float64], offset: float) -> float:
    low, high = _SHARPNESS
    for _ in range(60):
        middle = (low + high) / 2.0
        slope = float(np.mean((sigmoid(offset + logits * middle) - label) * logits))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2.0 / (low + high)


def fit_calibrator(score: NDArray[np.float64], calibration: Dataset, train: Dataset) -> Calibrator:
    """Return what turns scores into probabilities of the contract's event, fitted on the calibration period.

    score: (n,) of the calibration period. train: the period that says how often a random side is right: the offset of a contract
    with barriers. Months of it say that better than the calibration period's weeks, which would learn how calm those were.
    Raises TrainingError if a random side is right less than half of the time: a probability below one half, which is written as
    of "up", would name the other side.
    """
    sides = calibration.sides
    if sides is None:
        return Calibrator(kind="temperature", temperature=fit_temperature(score, calibration.label.astype(np.float64)))
    random = float(np.mean(_random_hits(train)))
    if not 0.5 <= random <= _MOST_OFTEN:
        raise TrainingError(
            f"{calibration.contract.title}: expected a random side to be right in 50 % to {_MOST_OFTEN * 100:.0f} % of training, "
            f"got {random * 100:.1f} %; put the target nearer than the stop, but not by so much that it is certain"
        )
    offset = float(np.log(random) - np.log1p(-random))
    right = np.where(score > 0, sides.buy_right, sides.sell_right).astype(np.float64)
    return Calibrator(kind="anchored", temperature=_temperature(np.abs(score), right, offset), offset=offset)


def _random_hits(data: Dataset) -> NDArray[np.float64]:
    if data.sides is None:
        raise TrainingError(f"{data.contract.title}: expected the outcomes of both sides")
    return (data.sides.buy_right.astype(np.float64) + data.sides.sell_right) / 2.0


def freeze_thresholds(probability_up: NDArray[np.float64], coverage: CoverageConfig) -> FrozenThresholds:
    """Return the margins above which these shares of decisions are issued and HIGH. Raises TrainingError for a constant model."""
    margin = np.abs(probability_up - 0.5)
    issue, high = np.quantile(margin, [1.0 - coverage.issue, 1.0 - coverage.high])
    if not 0.0 < issue <= high < 0.5:
        raise TrainingError(f"expected margins between 0 and 0.5, got {issue:.3g} and {high:.3g}: the model's output is constant")
    return FrozenThresholds(issue_margin=float(issue), high_margin=float(high))
