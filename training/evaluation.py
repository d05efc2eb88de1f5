"""What a frozen model did on a period it never saw: precision, base rates, calibration, costs, with day-block intervals.

Whole days are resampled, because signals within an hour of each other share their outcome. Nothing here chooses anything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.manifest import FrozenThresholds
from training.dataset import DECISION_MINUTES, Dataset
from training.splits import DAY_MS

ROUND_TRIP_BPS: Final = 6.5  # FTMO crypto, both sides
RESAMPLES: Final = 2_000
CALIBRATION_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its two-sided 95 % day-block bootstrap interval and the signals behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class TierReport:
    """The signals of one tier (or all issued). Rates are shares of the signals; a flat outcome is a miss for any side."""

    precision: Estimate
    coverage: float
    signals_an_hour: float  # over all symbols
    buys: int
    base_rates: dict[str, Estimate]  # precision of the rule on the same timestamps
    lift: dict[str, Estimate]  # precision minus that of the rule
    gross_bps: Estimate
    net_bps: Estimate
    calibration_error: Estimate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The whole test period."""

    decisions: int
    days: int
    flats: int
    up_rate: float
    accuracy_of_all: Estimate
    auc: float
    issued: TierReport
    high: TierReport
    by_symbol: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    data: Dataset, probability_up: NDArray[np.float64], thresholds: FrozenThresholds, *, train_up_rate: float
) -> Evaluation:
    """Return the evaluation of frozen probabilities and thresholds. `train_up_rate` decides the majority rule."""
    margin = np.abs(probability_up - 0.5)
    issued, high = margin >= thresholds.issue_margin, margin >= thresholds.high_margin
    hit = _hits(data, np.where(probability_up > 0.5, 1.0, -1.0))
    day = data.decided_at_ms // DAY_MS
    return Evaluation(
        decisions=len(data),
        days=int(np.unique(day).shape[0]),
        flats=int((data.outcome == 0).sum()),
        up_rate=float(data.label.mean()),
        accuracy_of_all=mean_by_day(hit, day),
        auc=area_under_curve(probability_up, data.label > 0),
        issued=_tier(data, probability_up, issued, train_up_rate),
        high=_tier(data, probability_up, high, train_up_rate),
        by_symbol={
            symbol: mean_by_day(hit[issued & (data.symbol == i)], day[issued & (data.symbol == i)])
            for i, symbol in enumerate(data.symbols)
        },
    )


def _tier(data: Dataset, probability: NDArray[np.float64], chosen: NDArray[np.bool_], train_up_rate: float) -> TierReport:
    part, p = data.select(chosen), probability[chosen]
    day = part.decided_at_ms // DAY_MS
    side = np.where(p > 0.5, 1.0, -1.0)
    hit = _hits(part, side)
    rules = {
        "majority": np.full(len(part), 1.0 if train_up_rate >= 0.5 else -1.0),
        "momentum": np.sign(part.momentum),
        "reversal": -np.sign(part.momentum),
    }
    rates = {name: _hits(part, rule) for name, rule in rules.items()}
    gross = side * part.outcome * 1e4
    hours = np.unique(data.decided_at_ms).shape[0] * DECISION_MINUTES / 60.0
    return TierReport(
        precision=mean_by_day(hit, day),
        coverage=len(part) / len(data),
        signals_an_hour=len(part) / hours,
        buys=int((side > 0).sum()),
        base_rates={name: mean_by_day(rate, day) for name, rate in rates.items()},
        lift={name: mean_by_day(hit - rate, day) for name, rate in rates.items()},
        gross_bps=mean_by_day(gross, day),
        net_bps=mean_by_day(gross - ROUND_TRIP_BPS, day),
        calibration_error=calibration_error_by_day(np.maximum(p, 1.0 - p), hit, day),
    )


def _hits(data: Dataset, side: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the outcome went the side's way; a flat outcome, or a rule without a side, is a miss."""
    return (side * data.outcome > 0).astype(np.float64)


def mean_by_day(values: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the mean of the values with an interval from resampled whole days; NaN without values."""
    if values.shape[0] == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    _, index = np.unique(day, return_inverse=True)
    totals, counts = np.bincount(index, weights=values), np.bincount(index).astype(np.float64)
    weights = _day_weights(totals.shape[0])
    low, high = np.quantile((weights @ totals) / (weights @ counts), [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), int(values.shape[0]))


def calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.float64]) -> float:
    """Return the debiased root-mean-square calibration error over ten bins of equal mass (Kumar et al., 2019).

    The expected error that a perfect model shows through sampling alone is taken out of every bin.
    """
    order = np.argsort(confidence, kind="stable")
    error = 0.0
    for part in np.array_split(order, min(CALIBRATION_BINS, max(1, confidence.shape[0] // 10))):
        rate = hit[part].mean()
        noise = rate * (1.0 - rate) / max(part.shape[0] - 1, 1)
        error += part.shape[0] / order.shape[0] * ((confidence[part].mean() - rate) ** 2 - noise)
    return float(np.sqrt(max(error, 0.0)))


def calibration_error_by_day(confidence: NDArray[np.float64], hit: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the calibration error with an interval from resampled whole days."""
    if hit.shape[0] == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    _, index = np.unique(day, return_inverse=True)
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    errors = []
    for weights in _day_weights(len(rows))[:200].astype(np.int64):
        drawn = np.concatenate([np.tile(part, times) for part, times in zip(rows, weights, strict=True) if times])
        errors.append(calibration_error(confidence[drawn], hit[drawn]))
    low, high = np.quantile(errors, [0.025, 0.975])
    return Estimate(calibration_error(confidence, hit), float(low), float(high), int(hit.shape[0]))


def area_under_curve(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a random positive scores above a random negative, ties counting half."""
    values, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2.0
    n_positive = int(positive.sum())
    n_negative = score.shape[0] - n_positive
    if n_positive == 0 or n_negative == 0 or values.shape[0] == 0:
        return float("nan")
    return float((rank[index][positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _day_weights(days: int) -> NDArray[np.float64]:
    """How often each day is drawn in each resample, (RESAMPLES, days); the same for every figure of a report."""
    rng = np.random.default_rng(20_240_310)
    return rng.multinomial(days, np.full(days, 1.0 / days), size=RESAMPLES).astype(np.float64)
