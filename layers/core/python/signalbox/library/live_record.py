"""How a deployed model did: figures of its settled decisions, and two models on the same decisions. Pure.

A decision is settled when the bar that ends its horizon is recorded. The figures are those of the evaluation
(docs/evaluation.md), with whole UTC days resampled for the intervals, because decisions less than a horizon apart share their
outcome. What is not settled is counted and left out. Late decisions play no part.

`evidence` is an e-value: what a gambler who began with 1 owns after betting on one model against the other. Null hypothesis: at
no decision was the second model's expected squared error below the first's. Under it the chance that the capital ever reaches
1/a is at most a (Ville's inequality), so one may look after each settled bet, and stop whenever one likes. The bets need
outcomes that are known before the next one is made: only decisions at the whole multiples of the horizon since 1970 count, where
both models decided. A bet's outcome is the difference of the squared errors, divided by the largest it could have been; that
is known when the bet is made, so the null is the same (Henzi and Ziegel, 2022). The stake is not chosen: the capital is the
mean over a grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.library.day_blocks import bounds_by_day, calibration_error
from signalbox.signals.signal import Direction, was_right

FEWEST_DAYS: Final = 5  # with fewer, no interval is given: resampling two days says nothing
STAKES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # shares of the capital; a mean over them needs no choice
_SEED: Final = 20_261_128
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class LiveDecision:
    """A decision of a deployment. close: of the bar that ends its horizon; None: not recorded, so not settled."""

    symbol: str
    decided_at: datetime
    deployment: str
    probability_up: float
    is_buy: bool
    issued: bool
    price: Decimal
    close: Decimal | None


@dataclass(frozen=True, slots=True)
class LiveFigure:
    """A figure with its two-sided 95 % day-block interval; None: there were too few days, or none."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """What became of the decisions of a deployment. Figures are None without a decision that they are about.

    costs_bps: of a round trip; net_bps: of an issued signal after them, None if the evaluation states no costs.
    """

    decisions: int
    settled: int
    unsettled: int
    signals: int  # settled ones that were issued
    days: int
    first: datetime | None
    last: datetime | None
    precision: LiveFigure | None
    calibration_error: float | None
    squared_error: LiveFigure | None  # of all settled decisions
    net_bps: LiveFigure | None
    costs_bps: float | None


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """Two models on the decisions that both made. Differences are the first less the second: a positive error favours the second.

    for_first, for_second: e-values that this model's squared error is the smaller one. 20 or more: evidence at the 5 % level.
    """

    pairs: int
    days: int
    bets: int
    squared_error: LiveFigure | None
    net_bps: LiveFigure | None  # per pair; a decision without a signal earns nothing
    for_first: float
    for_second: float


def live_record(decisions: Sequence[LiveDecision], costs_bps: float | None) -> LiveRecord:
    """Return the record of one deployment's decisions, in any order."""
    settled = [one for one in decisions if one.close is not None]
    issued = [one for one in settled if one.issued]
    day, signal_day = _days(settled), _days(issued)
    up = np.array([_went_up(one) for one in settled], dtype=np.float64)
    probability = np.array([one.probability_up for one in settled], dtype=np.float64)
    hit = np.array([_was_right(one) for one in issued], dtype=np.float64)
    confidence = np.array([max(one.probability_up, 1.0 - one.probability_up) for one in issued], dtype=np.float64)
    gross = np.array([_gross_bps(one) for one in issued], dtype=np.float64)
    return LiveRecord(
        decisions=len(decisions),
        settled=len(settled),
        unsettled=len(decisions) - len(settled),
        signals=len(issued),
        days=len(set(day.tolist())),
        first=min((one.decided_at for one in settled), default=None),
        last=max((one.decided_at for one in settled), default=None),
        precision=_mean(hit, signal_day),
        calibration_error=calibration_error(confidence, hit) if issued else None,
        squared_error=_mean((probability - up) ** 2, day),
        net_bps=None if costs_bps is None else _mean(gross - costs_bps, signal_day),
        costs_bps=costs_bps,
    )


