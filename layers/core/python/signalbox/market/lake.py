"""The lake's rules: the path of a day of candles, what makes its file valid, how rows merge. No I/O and no Parquet here.

One file holds one venue, symbol, timeframe and UTC day. It says until when the venue was asked: a file that was asked to the
end of its day is finished, another one is made again. Prices are canonical decimal text, exact at any precision. A file
that breaks a rule is never read: it goes to quarantine, where a report beside it names the `DayFault`.
Decision: docs/decisions/0030-the-lake-keeps-text.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.exact import plain
from signalbox.market.candle_rules import impossible_rows
from signalbox.market.candles import MINUTE_MS, Candle, MarketDataError, Symbol, from_ms, to_ms

CANDLES: Final = "candles"
QUARANTINE: Final = "quarantine"
TIMEFRAME: Final = "1m"
SYNTHETIC: Final = "synthetic"  # the venue of a simulator's candles: no exchange has this name
ONE_DAY: Final = timedelta(days=1)
DAY_MS: Final = 86_400_000
MINUTES_OF_DAY: Final = 1_440
VALUES: Final = ("open", "high", "low", "close", "volume")
LARGEST_EXPONENT: Final = 38  # a price of 1E+39 or 1E-39 is a fault of its source, not a price

_VENUE: Final = re.compile(r"[a-z0-9]{1,32}")
_SYMBOL: Final = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")
_FRAME: Final = re.compile(r"[0-9]{1,3}[mhdw]")
_PATH: Final = re.compile(
    rf"{CANDLES}/venue=({_VENUE.pattern})/symbol=({_SYMBOL.pattern})/timeframe=({_FRAME.pattern})/date=(\d{{4}}-\d\d-\d\d)\.parquet"
)
_COARSE_MINUTES: Final = (3, 5, 15, 30, 60, 120, 240, 360, 720, 1_440)
_COARSE_RUN: Final = 24  # this many equal steps in a row are another timeframe, not a quiet market
_SHORTEST_RUN: Final = 5  # the six 4-hour candles of one day


class DayFault(StrEnum):
    """Why a file may not be read."""

    UNREADABLE = "UNREADABLE"  # truncated, or no Parquet at all
    SCHEMA_DIFFERS = "SCHEMA_DIFFERS"  # other columns or types, a time without its zone among them
    METADATA_ABSENT = "METADATA_ABSENT"
    OTHER_DAY = "OTHER_DAY"  # it says it is of another venue, symbol, timeframe or day than its path
    ROWS_SHORT = "ROWS_SHORT"  # fewer or more rows than it says
    CHECKSUM_DIFFERS = "CHECKSUM_DIFFERS"
    TIMES_OFF_THE_MINUTE = "TIMES_OFF_THE_MINUTE"
    TIMES_OUTSIDE_DAY = "TIMES_OUTSIDE_DAY"
    TIMES_DUPLICATE = "TIMES_DUPLICATE"
    TIMES_UNSORTED = "TIMES_UNSORTED"
    TIMEFRAME_COARSE = "TIMEFRAME_COARSE"
    PRICES_IMPOSSIBLE = "PRICES_IMPOSSIBLE"


class DayFileError(MarketDataError):
    """A day file that failed its checks; `fault` says why."""

    def __init__(self, fault: DayFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One venue's candles of one symbol. Raises MarketDataError for a name that cannot be part of a path."""

    venue: str
    symbol: Symbol
    timeframe: str = TIMEFRAME

    def __post_init__(self) -> None:
        for what, value, pattern in (
            ("a venue such as coinbase", self.venue, _VENUE),
            ("a symbol such as BTC-USD", self.symbol, _SYMBOL),
            ("a timeframe such as 1m", self.timeframe, _FRAME),
        ):
            if not pattern.fullmatch(value):
                raise MarketDataError(f"expected {what}, got {value!r}")

    @property
    def prefix(self) -> str:
        """The folder of its days, with a slash at the end."""
        return f"{CANDLES}/venue={self.venue}/symbol={self.symbol}/timeframe={self.timeframe}/"


