"""Figures with intervals. Whole UTC days are resampled, because signals less than an hour apart share their outcome."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2_000
CALIBRATION_RESAMPLES: Final = 200
CALIBRATION_BINS: Final = 10
_SEED: Final = 20_240_310
_NEWTON_STEPS: Final = 25


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its two-sided 95 % day-block bootstrap interval and its number of signals. NaN without signals."""

    value: float
    low: float
    high: float
    n: int


NOTHING: Final = Estimate(float("nan"), float("nan"), float("nan"), 0)


def mean_by_day(values: NDArray[np.float64], day: NDArray[np.int64], tail: float = 0.025) -> Estimate:
    """Return the mean of the values. The interval resamples whole days and leaves `tail` on each side."""
    if values.shape[0] == 0:
        return NOTHING
    _, index = np.unique(day, return_inverse=True)
    totals, counts = np.bincount(index, weights=values), np.bincount(index).astype(np.float64)
    weights = _day_weights(totals.shape[0])
    low, high = np.quantile((weights @ totals) / (weights @ counts), [tail, 1.0 - tail])
    return Estimate(float(values.mean()), float(low), float(high), int(values.shape[0]))


def calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    """Return the debiased root-mean-square calibration error over ten bins of equal mass (Kumar et al., 2019).

    The error that even a perfect model shows through sampling is subtracted from every bin.
    """
    order = np.argsort(confidence, kind="stable")
    return _sorted_calibration_error(confidence[order], hit[order])


def calibration_error_by_day(confidence: NDArray[np.float64], hit: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the calibration error. The interval resamples whole days."""
    if hit.shape[0] == 0:
        return NOTHING
    days, index = np.unique(day, return_inverse=True)
    order = np.argsort(confidence, kind="stable")
    ranked, ranked_hit, ranked_day = confidence[order], hit[order], index[order]
    errors = []
    for weights in _day_weights(days.shape[0])[:CALIBRATION_RESAMPLES].astype(np.int64):
        times = weights[ranked_day]
        errors.append(_sorted_calibration_error(np.repeat(ranked, times), np.repeat(ranked_hit, times)))
    low, high = np.quantile(errors, [0.025, 0.975])
    return Estimate(_sorted_calibration_error(ranked, ranked_hit), float(low), float(high), int(hit.shape[0]))


def equal_mass_bins(count: int) -> list[slice]:
    """Return at most ten consecutive slices of `count` sorted rows, of nearly equal size; each has ten rows if possible."""
    edges = np.array_split(np.arange(count), min(CALIBRATION_BINS, max(1, count // 10)))
    return [slice(int(part[0]), int(part[-1]) + 1) for part in edges if part.size]


def calibration_slope(logit: NDArray[np.float64], label: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the slope of a logistic regression of the label on the logit: 1 is right, below 1 is overconfident.

    The interval resamples days, with one Newton step from the fit. NaN if all labels, or all logits, are the same.
    """
    count = int(label.shape[0])
    if count < 2 or np.ptp(label) == 0 or np.ptp(logit) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), count)
    _, index = np.unique(day, return_inverse=True)
    design = np.column_stack((np.ones(count), logit))
    fit = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        p, weight = _fitted(design, fit)
        step = np.linalg.solve((design * weight[:, None]).T @ design, design.T @ (label - p))
        fit += step
        if float(np.abs(step).max()) < 1e-10:
            break
    p, weight = _fitted(design, fit)
    terms = ((label - p), (label - p) * logit, weight, weight * logit, weight * logit**2)
    g0, g1, h00, h01, h11 = (_day_weights(int(index.max()) + 1) @ np.bincount(index, weights=term) for term in terms)
    slopes = fit[1] + (h00 * g1 - h01 * g0) / np.maximum(h00 * h11 - h01**2, 1e-300)
    low, high = np.quantile(slopes, [0.025, 0.975])
    return Estimate(float(fit[1]), float(low), float(high), count)


def area_under_curve(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a random positive scores above a random negative; ties count half."""
    values, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2.0
    n_positive = int(positive.sum())
    n_negative = score.shape[0] - n_positive
    if n_positive == 0 or n_negative == 0 or values.shape[0] == 0:
        return float("nan")
    return float((rank[index][positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _sorted_calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    error, count = 0.0, hit.shape[0]
    for part in equal_mass_bins(count):
        size = part.stop - part.start
        rate = hit[part].mean()
        noise = rate * (1.0 - rate) / max(size - 1, 1)
        error += size / count * ((confidence[part].mean() - rate) ** 2 - noise)
    return float(np.sqrt(max(error, 0.0)))


def _fitted(design: NDArray[np.float64], fit: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = 0.5 * (1.0 + np.tanh(0.5 * (design @ fit)))
    return p, np.maximum(p * (1.0 - p), 1e-12)


@lru_cache(maxsize=8)
def _day_weights(days: int) -> NDArray[np.float64]:
    """Return how often each resample draws each day, (RESAMPLES, days). All figures of a report share these draws."""
    rng = np.random.default_rng(_SEED)
    weights = rng.multinomial(days, np.full(days, 1.0 / days), size=RESAMPLES).astype(np.float64)
    weights.flags.writeable = False
    return weights
