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

_HINT: Final = "expected columns open_time (timestamp with time zone UTC) and open, high, low, close, volume (double)"
_PHYSICAL: Final = {"open_time": "INT64", **dict.fromkeys(VALUES, "DOUBLE")}
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
        return times, tuple(np.ascontiguousarray(table[name].to_numpy()) for name in VALUES)

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
        if not pa.types.is_timestamp(kind) or kind.tz != "UTC":
            raise MarketDataError(f"{self.name}: open_time is {kind}; {_HINT}; convert it, stating its time zone")
        for column in VALUES:
            if not pa.types.is_float64(kind := schema.field(column).type):
                raise MarketDataError(f"{self.name}: {column} is {kind}; {_HINT}; convert it")
        if file.metadata.num_rows == 0:
            raise MarketDataError(f"{self.name}: holds no candles; collect it again")
        with self._readable():
            judge_pages(content, file, _PHYSICAL, RECORDED)
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
