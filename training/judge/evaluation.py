"""The results of a frozen model on a period: precision, base rates, calibration and expectancy, in total and by part.

Nothing here chooses anything. Intervals are in estimates.py, verdicts in gates.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import logit
from signalbox.market.candles import from_ms
from signalbox.signals.signal import Direction, Tier
from training.data.dataset import DECISION_MINUTES
from training.judge.costs import DEFAULT_COSTS, CostModel
from training.judge.estimates import Estimate, area_under_curve, calibration_error_by_day, calibration_slope, mean_by_day
from training.judge.scoring import Scored, hits

RANDOM_SIDE: Final = "random side"


@dataclass(frozen=True, slots=True)
class TierReport:
    """Figures for the signals of one tier, or all issued ones. Rates are shares of the signals; a flat outcome is a miss."""

    precision: Estimate
    coverage: float
    signals_an_hour: float  # over all symbols
    buys: int
    days: int  # days with signals; they are the blocks of every interval
    random_side: float  # expected precision of random sides on the same timestamps
    base_rates: dict[str, Estimate]  # precision of each simple rule on the same timestamps
    lift: dict[str, Estimate]  # precision minus that of each rule
    gross_bps: Estimate
    net_bps: dict[str, Estimate]  # by cost model
    calibration_error: Estimate
    calibration_slope: Estimate

    @property
    def weakest_lift(self) -> tuple[str, Estimate]:
        """The rule that is hardest to beat: the one with the smallest lower bound of the lift."""
        name = min(self.lift, key=lambda rule: self.lift[rule].low)
        return name, self.lift[name]


@dataclass(frozen=True, slots=True)
class Group:
    """Figures for the issued signals of one symbol, side, tier or month."""

    precision: Estimate
    confidence: float  # mean calibrated probability of the signal's side
    gross_bps: Estimate
    net_bps: Estimate  # by the first cost model


@dataclass(frozen=True, slots=True)
class OnePosition:
    """Figures for the signals that a trader with at most one position per symbol would have taken."""

    signals_an_hour: float
    precision: Estimate
    gross_bps: Estimate
    net_bps: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """The figures of a whole period."""

    decisions: int
    days: int
    hours: float  # with decisions
    flats: int
    up_rate: float
    majority_side: str  # with the source of that knowledge
    accuracy_of_all: Estimate
    auc: float
    slope_of_all: Estimate
    costs: dict[str, float]  # basis points a side
    issued: TierReport
    high: TierReport
    one_position: OnePosition
    by_symbol: dict[str, Group]
    by_side: dict[str, Group]
    by_tier: dict[str, Group]
    by_month: dict[str, Group]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def gate_cost(self) -> str:
        """The cost model that G4 uses."""
        return next(iter(self.costs))


def evaluate(scored: Scored, *, train_up_rate: float | None, costs: Sequence[CostModel] = DEFAULT_COSTS) -> ModelEvaluation:
    """Return the evaluation of frozen signals.

    train_up_rate: decides the side of the majority rule. If None, because the training period's rate is unknown, the rule takes
    the side that was better in hindsight, which is stricter.
    """
    data = scored.data
    hours = np.unique(data.decided_at_ms).shape[0] * DECISION_MINUTES / 60.0
    issued, taken = scored.select(scored.issued), scored.select(scored.one_position)
    majority, side = _majority(scored, train_up_rate)
    groups = _Groups(issued, costs[0])
    return ModelEvaluation(
        decisions=len(scored),
        days=int(np.unique(scored.day).shape[0]),
        hours=hours,
        flats=int((data.outcome == 0).sum()),
        up_rate=float(data.label.mean()),
        majority_side=side,
        accuracy_of_all=mean_by_day(scored.hit, scored.day),
        auc=area_under_curve(scored.probability_up, data.label > 0),
        slope_of_all=_slope(scored),
        costs={cost.name: cost.side_bps for cost in costs},
        issued=_tier(issued, len(scored), hours, majority, costs),
        high=_tier(scored.select(scored.high), len(scored), hours, majority, costs),
        one_position=OnePosition(
            len(taken) / hours, mean_by_day(taken.hit, taken.day), mean_by_day(taken.gross_bps, taken.day), _net(taken, costs)
        ),
        by_symbol={name: groups.of(issued.data.symbol == i) for i, name in enumerate(data.symbols)},
        by_side={Direction.BUY.value: groups.of(issued.side > 0), Direction.SELL.value: groups.of(issued.side < 0)},
        by_tier={Tier.HIGH.value: groups.of(issued.high), Tier.MEDIUM.value: groups.of(~issued.high)},
        by_month={name: groups.of(rows) for name, rows in months(issued.data.decided_at_ms).items()},
    )


def months(decided_at_ms: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return the rows of each UTC calendar month that has decisions, in order."""
    month = decided_at_ms.astype("datetime64[ms]").astype("datetime64[M]")
    return {str(one): month == one for one in np.unique(month)}


