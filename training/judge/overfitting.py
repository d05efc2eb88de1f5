"""Gate G5: is the result just luck after many trials? Deflated Sharpe ratio, probability of backtest overfitting.

Sources: Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014); Bailey, Borwein, Lopez de Prado, Zhu, The Probability of
Backtest Overfitting (2017), combinatorially symmetric cross-validation. Sharpe ratios are of daily returns, not annualised.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.judge.costs import CostModel
from training.judge.scoring import Scored

MIN_DEFLATED_SHARPE: Final = 0.95  # probability that the true Sharpe ratio is above the best that luck would give
MAX_OVERFITTING: Final = 0.20  # probability that the best configuration in one half is below the median in the other
MIN_SHARPE_DAYS: Final = 60
BLOCKS: Final = 16  # blocks of days; they have 12,870 combinations
_EULER: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Every configuration that was tried. daily_bps: (days, configurations) float64, or None if it was not recorded."""

    count: int | None  # None: not recorded
    daily_bps: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The figures of gate G5 (overfitting). A figure is None if it cannot be evaluated; its reason says why."""

    tried: int | None
    days: int
    daily_sharpe: float | None
    luck_sharpe: float | None  # expected Sharpe ratio of the best of `tried` configurations without skill
    deflated_sharpe: float | None
    deflated_reason: str
    overfitting: float | None
    overfitting_reason: str


def daily_returns(scored: Scored, cost: CostModel) -> NDArray[np.float64]:
    """Return (days,) daily returns in basis points of capital after costs: one position per symbol, capital shared equally.

    A day with decisions but no trade has a return of 0.
    """
    _, index = np.unique(scored.day, return_inverse=True)
    earned = np.where(scored.one_position, scored.gross_bps - cost.round_trip_bps, 0.0)
    totals: NDArray[np.float64] = np.bincount(index, weights=earned) / len(scored.data.symbols)
    return totals


def judge_overfitting(daily_bps: NDArray[np.float64], trials: Trials) -> Overfitting:
    """Return both figures for a strategy's daily returns, given the other configurations that were tried."""
    days = int(daily_bps.shape[0])
    sharpe = luck = deflated = None
    if days < MIN_SHARPE_DAYS:
        reason = f"{days} days: a Sharpe ratio needs at least {MIN_SHARPE_DAYS}"
    elif float(daily_bps.std()) == 0.0:
        reason = "no trade was made"
    else:
        count = trials.count or 1
        sharpe, luck = sharpe_ratio(daily_bps), luckiest_sharpe(count, _spread(trials, days))
        deflated = deflated_sharpe(daily_bps, luck)
        reason = f"{count} configuration(s) tried" if trials.count else "not deflated: number of trials unknown"
    overfitting, why = _overfitting(trials)
    return Overfitting(trials.count, days, sharpe, luck, deflated, reason, overfitting, why)


def sharpe_ratio(returns: NDArray[np.float64]) -> float:
    """Return mean over standard deviation, per period of the returns, not annualised."""
    return float(returns.mean() / returns.std(ddof=1))


def luckiest_sharpe(tried: int, spread: float) -> float:
    """Return the expected Sharpe ratio of the best of `tried` strategies without skill whose ratios vary by `spread`."""
    if tried <= 1:
        return 0.0
    best = (1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / tried) + _EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (tried * e))
    return spread * best


def deflated_sharpe(returns: NDArray[np.float64], luck: float) -> float:
    """Return the probability that the true Sharpe ratio is above `luck`, given the skew and tails of the returns."""
    sharpe, standard = sharpe_ratio(returns), (returns - returns.mean()) / returns.std()
    skew, kurtosis = float((standard**3).mean()), float((standard**4).mean())
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    return _NORMAL.cdf((sharpe - luck) * sqrt(returns.shape[0] - 1) / sqrt(max(variance, 1e-12)))


def overfitting_probability(daily: NDArray[np.float64], blocks: int = BLOCKS) -> float:
    """Return how often the best configuration of one half of the blocks ranks at or below the median in the other half.

    daily: (days, configurations >= 2). `blocks` is even. Ratios come from sums by block, so all halves are judged at once.
    """
    parts = np.array_split(daily, blocks)
    total = np.stack([part.sum(axis=0) for part in parts])
    square = np.stack([(part**2).sum(axis=0) for part in parts])
    count = np.array([float(part.shape[0]) for part in parts])
    chosen = np.zeros((len(list(combinations(range(blocks), blocks // 2))), blocks))
    for row, half in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, half] = 1.0
    inside = _ratios(chosen @ total, chosen @ square, chosen @ count)
    outside = _ratios((1.0 - chosen) @ total, (1.0 - chosen) @ square, (1.0 - chosen) @ count)
    best = inside.argmax(axis=1)
    own = np.take_along_axis(outside, best[:, None], axis=1)
    rank = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1) / 2.0
    return float((rank / (daily.shape[1] + 1) <= 0.5).mean())


def _ratios(total: NDArray[np.float64], square: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = total / count[:, None]
    ratios: NDArray[np.float64] = mean / np.sqrt(np.maximum(square / count[:, None] - mean**2, 1e-18))
    return ratios


def _spread(trials: Trials, days: int) -> float:
    """Return the standard deviation of the tried Sharpe ratios; without the others' returns, that of pure noise."""
    if trials.daily_bps is None or trials.daily_bps.shape[1] < 2:
        return 1.0 / sqrt(days)
    ratios = [sharpe_ratio(column) for column in trials.daily_bps.T if column.std() > 0]
    return float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 1.0 / sqrt(days)


def _overfitting(trials: Trials) -> tuple[float | None, str]:
    if trials.count == 1:
        return None, "only one configuration was tried, so selection cannot have overfitted"
    if trials.daily_bps is None:
        return None, "the daily returns of the tried configurations were not recorded"
    days, configurations = trials.daily_bps.shape
    if configurations < 2 or days < 2 * BLOCKS:
        return None, f"{configurations} configurations on {days} days; at least 2 on {2 * BLOCKS} days are needed"
    return overfitting_probability(trials.daily_bps), f"{configurations} configurations, {days} days, {BLOCKS} blocks"
