"""Chronological split by timestamp over all symbols together: no row knows a minute of a later period.

train → 1 day embargo → early stopping → gap → calibration and thresholds → gap → test. A row belongs to a period only if
its whole label window, horizon plus entry lag, ends inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MarketDataError, from_ms
from training.dataset import PURGE_MS

DAY_MS: Final = 86_400_000
EMBARGO_MS: Final = DAY_MS  # between any two periods
MIN_DAYS: Final = 20


class Period(StrEnum):
    """What a stretch of time is used for, and for nothing else."""

    TRAIN = "train"
    EARLY_STOPPING = "early_stopping"
    CALIBRATION = "calibration"
    TEST = "test"


SHARES: Final = {Period.TRAIN: 0.66, Period.EARLY_STOPPING: 0.10, Period.CALIBRATION: 0.12, Period.TEST: 0.12}


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open: start <= decided_at, and the label window ends at or before end. Milliseconds since the epoch."""

    start_ms: int
    end_ms: int

    @property
    def start(self) -> datetime:
        return from_ms(self.start_ms)

    @property
    def end(self) -> datetime:
        return from_ms(self.end_ms)

    def rows(self, decided_at_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which decisions belong to it, purged at its end."""
        return (decided_at_ms >= self.start_ms) & (decided_at_ms + PURGE_MS <= self.end_ms)


def split_chronologically(decided_at_ms: NDArray[np.int64]) -> dict[Period, Span]:
    """Return the four periods on whole UTC days. Raises MarketDataError when the data is too short for them."""
    first = -(-int(decided_at_ms.min()) // DAY_MS)
    last = (int(decided_at_ms.max()) + PURGE_MS) // DAY_MS
    days = last - first
    if days < MIN_DAYS:
        raise MarketDataError(
            f"expected at least {MIN_DAYS} whole days of decisions to split, was {max(days, 0)}; give more candles"
        )
    spans: dict[Period, Span] = {}
    share, start = 0.0, first
    for period in Period:
        share += SHARES[period]
        end = last if period is Period.TEST else first + round(days * share)
        spans[period] = Span(start * DAY_MS, end * DAY_MS)
        start = end + EMBARGO_MS // DAY_MS
    return spans
