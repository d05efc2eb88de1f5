"""The quality of a series of candles: coverage, gaps, bad rows and odd ones. It describes rows as they are and repairs nothing.

A gap is missing minutes of one symbol. An outage is minutes missing in every symbol, so the exchange's own. A row is bad if no
candle can look like it, and odd (zero volume, a jump) if one can: odd rows are counted, never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candle_rules import RowFault, impossible_rows
from signalbox.market.candles import MINUTE_MS, Symbol, from_ms, to_ms
from signalbox.market.clock import Gap
from signalbox.market.gaps import find_gaps
from signalbox.market.lake import DAY_MS, coarse_steps, outside_calendar
from signalbox.market.row_faults import RowFaultCount, row_faults

_SUSPECT: Final = frozenset({RowFault.JUMP, RowFault.TIME_IMPOSSIBLE})
JUMP: Final = 0.20  # between the closes of two consecutive minutes; 0.20 = 20 %


@dataclass(frozen=True, slots=True, eq=False)
class SeriesQuality:
    """The quality of one symbol's series. `present_ms`: (n,) int64 open times, whole minutes, sorted, without duplicates."""

    symbol: Symbol
    rows: int
    present_ms: NDArray[np.int64]
    gaps: tuple[Gap, ...]
    duplicates: int  # additional rows of a minute
    disordered: int  # rows older than the row before them
    off_minute: int
    bad_rows: int
    zero_volume: int
    jumps: int
    coarse_minutes: int | None  # timeframe of the rows that are not one-minute candles, None without such rows
    row_faults: tuple[RowFaultCount, ...] = ()  # every reason for which a row is bad
    empty: int = 0  # minutes without a trade: flat rows without volume

    @property
    def first(self) -> datetime | None:
        """The first open_time."""
        return from_ms(int(self.present_ms[0])) if len(self.present_ms) else None

    @property
    def last_close(self) -> datetime | None:
        """The close_time of the newest bar."""
        return from_ms(int(self.present_ms[-1]) + MINUTE_MS) if len(self.present_ms) else None

    @property
    def missing(self) -> int:
        """Minutes missing between the first and the last bar."""
        return sum(gap.minutes for gap in self.gaps)

    @property
    def longest_gap(self) -> Gap | None:
        """The longest gap; of equally long ones the older."""
        return max(self.gaps, key=lambda gap: gap.minutes, default=None)

    @property
    def faults(self) -> int:
        """Bad rows, which must not be used in a computation."""
        return self.duplicates + self.disordered + self.off_minute + self.bad_rows + self.suspect_rows

    @property
    def suspect_rows(self) -> int:
        """Rows that are valid candles alone but not plausible beside their neighbours: wild jumps, impossible times."""
        return sum(one.rows for one in self.row_faults if one.fault in _SUSPECT)

    def stale_minutes(self, at: datetime) -> int:
        """Return how many minutes the newest bar is behind `at`, at least 0."""
        return 0 if self.last_close is None else max(0, (to_ms(at) - to_ms(self.last_close)) // MINUTE_MS)

    def daily_rows(self) -> dict[int, int]:
        """Return the number of minutes of each day, by days since the epoch; days without minutes are left out."""
        days, counts = np.unique(self.present_ms // DAY_MS, return_counts=True)
        return dict(zip(days.tolist(), counts.tolist(), strict=True))


def assess(symbol: Symbol, open_time_ms: NDArray[np.int64], values: Sequence[NDArray[np.float64]]) -> SeriesQuality:
    """Return the quality of rows in any order. open_time_ms: (n,) int64; values: open, high, low, close, volume, (n,) float64."""
    steps = np.diff(open_time_ms)
    off = outside_calendar(open_time_ms) | (open_time_ms % MINUTE_MS != 0)
    bad = impossible_rows(values)
    present, first_rows = np.unique(open_time_ms[~off & ~bad], return_index=True)
    close = values[3][~off & ~bad][first_rows]
    neighbours = np.diff(present) == MINUTE_MS
    ratio = close[1:] / close[:-1]
    coarse = coarse_steps(present)
    return SeriesQuality(
        symbol=symbol,
        rows=int(open_time_ms.shape[0]),
        present_ms=present,
        gaps=find_gaps(present),
        duplicates=int(open_time_ms.shape[0] - np.unique(open_time_ms).shape[0]),
        disordered=int((steps < 0).sum()),
        off_minute=int(off.sum()),
        bad_rows=int(bad.sum()),
        zero_volume=int((values[4] == 0).sum()),
        jumps=int((neighbours & ((ratio > 1 + JUMP) | (ratio < 1 - JUMP))).sum()),
        coarse_minutes=None if coarse is None else coarse[0],
        row_faults=row_faults(open_time_ms, values),
        empty=int(((values[4] == 0) & (values[1] == values[2])).sum()),
    )


def newest_close(series: Sequence[SeriesQuality]) -> datetime | None:
    """Return the close_time of the newest bar of any symbol."""
    return max((one.last_close for one in series if one.last_close is not None), default=None)


def find_outages(series: Sequence[SeriesQuality]) -> tuple[Gap, ...]:
    """Return the minutes missing in every symbol between the first and the last bar of any; () for a single symbol."""
    held = [one for one in series if len(one.present_ms)]
    if len(held) < 2:
        return ()
    first = min(int(one.present_ms[0]) for one in held)
    last = max(int(one.present_ms[-1]) for one in held)
    common = _absent(held[0], first, last)
    for one in held[1:]:
        common = _both(common, _absent(one, first, last))
    return tuple(common)


def without_outages(gaps: Sequence[Gap], outages: Sequence[Gap]) -> tuple[Gap, ...]:
    """Return the parts of `gaps` that are not outages. Both are sorted, disjoint; every outage lies in a gap or beside them."""
    left: list[Gap] = []
    for gap in gaps:
        start = gap.first_ms
        for outage in outages:
            if outage.last_ms < start or outage.first_ms > gap.last_ms:
                continue
            if outage.first_ms > start:
                left.append(Gap(start, outage.first_ms - MINUTE_MS))
            start = outage.last_ms + MINUTE_MS
        if start <= gap.last_ms:
            left.append(Gap(start, gap.last_ms))
    return tuple(left)


def _absent(one: SeriesQuality, first: int, last: int) -> list[Gap]:
    head, tail = int(one.present_ms[0]), int(one.present_ms[-1])
    before = [Gap(first, head - MINUTE_MS)] if head > first else []
    after = [Gap(tail + MINUTE_MS, last)] if tail < last else []
    return [*before, *one.gaps, *after]


def _both(left: Sequence[Gap], right: Sequence[Gap]) -> list[Gap]:
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start, stop = max(left[i].first_ms, right[j].first_ms), min(left[i].last_ms, right[j].last_ms)
        if start <= stop:
            found.append(Gap(start, stop))
        if left[i].last_ms <= right[j].last_ms:
            i += 1
        else:
            j += 1
    return found
