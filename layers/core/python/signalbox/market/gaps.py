"""Finds where bars are missing. A gap is reported and flagged; no code fills it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS
from signalbox.market.clock import Gap


def find_gaps(open_time_ms: NDArray[np.int64]) -> tuple[Gap, ...]:
    """Return the runs of missing minutes inside a strictly increasing series of open times, oldest first."""
    if open_time_ms.shape[0] < 2:
        return ()
    steps = np.diff(open_time_ms)
    return tuple(
        Gap(int(open_time_ms[i]) + MINUTE_MS, int(open_time_ms[i + 1]) - MINUTE_MS) for i in np.flatnonzero(steps > MINUTE_MS)
    )


def contiguous_tail(open_time_ms: NDArray[np.int64]) -> int:
    """Return how many of the newest bars follow each other without a missing minute."""
    n = int(open_time_ms.shape[0])
    breaks = np.flatnonzero(np.diff(open_time_ms) != MINUTE_MS)
    return n if breaks.size == 0 else n - 1 - int(breaks[-1])
