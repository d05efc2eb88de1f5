"""How much each family counts: learnt on the early-stopping period, by least log loss over the simplex, and on nothing else.

A family is heard as the mean logit of its members. The log loss of a weighted sum of logits is convex in the weights, so
there is one best; it is found by moving weight between two families at a time, each time as far as it helps.

On tens of thousands of overlapping decisions the best is mostly luck: families differ by less in log loss than chance moves
them, and forecasts combined with equal weights are hard to beat. So what is learnt is drawn a share of the way back to equal
weights (`shrinkage`, fixed in the configuration). By convexity the outcome is still never worse than equal weights.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid

_SWEEPS: Final = 50
_HALVINGS: Final = 40
_SETTLED: Final = 1e-6  # of weight moved in a whole sweep
_NEGLIGIBLE: Final = 1e-3  # a family with less is left out: it would cost its whole graph at every decision


def log_loss(logits: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return the mean log loss of (n,) logits, in nats."""
    return float(np.mean(np.logaddexp(0.0, logits) - label * logits))


def learn_weights(logits: NDArray[np.float64], label: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """Return (families,) weights >= 0 that sum to 1, for (n, families) logits; never worse than equal ones.

    shrinkage: 0 takes the best weights of these rows, 1 equal ones, between them the point between.
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
    """Return how much weight to move from `other` to `one`; convex, found by bisection of the slope."""
    base, along = logits @ weights, logits[:, one] - logits[:, other]

    def slope(step: float) -> float:
        return float(np.mean((sigmoid(base + step * along) - label) * along))

    low, high = -float(weights[one]), float(weights[other])
    if np.allclose(along, 0.0, atol=1e-12):  # they say the same
        return 0.0
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2.0
