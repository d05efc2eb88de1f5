"""Recorded candles: one flat Parquet file for each symbol, such as `BTC-USDT-1m.parquet`, checked when it is opened.

Only the needed row groups are read. An unfit file is reported by name and never repaired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signalbox.adapters.lake.judged import RECORDED, judge_pages, open_parquet
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol, from_ms, to_ms
from signalbox.market.lake import VALUES, DayFileError, check_rows

_HINT: Final = "expected columns open_time (timestamp with a time zone) and open, high, low, close, volume (numbers)"
_CONVERT: Final = "convert the file with signalbox data import"
_UTC_MS: Final = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True)
class RecordedFile:
    """The file of one symbol; stablecoin quotes count as USD. Every method raises MarketDataError that names the file."""

    symbol: Symbol
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def sha256(self) -> str:
        """Return the sha256 of the whole file."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def ends(self) -> tuple[datetime, datetime]:
        """Return the first open_time and the close_time of the last bar, from the file's statistics if it has them."""
        groups = [ends for index in range(self._file.num_row_groups) if (ends := self._group_ends(index)) is not None]
        if not groups:
            raise MarketDataError(f"{self.name}: holds no candles; collect it again")
        with self._readable():
            return from_ms(min(g[0] for g in groups)), from_ms(max(g[1] for g in groups) + MINUTE_MS)

    def bars(self, start: datetime | None = None, end: datetime | None = None) -> Bars:
        """Return the bars with start <= open_time < end."""
        times, values = self.columns(start, end)
        try:
            check_rows(None, times, values)
        except DayFileError as error:
            raise MarketDataError(f"{self.name}: {error.detail}") from error
        low = 0 if start is None else int(np.searchsorted(times, to_ms(start)))
        high = times.shape[0] if end is None else int(np.searchsorted(times, to_ms(end)))
        cut = slice(low, max(low, high))
        return Bars(self.symbol, times[cut], *(column[cut] for column in values))

    def columns(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> tuple[NDArray[np.int64], tuple[NDArray[np.float64], ...]]:
        """Return the unchanged rows of all row groups that may overlap [start, end). Only their types are checked."""
        groups = [i for i in range(self._file.num_row_groups) if self._may_hold(i, start, end)]
        with self._readable():
            table = self._file.read_row_groups(groups, columns=["open_time", *VALUES])
        column = table["open_time"]
        if column.null_count:
            raise MarketDataError(f"{self.name}: open_time has {column.null_count} nulls; remove those rows")
        with self._readable():
            times: NDArray[np.int64] = np.ascontiguousarray(column.cast(_UTC_MS).cast(pa.int64()).to_numpy())
        # nulls become NaN, which every later check refuses
        return times, tuple(_floats(table[name]) for name in VALUES)

    @cached_property
    def _file(self) -> Any:
        with self._readable():
            content = pa.memory_map(str(self.path)).read_buffer()  # the pages stay on disk until they are read
            file = open_parquet(content, RECORDED)
            schema = file.schema_arrow
        for column in ("open_time", *VALUES):
            if column not in schema.names:
                raise MarketDataError(f"{self.name}: has no {column}; {_HINT}")
        kind = schema.field("open_time").type
        if not pa.types.is_timestamp(kind) or not kind.tz:  # an instant with a zone is one instant in whatever zone it is shown
            raise MarketDataError(f"{self.name}: open_time is {kind}; {_HINT}; {_CONVERT}, stating its time zone")
        physical = {"open_time": "INT64"}
        for column in VALUES:
            kind = schema.field(column).type
            if (stored := _physical(kind)) is None:
                raise MarketDataError(f"{self.name}: {column} is {kind}; {_HINT}; {_CONVERT}")
            physical[column] = stored
        if file.metadata.num_rows == 0:
            raise MarketDataError(f"{self.name}: holds no candles; collect it again")
        with self._readable():
            judge_pages(content, file, physical, RECORDED)
        return file

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn any error of reading into a MarketDataError: Arrow raises a dozen error classes for damaged bytes."""
        try:
            yield
        except Exception as error:
            raise MarketDataError(
                f"{self.name}: cannot be read as Parquet candles ({error}); {_HINT}; collect it again"
            ) from error

    def _may_hold(self, index: int, start: datetime | None, end: datetime | None) -> bool:
        if start is None and end is None:
            return True
        if (ends := self._group_ends(index)) is None:
            return False
        first, last = ends
        return (end is None or first < to_ms(end)) and (start is None or last >= to_ms(start))

    def _group_ends(self, index: int) -> tuple[int, int] | None:
        """Return the oldest and the newest open_time of a row group in milliseconds; None if it has no rows."""
        group = self._file.metadata.row_group(index)
        if group.num_rows == 0:
            return None
        place = next((i for i in range(group.num_columns) if group.column(i).path_in_schema == "open_time"), None)
        if place is None:
            raise MarketDataError(f"{self.name}: has no open_time in a row group; {_HINT}; collect it again")
        with self._readable():
            statistics = group.column(place).statistics
            if statistics is not None and statistics.has_min_max and isinstance(statistics.min, datetime):
                return to_ms(statistics.min), to_ms(statistics.max)
            column = self._file.read_row_group(index, columns=["open_time"]).column(0)
            times = column.cast(_UTC_MS).cast(pa.int64()).drop_null().to_numpy()
        if times.shape[0] == 0:
            raise MarketDataError(f"{self.name}: open_time has {group.num_rows} nulls; remove those rows")
        return int(times.min()), int(times.max())


def _physical(kind: Any) -> str | None:
    """Return the physical Parquet type in which numbers of an Arrow type lie; None for a type that holds no numbers."""
    if pa.types.is_float64(kind):
        return "DOUBLE"
    if pa.types.is_float32(kind):
        return "FLOAT"
    if pa.types.is_integer(kind):
        return "INT64" if kind.bit_width == 64 else "INT32"
    return None


def _floats(column: Any) -> NDArray[np.float64]:
    """Return a column as float64; a float32 by its shortest decimal, so that 0.1 stays 0.1. Nulls become NaN."""
    if pa.types.is_float32(column.type):
        column = column.cast(pa.string())
    found: NDArray[np.float64] = np.ascontiguousarray(column.cast(pa.float64(), safe=False).to_numpy())
    return found
