"""Gate G6: does the skill last? Compares the same model month by month, or the same recipe fold by fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.library.day_blocks import calibration_error
from training.judge.costs import CostModel
from training.judge.estimates import Estimate, mean_by_day
from training.judge.evaluation import RANDOM_SIDE, months, rule_hits, shifted
from training.judge.scoring import Scored

MIN_PERIODS: Final = 6
MIN_SIGNALS: Final = 100  # a period with fewer proves nothing
MIN_STABLE: Final = 5.0 / 6.0  # share of the periods
MIN_MONTH_DAYS: Final = 25  # a month with fewer days of decisions does not count


@dataclass(frozen=True, slots=True)
class StabilityPeriod:
    """Figures of one fold or month."""

    name: str
    precision: Estimate
    strongest_rule: str
    lift: Estimate  # over the period's strongest rule, which is known only afterwards, so this is strict
    calibration_error: float
    gross_bps: Estimate
    net_bps: Estimate
    random_side: float = 0.5  # precision of a random side on the same timestamps; of a contract without barriers one half

    @property
    def stable(self) -> bool:
        """Whether it was better than its strongest rule and than a random side."""
        return self.lift.value > 0 and self.precision.value > self.random_side


@dataclass(frozen=True, slots=True)
class Stability:
    """The stability over all periods of one kind. reason: why it cannot be evaluated, or None."""

    kind: str  # "fold" or "month"
    periods: tuple[StabilityPeriod, ...]
    reason: str | None

    @property
    def stable_share(self) -> float:
        return sum(one.stable for one in self.periods) / len(self.periods)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def by_month(scored: Scored, cost: CostModel) -> Stability:
    """Return the stability over the whole months of a period."""
    found = {name: rows for name, rows in months(scored.data.decided_at_ms).items() if _days(scored, rows) >= MIN_MONTH_DAYS}
    return by_period("month", scored, found, cost)


def by_period(kind: str, scored: Scored, rows: Mapping[str, NDArray[np.bool_]], cost: CostModel) -> Stability:
    """Return the stability over the given rows of each period."""
    periods = tuple(_stability_of(name, scored.select(own & scored.issued), cost) for name, own in rows.items())
    enough = tuple(one for one in periods if one.precision.n >= MIN_SIGNALS)
    reason = None
    if len(enough) < MIN_PERIODS:
        left_out = f" ({len(periods) - len(enough)} with fewer than {MIN_SIGNALS} signals)" if enough != periods else ""
        reason = f"{len(enough)} {'whole ' if kind == 'month' else ''}{kind}s{left_out}; at least {MIN_PERIODS} are needed"
    return Stability(kind, enough, reason)


def _stability_of(name: str, issued: Scored, cost: CostModel) -> StabilityPeriod:
    rates = rule_hits(issued, 1.0 if (issued.data.outcome > 0).sum() * 2 >= len(issued) else -1.0)
    del rates[RANDOM_SIDE]  # compared on its own below: the strongest rule is one that can be followed
    strongest = max(rates, key=lambda rule: float(rates[rule].sum()))
    gross = mean_by_day(issued.gross_bps, issued.day)
    return StabilityPeriod(
        name,
        mean_by_day(issued.hit, issued.day),
        strongest,
        mean_by_day(issued.hit - rates[strongest], issued.day),
        calibration_error(issued.confidence, issued.hit) if len(issued) else float("nan"),
        gross,
        shifted(gross, -cost.round_trip_bps),
        0.5 if issued.data.sides is None or not len(issued) else float(issued.random_hit.mean()),
    )


def _days(scored: Scored, rows: NDArray[np.bool_]) -> int:
    return int(np.unique(scored.day[rows]).shape[0])
