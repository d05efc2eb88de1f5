"""Weights of the model families, learnt only on the early-stopping period: the weights with the lowest log loss that sum to 1.

A family contributes the mean logit of its members. The log loss of a weighted sum of logits is convex in the weights, so there is
one minimum. It is found by shifting weight between two families at a time, as far as it helps.
With tens of thousands of overlapping decisions the minimum is mostly luck: the families differ in log loss by less than chance
moves them, and an equally weighted mean of forecasts is hard to beat. The learnt weights are therefore pulled part of the way
back to equal weights (`shrinkage`, fixed in the configuration). Because the loss is convex, the result is never worse than equal
weights on that period.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid

_SWEEPS: Final = 50
_HALVINGS: Final = 40
_SETTLED: Final = 1e-6  # stop when a whole sweep moves less weight than this
_NEGLIGIBLE: Final = 1e-3  # a family with less is left out, because its whole graph would run at every decision


def log_loss(logits: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return the mean log loss of (n,) logits, in nats."""
    return float(np.mean(np.logaddexp(0.0, logits) - label * logits))


def learn_weights(logits: NDArray[np.float64], label: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """Return (families,) weights >= 0 that sum to 1, for (n, families) logits; never worse than equal weights on these rows.

    shrinkage: 0 gives the best weights for these rows, 1 equal weights, a value between them a mixture.
    """
    best = _best_weights(logits, label)
    drawn: NDArray[np.float64] = (1.0 - shrinkage) * best + shrinkage / logits.shape[1]
    return drawn


def _best_weights(logits: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    count = logits.shape[1]
    equal = np.full(count, 1.0 / count)
    weights = equal.copy()
    for _ in range(_SWEEPS):
        moved = 0.0
        for one, other in combinations(range(count), 2):
            step = _best_move(logits, label, weights, one, other)
            weights[one] += step
            weights[other] -= step
            moved += abs(step)
        if moved < _SETTLED:
            break
    kept = np.where(weights < _NEGLIGIBLE, 0.0, weights)
    kept /= kept.sum()
    candidates = (kept, weights / weights.sum(), equal)
    return min(candidates, key=lambda one: log_loss(logits @ one, label) - (1e-9 if one is kept else 0.0))


def _best_move(
    logits: NDArray[np.float64], label: NDArray[np.float64], weights: NDArray[np.float64], one: int, other: int
) -> float:
    """Return how much weight to move from `other` to `one`. The loss is convex; bisection of its slope finds the minimum."""
    base, along = logits @ weights, logits[:, one] - logits[:, other]

    def slope(step: float) -> float:
        return float(np.mean((sigmoid(base + step * along) - label) * along))

    low, high = -float(weights[one]), float(weights[other])
    if np.allclose(along, 0.0, atol=1e-12):  # both families give the same logits
        return 0.0
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2.0
