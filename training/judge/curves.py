"""The series behind a report's charts: reliability, precision by coverage, by hour, equity. They are descriptive only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from signalbox.library.day_blocks import equal_mass_bins
from signalbox.market.candles import from_ms
from training.data.splits import DAY_MS
from training.judge.costs import CostModel
from training.judge.estimates import Estimate, mean_by_day
from training.judge.scoring import Scored

COVERAGES: Final = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.75, 1.0)
DAYS_OF_WEEK: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The share of hits among issued signals of about the same confidence."""

    confidence: float  # mean
    precision: Estimate


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """Precision of the decisions with the largest margins. The ranking uses the whole period, so it gives no usable threshold."""

    coverage: float
    precision: Estimate


@dataclass(frozen=True, slots=True)
class HourCell:
    """Issued signals in one UTC hour of one day of the week."""

    weekday: int  # Monday is 0
    hour: int
    n: int
    precision: float


@dataclass(frozen=True, slots=True)
class Equity:
    """Percent of capital earned by the end of each UTC day: one position per symbol, capital shared equally, not compounded."""

    days: list[str]
    gross: list[float]
    net: dict[str, list[float]]  # by cost model


@dataclass(frozen=True, slots=True)
class Curves:
    """All series of a report."""

    reliability: list[ReliabilityBin]
    precision_by_coverage: list[CoveragePoint]
    by_hour: list[HourCell]
    equity: Equity

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def draw_curves(scored: Scored, costs: Sequence[CostModel]) -> Curves:
    """Return the series of a period."""
    return Curves(_reliability(scored.select(scored.issued)), _by_coverage(scored), _by_hour(scored), _equity(scored, costs))


def _reliability(issued: Scored) -> list[ReliabilityBin]:
    if not len(issued):
        return []
    order = np.argsort(issued.confidence, kind="stable")
    bins = [order[part] for part in equal_mass_bins(len(issued))]
    return [
        ReliabilityBin(float(issued.confidence[rows].mean()), mean_by_day(issued.hit[rows], issued.day[rows])) for rows in bins
    ]


def _by_coverage(scored: Scored) -> list[CoveragePoint]:
    surest = np.argsort(-np.abs(scored.probability_up - 0.5), kind="stable")
    points = []
    for coverage in COVERAGES:
        rows = surest[: max(1, round(coverage * len(scored)))]
        points.append(CoveragePoint(coverage, mean_by_day(scored.hit[rows], scored.day[rows])))
    return points


def _by_hour(scored: Scored) -> list[HourCell]:
    issued = scored.select(scored.issued)
    hour = issued.data.decided_at_ms // 3_600_000 % 24
    weekday = (issued.day + 3) % 7  # the epoch was a Thursday
    cell = weekday * 24 + hour
    count, hits = np.bincount(cell, minlength=168), np.bincount(cell, weights=issued.hit, minlength=168)
    return [HourCell(i // 24, i % 24, int(n), float(hits[i] / n) if n else float("nan")) for i, n in enumerate(count)]


def _equity(scored: Scored, costs: Sequence[CostModel]) -> Equity:
    days, index = np.unique(scored.day, return_inverse=True)
    share = 100.0 * len(scored.data.symbols)  # converts basis points of one symbol's capital to percent of the whole capital

    def total(cost_bps: float) -> list[float]:
        earned = np.where(scored.one_position, scored.gross_bps - cost_bps, 0.0)
        series: list[float] = (np.cumsum(np.bincount(index, weights=earned)) / share).tolist()
        return series

    return Equity(
        [f"{from_ms(int(day) * DAY_MS):%Y-%m-%d}" for day in days],
        total(0.0),
        {cost.name: total(cost.round_trip_bps) for cost in costs},
    )