def rule_hits(scored: Scored, majority: float) -> dict[str, NDArray[np.float64]]:
    """Return (n,) hits of each rule that needs no model, on the same timestamps; of the random side the expected ones."""
    data = scored.data
    rules = {
        "majority": np.full(len(data), majority),
        "momentum": np.sign(data.momentum),
        "reversal": -np.sign(data.momentum),
    }
    return {**{name: hits(data, side) for name, side in rules.items()}, RANDOM_SIDE: scored.random_hit}


class _Groups:
    """Evaluates parts of the issued signals."""

    def __init__(self, issued: Scored, cost: CostModel) -> None:
        self._issued, self._cost = issued, cost

    def of(self, rows: NDArray[np.bool_]) -> Group:
        part = self._issued.select(rows)
        confidence = float(part.confidence.mean()) if len(part) else float("nan")
        gross = mean_by_day(part.gross_bps, part.day)
        return Group(mean_by_day(part.hit, part.day), confidence, gross, shifted(gross, -self._cost.round_trip_bps))


def shifted(estimate: Estimate, by: float) -> Estimate:
    """Return the estimate with a constant added to the figure and its bounds."""
    return Estimate(estimate.value + by, estimate.low + by, estimate.high + by, estimate.n)


def _net(part: Scored, costs: Sequence[CostModel]) -> dict[str, Estimate]:
    gross = mean_by_day(part.gross_bps, part.day)
    return {cost.name: shifted(gross, -cost.round_trip_bps) for cost in costs}


def _majority(scored: Scored, train_up_rate: float | None) -> tuple[float, str]:
    if train_up_rate is not None:
        side = 1.0 if train_up_rate >= 0.5 else -1.0
        return side, f"{_side_name(side)}, the likelier side in training"
    outcome = scored.data.outcome[scored.issued]
    side = 1.0 if (outcome > 0).sum() >= (outcome < 0).sum() else -1.0
    return side, f"{_side_name(side)}, the better side in hindsight (the bundle does not say what training saw)"


def _side_name(side: float) -> str:
    return (Direction.BUY if side > 0 else Direction.SELL).value


def _tier(part: Scored, decisions: int, hours: float, majority: float, costs: Sequence[CostModel]) -> TierReport:
    day, hit = part.day, part.hit
    rates: Mapping[str, NDArray[np.float64]] = rule_hits(part, majority)
    return TierReport(
        precision=mean_by_day(hit, day),
        coverage=len(part) / decisions,
        signals_an_hour=len(part) / hours,
        buys=int((part.side > 0).sum()),
        days=int(np.unique(day).shape[0]),
        random_side=float(part.random_hit.mean()) if len(part) else float("nan"),
        base_rates={name: mean_by_day(rate, day) for name, rate in rates.items()},
        lift={name: mean_by_day(hit - rate, day) for name, rate in rates.items()},
        gross_bps=mean_by_day(part.gross_bps, day),
        net_bps=_net(part, costs),
        calibration_error=calibration_error_by_day(part.confidence, hit, day),
        calibration_slope=_slope(part),
    )


def _slope(part: Scored) -> Estimate:
    """Return the calibration slope: of "up" by the price, or, where a side is right by its barriers, of "right" by the side."""
    if part.data.sides is None:
        return calibration_slope(logit(part.probability_up), part.data.label.astype(np.float64), part.day)
    return calibration_slope(logit(part.confidence), part.hit, part.day)


def period_of(scored: Scored) -> str:
    """Return the first and last day as text."""
    times = scored.data.decided_at_ms
    return f"{from_ms(int(times[0])):%Y-%m-%d} to {from_ms(int(times[-1])):%Y-%m-%d}"