def compared_live(
    one: Sequence[LiveDecision], other: Sequence[LiveDecision], *, horizon_minutes: int, costs_bps: float | None
) -> LiveComparison:
    """Return two models compared on the settled decisions that both made: the same symbol, instant, price and outcome."""
    pairs = _paired(one, other)
    day = _days([a for a, _ in pairs])
    errors = np.array([_squared_error(a) - _squared_error(b) for a, b in pairs], dtype=np.float64)
    net = None
    if costs_bps is not None:
        net = _mean(np.array([_earned(a, costs_bps) - _earned(b, costs_bps) for a, b in pairs], dtype=np.float64), day)
    bets = outcomes_of_bets(pairs, horizon_minutes)
    return LiveComparison(
        pairs=len(pairs),
        days=len(set(day.tolist())),
        bets=int(bets.shape[0]),
        squared_error=_mean(errors, day),
        net_bps=net,
        for_first=evidence(-bets),
        for_second=evidence(bets),
    )


def outcomes_of_bets(pairs: Sequence[tuple[LiveDecision, LiveDecision]], horizon_minutes: int) -> NDArray[np.float64]:
    """Return the outcomes of the bets that the second model is the better one, each in [-1, 1], in the order of time.

    Of an instant there is one bet: the mean over the symbols of which the models said different things.
    """
    step = horizon_minutes * 60
    at: dict[int, list[float]] = {}
    for one, other in pairs:
        second = int(one.decided_at.timestamp())
        if second % step:
            continue
        largest = max(abs((one.probability_up - outcome) ** 2 - (other.probability_up - outcome) ** 2) for outcome in (0.0, 1.0))
        if largest > 0.0:
            at.setdefault(second, []).append((_squared_error(one) - _squared_error(other)) / largest)
    return np.array([sum(found) / len(found) for _, found in sorted(at.items())], dtype=np.float64)


def evidence(outcomes: NDArray[np.float64]) -> float:
    """Return the capital after betting on each outcome in [-1, 1] being positive, begun with 1: an e-value at any time."""
    return float(np.mean([math.exp(float(np.log1p(stake * outcomes).sum())) for stake in STAKES]))


def _paired(one: Sequence[LiveDecision], other: Sequence[LiveDecision]) -> list[tuple[LiveDecision, LiveDecision]]:
    theirs: Mapping[tuple[datetime, str], LiveDecision] = {
        (found.decided_at, found.symbol): found for found in other if found.close is not None
    }
    ours = {(found.decided_at, found.symbol): found for found in one if found.close is not None}
    both = [(ours[key], theirs[key]) for key in sorted(ours) if key in theirs]
    # of another venue's bars, or of bars that were revised between the two, the outcome is another one
    return [(a, b) for a, b in both if (a.price, a.close) == (b.price, b.close)]


def _went_up(one: LiveDecision) -> bool:
    return one.close is not None and one.close > one.price


def _was_right(one: LiveDecision) -> bool:
    side = Direction.BUY if one.is_buy else Direction.SELL
    return one.close is not None and was_right(side, one.close - one.price)


def _squared_error(one: LiveDecision) -> float:
    return (one.probability_up - float(_went_up(one))) ** 2


def _gross_bps(one: LiveDecision) -> float:
    if one.close is None:
        return 0.0
    return float((one.close - one.price) / one.price) * (1e4 if one.is_buy else -1e4)


def _earned(one: LiveDecision, costs_bps: float) -> float:
    return _gross_bps(one) - costs_bps if one.issued else 0.0


def _days(decisions: Sequence[LiveDecision]) -> NDArray[np.int64]:
    return np.array([int(one.decided_at.timestamp()) // _DAY_SECONDS for one in decisions], dtype=np.int64)


def _mean(values: NDArray[np.float64], day: NDArray[np.int64]) -> LiveFigure | None:
    if values.shape[0] == 0:
        return None
    low = high = None
    if np.unique(day).shape[0] >= FEWEST_DAYS:
        low, high = (float(edge) for edge in bounds_by_day(values, day, _SEED))
    return LiveFigure(float(values.mean()), low, high, int(values.shape[0]))
