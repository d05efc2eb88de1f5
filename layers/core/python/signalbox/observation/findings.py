"""What was found while a model was observed: counts and figures, each with how much of it could not be checked.

A figure that is missing is None or a count of what is unchecked, never a zero that looks like health.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from signalbox.observation.clusters import SettledSignal


@dataclass(frozen=True, slots=True)
class CheckedCount:
    """A check of every decision: how many agree, how many do not, how many could not be checked. worst: the first to differ."""

    agreeing: int
    differing: int
    unchecked: int
    worst: str | None = None

    def __add__(self, other: CheckedCount) -> CheckedCount:
        """Return the check of both."""
        return CheckedCount(
            self.agreeing + other.agreeing,
            self.differing + other.differing,
            self.unchecked + other.unchecked,
            self.worst or other.worst,
        )


NOT_CHECKED = CheckedCount(0, 0, 0)


@dataclass(frozen=True, slots=True)
class ExecutionCost:
    """Cost of the paper fills of this model's signals. cost_bps: slippage and fees over value; None without a measured fill.

    unmeasured: closed orders with no candle near them.
    """

    fills: int
    cost_bps: float | None
    unmeasured: int


@dataclass(frozen=True, slots=True)
class ObservedDay:
    """One UTC day. expected: slots that were due; decided: those decided in time; signals: BUY and SELL, held back or not."""

    day: date
    expected: int
    decided: int
    signals: int
    settled: int
    right: int
    net_bps: float  # sum over the settled signals


@dataclass(frozen=True, slots=True)
class ObservationFindings:
    """Everything that the rules are compared with, from the start to `until`.

    before: settled signals of earlier observations of the same bundle, because its evidence is never reset. earlier: how many
    observations those were. due: issued signals whose horizon has passed. refusals: slots without a decision, by reason.
    """

    until: datetime
    days: tuple[ObservedDay, ...]
    refusals: Mapping[str, int]
    features: CheckedCount
    parity: CheckedCount
    freshness: CheckedCount
    settled: tuple[SettledSignal, ...]
    due: int
    execution: ExecutionCost
    before: tuple[SettledSignal, ...] = ()
    earlier: int = 0

    @property
    def decided(self) -> int:
        """Slots decided in time."""
        return sum(one.decided for one in self.days)

    @property
    def signals(self) -> int:
        """Decisions that recommended a trade."""
        return sum(one.signals for one in self.days)
