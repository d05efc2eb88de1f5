"""The rules of `Candle` for columns of rows: which rows break them, and why. Readers, imports and reports share these rules."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class RowFault(StrEnum):
    """Why a row is bad. A row may have several faults."""

    TIME_IMPOSSIBLE = "TIME_IMPOSSIBLE"  # outside the calendar
    OFF_MINUTE = "OFF_MINUTE"
    DUPLICATE = "DUPLICATE"  # of a minute that had a row
    DISORDERED = "DISORDERED"  # older than the row before
    NOT_A_NUMBER = "NOT_A_NUMBER"
    NOT_POSITIVE = "NOT_POSITIVE"  # a price of 0 or less, or a volume below 0
    HIGH_BELOW_LOW = "HIGH_BELOW_LOW"
    OUTSIDE_RANGE = "OUTSIDE_RANGE"  # open or close is not between low and high
    JUMP = "JUMP"  # the close is WILD_JUMP times that of the row before or more, or the other way round
    STALE = "STALE"  # one of STALE_ROWS or more that repeat each other, volume and all: reported, but a candle may look so


def price_faults(values: Sequence[NDArray[np.float64]]) -> dict[RowFault, NDArray[np.bool_]]:
    """Return which rows break the contract of `Candle`, by reason.

    values: open, high, low, close, volume, (n,) float64 each. A row that is not a number has no other fault.
    """
    open_, high, low, close, volume = values
    finite = np.logical_and.reduce([np.isfinite(column) for column in values])
    with np.errstate(invalid="ignore"):
        crossed = high < low
        outside = ~crossed & ((np.minimum(open_, close) < low) | (np.maximum(open_, close) > high))
        positive = (np.minimum.reduce([open_, high, low, close]) > 0) & (volume >= 0)
    return {
        RowFault.NOT_A_NUMBER: ~finite,
        RowFault.NOT_POSITIVE: finite & ~positive,
        RowFault.HIGH_BELOW_LOW: finite & crossed,
        RowFault.OUTSIDE_RANGE: finite & outside,
    }


def impossible_rows(values: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return which rows break the contract of `Candle` for any reason, (n,); `values` as in `price_faults`."""
    bad: NDArray[np.bool_] = np.logical_or.reduce(list(price_faults(values).values()))
    return bad
