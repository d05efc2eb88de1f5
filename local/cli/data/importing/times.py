"""Converts a column of times to milliseconds since 1970: Unix times in any unit, ISO 8601 texts, Arrow timestamps.

The unit of a number is read from its size, row by row: from 2001 to 2286 seconds have 10 digits, milliseconds 13, micro- and
nanoseconds 16 and 19, so that they never meet. Binance's spot files changed from milliseconds to microseconds in 2025.
"""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from local.cli.data.importing.files import ImportFileError

UNREADABLE: Final = np.iinfo(np.int64).min  # the time of a row that has none
_UNITS: Final = (  # the digits before the point, the name, the divisor to milliseconds
    (10, "seconds", 1 / 1_000),
    (13, "milliseconds", 1.0),
    (16, "microseconds", 1_000.0),
    (19, "nanoseconds", 1_000_000.0),
)
_UTC_END: Final = r"\s*(?:UTC|GMT|Z|z|[+-]00:?00)$"
_OFFSET_END: Final = r"[+-]\d\d:?\d\d$"


class TimeReader:
    """Reads the times in the blocks of one file, and counts the formats that it found.

    zone: of times that state none. If neither the file's format nor an option says it, it is None and such a time is refused.
    """

    def __init__(self, name: str, zone: str | None) -> None:
        self._name, self._zone = name, zone
        self._seen: dict[str, int] = {}

    @property
    def shown(self) -> str:
        """The formats that were read: `microseconds since 1970 (44,640 rows)`."""
        return ", ".join(f"{what} ({rows:,} rows)" for what, rows in self._seen.items())

    def read(self, column: Any) -> NDArray[np.int64]:
        """Return milliseconds, (n,), UNREADABLE for a value that is no time. Raises ImportFileError for ambiguous times."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_timestamp(kind):
            return self._timestamps(column)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return self._numbers(column)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._texts(column.cast(pa.string()))
        raise ImportFileError(f"column {self._name} is {kind}: expected times as numbers, ISO 8601 or timestamps")

    def _numbers(self, column: Any, what: str = "since 1970") -> NDArray[np.int64]:
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        # a float has 15 digits and more, enough for all but nanoseconds, which lose less than a microsecond
        found = np.full(len(values), UNREADABLE, dtype=np.int64)
        for digits, unit, divisor in _UNITS:
            with np.errstate(invalid="ignore"):
                of_unit = (values >= 10.0 ** (digits - 1)) & (values < 10.0**digits)
            if count := int(of_unit.sum()):
                found[of_unit] = np.rint(values[of_unit] / divisor).astype(np.int64)
                self._count(f"{unit} {what}", count)
        return found

    def _timestamps(self, column: Any) -> NDArray[np.int64]:
        kind = column.type
        raw = column.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        plausible = next(digits for digits, unit, _ in _UNITS if unit == _unit_name(kind.unit))
        typical = np.nanmedian(np.abs(raw)) if len(raw) else 0.0
        if len(raw) and not 10.0 ** (plausible - 1) <= typical < 10.0**plausible:
            # what pandas makes of microseconds that it was told are milliseconds, the years 1970 or 56971
            return self._numbers(column.cast(pa.int64()), f"that the file calls {_unit_name(kind.unit)}")
        if kind.tz:
            self._count("timestamps with a zone", len(column))
            return _milliseconds(column)
        return self._local(column)

    def _texts(self, column: Any) -> NDArray[np.int64]:
        column = pc.utf8_trim_whitespace(column)
        if _all(pc.match_substring_regex(column, r"^\d{9,19}(\.\d*)?$")):
            return self._numbers(column)
        numeric = pc.match_substring_regex(column, r"^\d{9,19}(\.\d*)?$")
        if pc.any(numeric).as_py():
            plain = pc.if_else(numeric, column, pa.scalar(None, pa.string()))
            texts = self._texts(pc.if_else(numeric, pa.scalar(None, pa.string()), column))
            return np.maximum(self._numbers(plain), texts)
        if pc.any(pc.match_substring_regex(column, r"^\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}")).as_py():
            raise ImportFileError(
                f"column {self._name} has dates such as {_first(column)!r}, whose day and month are ambiguous; "
                "write them as 2024-03-01 12:00"
            )
        utc = pc.match_substring_regex(column, _UTC_END)
        bare = pc.replace_substring_regex(column, _UTC_END, "")
        offset = pc.and_(pc.match_substring_regex(bare, _OFFSET_END), pc.match_substring(bare, ":"))
        if pc.any(offset).as_py():
            found = _cast(pc.if_else(offset, bare, pa.scalar(None, pa.string())), pa.timestamp("ms", tz="UTC"))
            self._count("ISO 8601 with an offset", int(pc.sum(offset).as_py()))
            rest = pc.if_else(offset, pa.scalar(None, pa.string()), column)
            return np.maximum(_milliseconds(found), self._texts(rest)) if found.null_count else _milliseconds(found)
        instants = _cast(bare, pa.timestamp("ms"))
        stated = int(pc.sum(utc).as_py() or 0)
        if stated == len(column) - column.null_count:
            self._count("ISO 8601 in UTC", stated)
            return _milliseconds(instants)
        if stated:
            raise ImportFileError(f"column {self._name}: some times say UTC and some do not; write all of them in the same way")
        return self._local(instants)

    def _local(self, column: Any) -> NDArray[np.int64]:
        """Read times without a zone. A minute that a clock shows twice or never, when it is set, becomes UNREADABLE."""
        if column.null_count == len(column):
            return _milliseconds(column)
        if self._zone is None:
            raise ImportFileError(
                f"column {self._name} has times without a zone; give --time-zone UTC, or the zone of the clock (Europe/Berlin)"
            )
        self._count(f"times of {self._zone}", len(column) - column.null_count)
        if self._zone.upper() == "UTC":
            return _milliseconds(column)
        early = pc.assume_timezone(column, self._zone, ambiguous="earliest", nonexistent="earliest")
        late = pc.assume_timezone(column, self._zone, ambiguous="latest", nonexistent="latest")
        found, other = _milliseconds(early), _milliseconds(late)
        return np.where(found == other, found, UNREADABLE)

    def _count(self, what: str, rows: int) -> None:
        self._seen[what] = self._seen.get(what, 0) + rows


def check_zone(zone: str) -> str:
    """Return the name of a time zone. Raises ImportFileError for an unknown one."""
    if zone.upper() in {"UTC", "Z", "GMT", "ETC/UTC", "+00:00"}:
        return "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImportFileError(f"--time-zone: no zone {zone!r}; expected UTC or a name such as Europe/Berlin") from error
    return zone


def _milliseconds(column: Any) -> NDArray[np.int64]:
    unit = column.type.unit
    raw = column.cast(pa.int64())
    values = pc.fill_null(raw, pa.scalar(UNREADABLE, pa.int64())).to_numpy(zero_copy_only=False)
    missing = values == UNREADABLE
    factor = {"s": 1_000, "ms": 1, "us": 1, "ns": 1}[unit]
    divisor = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
    found = np.where(missing, 0, values) * factor
    exact = found % divisor == 0
    # a part of a millisecond is never a whole minute: one more makes it off the minute, and so it is told
    return np.where(missing, UNREADABLE, found // divisor + ~exact)


def _cast(column: Any, kind: Any) -> Any:
    """Return texts as timestamps; what is none becomes null."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        pattern = r"^\d{4}-\d\d-\d\d(?:[ T]\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,3})?)?)?)?" + (r"[+-]\d\d:?\d\d$" if kind.tz else "$")
        fits = pc.match_substring_regex(column, pattern)
        try:
            return pc.if_else(fits, column, pa.scalar(None, pa.string())).cast(kind)
        except pa.ArrowInvalid as error:
            raise ImportFileError(f"times cannot be read: {str(error)[:120]}; expected ISO 8601 or Unix times") from error


def _unit_name(unit: str) -> str:
    return {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]


def _all(mask: Any) -> bool:
    return bool(pc.all(mask, skip_nulls=True, min_count=1).as_py())


def _first(column: Any) -> str:
    found = column.drop_null()
    return str(found[0].as_py())[:40] if len(found) else ""
