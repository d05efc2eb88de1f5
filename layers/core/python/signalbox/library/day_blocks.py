"""Figures whose unit is the UTC day: bounds by resampling whole days, and the calibration error. Pure.

Signals less than a horizon apart share their outcome, so a day is drawn as a whole. The evaluation of a bundle and the live
record of a deployment use the same code, and so mean the same by their figures.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2_000
CALIBRATION_BINS: Final = 10


def bounds_by_day(
    values: NDArray[np.float64], day: NDArray[np.int64], seed: int, tail: float = 0.025
) -> tuple[np.float64, np.float64]:
    """Return the bounds of the mean of the values, at least one: whole days are resampled, `tail` is left on each side."""
    _, index = np.unique(day, return_inverse=True)
    totals, counts = np.bincount(index, weights=values), np.bincount(index).astype(np.float64)
    weights = day_weights(totals.shape[0], seed)
    low, high = np.quantile((weights @ totals) / (weights @ counts), [tail, 1.0 - tail])
    return low, high


def calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    """Return the debiased root-mean-square calibration error over ten bins of equal mass (Kumar et al., 2019).

    The error that even a perfect model shows through sampling is subtracted from every bin.
    """
    order = np.argsort(confidence, kind="stable")
    return sorted_calibration_error(confidence[order], hit[order])


def sorted_calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    """Return the same of rows that are sorted by confidence."""
    error, count = 0.0, hit.shape[0]
    for part in equal_mass_bins(count):
        size = part.stop - part.start
        rate = hit[part].mean()
        noise = rate * (1.0 - rate) / max(size - 1, 1)
        error += size / count * ((confidence[part].mean() - rate) ** 2 - noise)
    return float(np.sqrt(max(error, 0.0)))


def equal_mass_bins(count: int) -> list[slice]:
    """Return at most ten consecutive slices of `count` sorted rows, of nearly equal size; each has ten rows if possible."""
    edges = np.array_split(np.arange(count), min(CALIBRATION_BINS, max(1, count // 10)))
    return [slice(int(part[0]), int(part[-1]) + 1) for part in edges if part.size]


@lru_cache(maxsize=8)
def day_weights(days: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample draws each day, (RESAMPLES, days). All figures of a report share these draws."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(days, np.full(days, 1.0 / days), size=RESAMPLES).astype(np.float64)
    weights.flags.writeable = False
    return weights
