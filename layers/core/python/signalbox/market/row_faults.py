"""Why a row of candles may not be computed with, judged column by column. It is named with its first minute, never mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, from_ms
from signalbox.market.lake import outside_calendar

WILD_JUMP: Final = 500.0  # between the closes of two neighbouring rows: 1,000 times with the noise of a minute
STALE_ROWS: Final = 10  # equal in all five numbers, with volume, one after the other: nobody trades like that


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
    STALE = "STALE"  # one of STALE_ROWS or more that repeat each other, volume and all: told, but a candle may look so


FAULT_WORDS: Final = {
    RowFault.TIME_IMPOSSIBLE: "time outside the calendar",
    RowFault.OFF_MINUTE: "off the minute",
    RowFault.DUPLICATE: "duplicate minute",
    RowFault.DISORDERED: "older than the row before",
    RowFault.NOT_A_NUMBER: "not a number",
    RowFault.NOT_POSITIVE: "not positive",
    RowFault.HIGH_BELOW_LOW: "high below low",
    RowFault.OUTSIDE_RANGE: "open or close outside low to high",
    RowFault.JUMP: "a jump of about 1,000 times",
    RowFault.STALE: "stale: repeats the row before, volume and all",
}


@dataclass(frozen=True, slots=True)
class RowFaultCount:
    """How many rows have a fault, and the first of them; `first` is None where its time is outside the calendar."""

    fault: RowFault
    rows: int
    first: datetime | None


def price_faults(values: Sequence[NDArray[np.float64]]) -> dict[RowFault, NDArray[np.bool_]]:
    """Return which rows break the contract of `Candle`, by reason; together they are `market.lake.impossible_rows`.

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


def row_faults(open_time_ms: NDArray[np.int64], values: Sequence[NDArray[np.float64]]) -> tuple[RowFaultCount, ...]:
    """Return the faults there are, in the order of RowFault. open_time_ms: (n,) int64 in any order; values: as above."""
    impossible = outside_calendar(open_time_ms)
    found = {
        RowFault.TIME_IMPOSSIBLE: impossible,
        RowFault.OFF_MINUTE: ~impossible & (open_time_ms % MINUTE_MS != 0),
        RowFault.DUPLICATE: _repeated(open_time_ms),
        RowFault.DISORDERED: _after(np.diff(open_time_ms) < 0, len(open_time_ms)),
        **price_faults(values),
    }
    usable = ~np.logical_or.reduce(list(found.values()))
    found[RowFault.JUMP] = _jumps(values[3], usable)
    found[RowFault.STALE] = _stale(values, usable)
    return tuple(
        RowFaultCount(fault, int(rows.sum()), None if impossible[at := int(np.argmax(rows))] else from_ms(int(open_time_ms[at])))
        for fault in RowFault
        if (rows := found[fault]).any()
    )


def _repeated(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    repeated = np.ones(len(times), dtype=np.bool_)
    repeated[np.unique(times, return_index=True)[1]] = False
    return repeated


def _after(pairs: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return the second row of each pair, (n,)."""
    return np.concatenate([np.zeros(min(count, 1), dtype=np.bool_), pairs])


def _jumps(close: NDArray[np.float64], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(len(close), dtype=np.bool_)
    places = np.flatnonzero(usable)
    if len(places) > 1:
        with np.errstate(over="ignore"):
            ratio = close[places][1:] / close[places][:-1]
        found[places[1:]] = (ratio >= WILD_JUMP) | (ratio <= 1 / WILD_JUMP)
    return found


def _stale(values: Sequence[NDArray[np.float64]], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count = len(usable)
    pairs = np.logical_and.reduce([column[1:] == column[:-1] for column in values])
    same = _after(pairs & (values[4][1:] > 0) & usable[1:] & usable[:-1], count)
    starts = np.flatnonzero(~same)  # the first row of each run
    lengths = np.diff(np.append(starts, count))
    found = same & np.repeat(lengths >= STALE_ROWS, lengths)
    return np.asarray(found)
