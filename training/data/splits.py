"""Chronological periods. All symbols are cut at the same times, so that no row contains a minute of a later period.

The order is train → early stopping → calibration → thresholds → test, with one day of embargo before each period but the first. A
row belongs to a period only if its whole label window (horizon plus entry lag) ends inside it. walk_forward.py makes the folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MarketDataError, from_ms
from training.data.dataset import PURGE_MS, Dataset

DAY_MS: Final = 86_400_000
EMBARGO_DAYS: Final = 1  # between any two periods
EMBARGO_MS: Final = EMBARGO_DAYS * DAY_MS
MIN_DAYS: Final = 45


class SplitName(StrEnum):
    """The periods in time order. Each has one use, and is used for nothing else."""

    TRAIN = "train"
    EARLY_STOPPING = "early_stopping"
    CALIBRATION = "calibration"  # fits the temperature
    THRESHOLDS = "thresholds"  # sets the margins from which a signal is issued
    TEST = "test"


DEFAULT_SHARES: Final[Mapping[SplitName, float]] = {
    SplitName.TRAIN: 0.66,
    SplitName.EARLY_STOPPING: 0.10,
    SplitName.CALIBRATION: 0.09,
    SplitName.THRESHOLDS: 0.03,
    SplitName.TEST: 0.12,
}


@dataclass(frozen=True, slots=True)
class Span:
    """One period: decisions from `start` on whose label window ends at or before `end`. Milliseconds since the epoch."""

    start_ms: int
    end_ms: int

    @property
    def start(self) -> datetime:
        return from_ms(self.start_ms)

    @property
    def end(self) -> datetime:
        return from_ms(self.end_ms)

    @property
    def days(self) -> float:
        return (self.end_ms - self.start_ms) / DAY_MS

    def rows(self, decided_at_ms: NDArray[np.int64], purge_ms: int = PURGE_MS) -> NDArray[np.bool_]:
        """Return (n,) bool: the decisions in this period, without those whose label window ends after it.

        purge_ms: length of a label window. `rows_of` takes it from the data.
        """
        return (decided_at_ms >= self.start_ms) & (decided_at_ms + purge_ms <= self.end_ms)

    def rows_of(self, data: Dataset) -> NDArray[np.bool_]:
        """Return (n,) bool: the decisions of a data set in this period, without those whose label window ends after it."""
        return self.rows(data.decided_at_ms, data.purge_ms)


def whole_days(decided_at_ms: NDArray[np.int64], needed: int, purge_ms: int = PURGE_MS) -> tuple[int, int]:
    """Return the first whole UTC day with decisions and the day after the last one, as days since the epoch.

    purge_ms: length of a label window. Raises MarketDataError for fewer than `needed` days.
    """
    first = -(-int(decided_at_ms.min()) // DAY_MS)
    last = (int(decided_at_ms.max()) + purge_ms) // DAY_MS
    if last - first < needed:
        raise MarketDataError(
            f"expected at least {needed} whole days of decisions to split, got {max(last - first, 0)}; give more candles"
        )
    return first, last


def split_chronologically(
    decided_at_ms: NDArray[np.int64], shares: Mapping[SplitName, float] = DEFAULT_SHARES, purge_ms: int = PURGE_MS
) -> dict[SplitName, Span]:
    """Return the periods, each of whole UTC days. Raises MarketDataError if the data is too short for them."""
    first, last = whole_days(decided_at_ms, MIN_DAYS, purge_ms)
    days = last - first
    spans: dict[SplitName, Span] = {}
    share, start = 0.0, first
    for period in SplitName:
        share += shares[period]
        end = last if period is SplitName.TEST else max(first + round(days * share), start + 1)
        if end <= start:
            raise MarketDataError(f"{period}: expected at least one whole day of {days}; give more candles")
        spans[period] = Span(start * DAY_MS, end * DAY_MS)
        start = end + EMBARGO_DAYS
    return spans
