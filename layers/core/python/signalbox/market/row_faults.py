"""Finds bad rows of candles, column by column. Each fault is reported with its first row; no row is repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candle_rules import RowFault, price_faults
from signalbox.market.candles import MINUTE_MS, from_ms
from signalbox.market.lake import outside_calendar

WILD_JUMP: Final = 500.0  # between the closes of two neighbouring rows: 1,000 times with the noise of a minute
STALE_ROWS: Final = 10  # equal in all five numbers, with volume, one after the other: nobody trades like that


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


def row_faults(open_time_ms: NDArray[np.int64], values: Sequence[NDArray[np.float64]]) -> tuple[RowFaultCount, ...]:
    """Return the faults that occur, in the order of RowFault. open_time_ms: (n,) int64 in any order; values: as above."""
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
