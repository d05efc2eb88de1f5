"""The expectancy of a signal after costs, with an interval whose unit is the day.

Signals of a day move together, so the days are the sample: a ratio estimator (profit of a day over its signals) with Student's
t for one degree of freedom less than days. With three to five days the interval is wide: they do not say more. It holds for one
reading at a time fixed before, unlike the sequential tests.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date
from statistics import NormalDist
from typing import Final

from signalbox.observation.clusters import SettledSignal

# two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, a series in 1 / df is exact to 0.001
_T: Final = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314,
    2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class ExpectancyInterval:
    """Mean net basis points a signal with its 95 % interval; low and high are None for fewer than two days."""

    mean_bps: float
    low_bps: float | None
    high_bps: float | None
    signals: int
    days: int


def expectancy_of(settled: Iterable[SettledSignal]) -> ExpectancyInterval | None:
    """Return the expectancy over UTC days of the decision; None without a signal."""
    by_day: defaultdict[date, list[float]] = defaultdict(list)
    for one in settled:
        by_day[one.decided_at.astimezone(UTC).date()].append(one.net_bps)
    signals, days = sum(len(values) for values in by_day.values()), len(by_day)
    if not signals:
        return None
    mean = math.fsum(value for values in by_day.values() for value in values) / signals
    if days < 2:
        return ExpectancyInterval(mean, None, None, signals, days)
    squares = math.fsum((math.fsum(values) - mean * len(values)) ** 2 for values in by_day.values())
    error = math.sqrt(squares * days / (days - 1)) / signals
    half = student_t(days - 1) * error
    return ExpectancyInterval(mean, mean - half, mean + half, signals, days)


def student_t(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t. Raises ValueError below one degree of freedom."""
    if degrees < 1:
        raise ValueError(f"expected at least one degree of freedom, got {degrees}")
    if degrees <= len(_T):
        return _T[degrees - 1]
    return _Z + (_Z**3 + _Z) / (4 * degrees) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * degrees**2)