@dataclass(frozen=True, slots=True, order=True)
class DayKey:
    """One UTC day of a series: the natural key of a file."""

    series: SeriesKey
    day: date

    @property
    def path(self) -> str:
        return f"{self.series.prefix}date={self.day.isoformat()}.parquet"

    @property
    def start(self) -> datetime:
        """The day's first instant."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The next day's first instant."""
        return self.start + ONE_DAY


def parse_path(path: str) -> DayKey | None:
    """Return the day that a path names, or None if it is not the path of a day file."""
    if (match := _PATH.fullmatch(path)) is None:
        return None
    try:
        day = date.fromisoformat(match[4])
    except ValueError:
        return None
    return DayKey(SeriesKey(match[1], Symbol(match[2]), match[3]), day)


def quarantine_path(path: str, content: bytes) -> str:
    """Return where a bad file is moved. The path depends on its content, so the same file is set aside only once."""
    return f"{QUARANTINE}/{path.removesuffix('.parquet')}.{hashlib.sha256(content).hexdigest()[:12]}.parquet"


def quarantine_report(path: str, content: bytes, error: DayFileError) -> bytes:
    """Return the JSON that lies beside a file in quarantine."""
    facts = {
        "path": path,
        "fault": error.fault.value,
        "detail": error.detail,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return (json.dumps(facts, indent=2) + "\n").encode()


def day_of(instant: datetime) -> date:
    """Return the UTC day of an aware instant."""
    return instant.astimezone(UTC).date()


def days_between(start: datetime, end: datetime) -> Iterator[date]:
    """Yield every UTC day that has an instant in [start, end)."""
    day = day_of(start)
    while datetime(day.year, day.month, day.day, tzinfo=UTC) < end:
        yield day
        day += ONE_DAY


def decimal_text(value: Decimal) -> str:
    """Return the canonical text of a number: no exponent, no zeros at the end.

    Raises MarketDataError if it is extremely large or small.
    """
    if not value.is_finite() or (value and abs(value.adjusted()) > LARGEST_EXPONENT):
        raise MarketDataError(f"expected a number between 1E-{LARGEST_EXPONENT} and 1E+{LARGEST_EXPONENT}, got {value}")
    return plain(value)


def content_checksum(facts: bytes, open_time_ms: NDArray[np.int64], columns: Sequence[tuple[NDArray[np.int32], bytes]]) -> str:
    """Return the hex sha256 of a file's metadata and rows.

    open_time_ms: (n,). columns: for each of VALUES the (n + 1,) offsets of its texts, from 0, and the texts joined as UTF-8.
    """
    found = hashlib.sha256(facts)
    found.update(np.ascontiguousarray(open_time_ms, dtype="<i8").tobytes())
    for offsets, text in columns:
        found.update(np.ascontiguousarray(offsets, dtype="<i4").tobytes())
        found.update(text)
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class MergedDay:
    """The rows of a day after a merge, oldest first, and the minutes on which the two sides disagreed."""

    candles: tuple[Candle, ...]
    conflicts: tuple[datetime, ...]


def merge_rows(kept: Iterable[Candle], fresh: Iterable[Candle]) -> MergedDay:
    """Return the union by minute; where the two disagree `fresh` wins, and the minute is reported."""
    found = {candle.open_time: candle for candle in kept}
    conflicts = []
    for candle in fresh:
        if found.get(candle.open_time, candle) != candle:
            conflicts.append(candle.open_time)
        found[candle.open_time] = candle
    return MergedDay(tuple(found[t] for t in sorted(found)), tuple(sorted(conflicts)))


_FIRST_MS: Final = 0
_CALENDAR: Final = "; expected years 1970 to 9998"
_END_MS: Final = to_ms(datetime(9999, 1, 1, tzinfo=UTC))
_PLAUSIBLE_MS: Final = (to_ms(datetime(2001, 9, 9, 2, tzinfo=UTC)), 10_000_000_000_000)  # 10^12 to 10^13: until the year 2286


def check_rows(key: DayKey | None, open_time_ms: NDArray[np.int64], values: Sequence[NDArray[np.float64]]) -> None:
    """Raise DayFileError for the first rule that these rows break. key: the day in which all of them must lie, if given.

    open_time_ms: (n,) int64. values: the (n,) float64 columns of VALUES, in that order.
    """
    hint = misread_unit(open_time_ms)
    if len(open_time_ms) and not _FIRST_MS <= int(open_time_ms.min()) <= int(open_time_ms.max()) < _END_MS:
        raise DayFileError(DayFault.TIMES_OUTSIDE_DAY, f"open times outside the calendar{hint or _CALENDAR}")
    if hint:
        raise DayFileError(DayFault.TIMES_OUTSIDE_DAY, f"open times of {from_ms(int(open_time_ms[0])):%Y-%m-%d}{hint}")
    if (off := int((open_time_ms % MINUTE_MS != 0).sum())) > 0:
        raise DayFileError(DayFault.TIMES_OFF_THE_MINUTE, f"{off} open times are off the minute; expected 1-minute candles")
    steps = np.diff(open_time_ms)
    if (repeats := int((steps == 0).sum())) > 0:
        raise DayFileError(DayFault.TIMES_DUPLICATE, f"{repeats} open times occur twice; remove the duplicates")
    if (disorder := int((steps < 0).sum())) > 0:
        raise DayFileError(
            DayFault.TIMES_UNSORTED, f"not sorted ({disorder} rows are older than the row before); sort it by open_time"
        )
    if key is not None and len(open_time_ms):
        first, last = from_ms(int(open_time_ms[0])), from_ms(int(open_time_ms[-1]))
        if first < key.start or last >= key.end:
            raise DayFileError(
                DayFault.TIMES_OUTSIDE_DAY, f"expected candles of {key.day}, got {first.isoformat()} to {last.isoformat()}"
            )
    if (coarse := coarse_steps(open_time_ms)) is not None:
        minutes, at = coarse
        raise DayFileError(
            DayFault.TIMEFRAME_COARSE, f"from {at.isoformat()} on it holds {minutes}-minute candles; expected 1-minute candles"
        )
    bad = impossible_rows(values)
    if (count := int(bad.sum())) > 0:
        first_ms = np.datetime64(int(open_time_ms[np.argmax(bad)]), "ms")
        raise DayFileError(
            DayFault.PRICES_IMPOSSIBLE,
            f"{count} candles are impossible (not finite, not positive, or outside low..high), first at {first_ms}Z; "
            "remove them: a gap is better than an invented price",
        )


def misread_unit(open_time_ms: NDArray[np.int64]) -> str:
    """Return which unit was misread as milliseconds, and the remedy; "" if the times are plausible."""
    low, high = _PLAUSIBLE_MS
    middle = int(np.partition(open_time_ms, len(open_time_ms) // 2)[len(open_time_ms) // 2]) if len(open_time_ms) else low
    for unit, factor in (("seconds", 1_000), ("microseconds", 1 / 1_000), ("nanoseconds", 1 / 1_000_000)):
        if not low <= middle < high and low <= middle * factor < high:
            return f": {unit} read as milliseconds; convert the file with signalbox data import"
    return ""


def outside_calendar(open_time_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return an (n,) mask of impossible times: before 1970 or after 9998. If the unit was misread, all are."""
    if misread_unit(open_time_ms):
        return np.ones(len(open_time_ms), dtype=np.bool_)
    outside: NDArray[np.bool_] = (open_time_ms < _FIRST_MS) | (open_time_ms >= _END_MS)
    return outside


def coarse_steps(open_time_ms: NDArray[np.int64]) -> tuple[int, datetime] | None:
    """If a part of the rows has a coarser timeframe, return its minutes and where it begins."""
    steps = np.diff(open_time_ms)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(steps)) + 1]) if len(steps) else np.empty(0, dtype=np.int64)
    lengths = np.diff(np.append(starts, len(steps)))
    for run in np.flatnonzero((lengths >= _SHORTEST_RUN) & (steps[starts] > MINUTE_MS)):
        minutes = int(steps[starts[run]]) // MINUTE_MS
        enough = max(_SHORTEST_RUN, min(_COARSE_RUN, MINUTES_OF_DAY // minutes - 1))
        if minutes in _COARSE_MINUTES and lengths[run] >= enough:
            return minutes, from_ms(int(open_time_ms[starts[run]]))
    return None
