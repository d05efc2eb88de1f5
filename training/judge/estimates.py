"""Figures with intervals. Whole UTC days are resampled, because signals less than an hour apart share their outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.library.day_blocks import bounds_by_day, day_weights, sorted_calibration_error

CALIBRATION_RESAMPLES: Final = 200
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
    low, high = bounds_by_day(values, day, _SEED, tail)
    return Estimate(float(values.mean()), float(low), float(high), int(values.shape[0]))


def calibration_error_by_day(confidence: NDArray[np.float64], hit: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the calibration error. The interval resamples whole days."""
    if hit.shape[0] == 0:
        return NOTHING
    days, index = np.unique(day, return_inverse=True)
    order = np.argsort(confidence, kind="stable")
    ranked, ranked_hit, ranked_day = confidence[order], hit[order], index[order]
    errors = []
    for weights in day_weights(days.shape[0], _SEED)[:CALIBRATION_RESAMPLES].astype(np.int64):
        times = weights[ranked_day]
        errors.append(sorted_calibration_error(np.repeat(ranked, times), np.repeat(ranked_hit, times)))
    low, high = np.quantile(errors, [0.025, 0.975])
    return Estimate(sorted_calibration_error(ranked, ranked_hit), float(low), float(high), int(hit.shape[0]))


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
    g0, g1, h00, h01, h11 = (day_weights(int(index.max()) + 1, _SEED) @ np.bincount(index, weights=term) for term in terms)
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


def _fitted(design: NDArray[np.float64], fit: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = 0.5 * (1.0 + np.tanh(0.5 * (design @ fit)))
    return p, np.maximum(p * (1.0 - p), 1e-12)
