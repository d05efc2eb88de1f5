"""The lake on a store: writes days that changed, verifies days when they are read, and sets bad files aside."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from typing_extensions import override

from signalbox.adapters.lake.day_file import DayFile, decode, encode, encode_columns
from signalbox.adapters.lake.merging import Conflict, FreshDay, merge_columns
from signalbox.adapters.lake.stores import LakeStorageError, LakeStore
from signalbox.market.candles import Bars, Candle, Symbol, to_ms
from signalbox.market.compaction import StoredDay
from signalbox.market.lake import (
    CANDLES,
    TIMEFRAME,
    DayFault,
    DayFileError,
    DayKey,
    SeriesKey,
    day_of,
    parse_path,
    quarantine_path,
    quarantine_report,
)

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BadDay:
    """A day file that was not read. quarantined_to: its new path; None if it could not be moved or was only looked at."""

    key: DayKey
    fault: DayFault
    detail: str
    quarantined_to: str | None

    @override
    def __str__(self) -> str:
        where = f"; the file was moved to {self.quarantined_to}" if self.quarantined_to else ""
        return f"{self.key.path} was not used: {self.fault}, {self.detail}{where}"


@dataclass(frozen=True, slots=True)
class DayMerge:
    """The result of adding rows to a day. `fault`: why the file that was there was set aside."""

    key: DayKey
    added: int  # rows of minutes that the day did not have
    conflicts: tuple[Conflict, ...]
    is_changed: bool
    fault: DayFault | None


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """The bars of the readable days, and the days that were unreadable."""

    bars: Bars
    bad_days: tuple[BadDay, ...]


class Lake:
    """Day files in one store. Methods raise the store's LakeStorageError."""

    def __init__(self, store: LakeStore) -> None:
        self._store = store

    @property
    def name(self) -> str:
        return self._store.name

    def days(self, series: SeriesKey | None = None) -> tuple[DayKey, ...]:
        """Return the days that have files, sorted. Files with other names are ignored."""
        paths = self._store.paths(series.prefix if series is not None else f"{CANDLES}/")
        return tuple(sorted(key for path in paths if (key := parse_path(path)) is not None))

    def write_day(self, key: DayKey, candles: Sequence[Candle], *, asked_until: datetime) -> bool:
        """Write a day's sorted candles; return False if the same file exists. Raises DayFileError for invalid rows."""
        content = encode(key, candles, asked_until)
        if self._store.read(key.path) == content:
            return False
        self._store.write(key.path, content)
        return True

    def merge_day(self, fresh: FreshDay, *, replace: bool) -> DayMerge:
        """Add rows to a day.

        Its own rows stay; with `replace`, an added row takes the place of a different one of the same minute.

        A file that cannot be read goes to quarantine, and the day is made of the new rows alone. Raises DayFileError for rows
        that break a rule; then nothing is written.
        """
        found = self.read_day(fresh.key)
        held = found if isinstance(found, DayFile) else None
        merged = merge_columns(held, fresh, replace=replace)
        if merged.is_changed:
            self._store.write(fresh.key.path, encode_columns(fresh.key, merged.times, merged.texts, merged.asked_until))
        fault = found.fault if isinstance(found, BadDay) else None
        return DayMerge(fresh.key, merged.added, merged.conflicts, merged.is_changed, fault)

    def asked_until(self, key: DayKey) -> datetime | None:
        """Return up to when the venue was asked for a day's candles; None if no file is readable (a bad one is quarantined)."""
        found = self.read_day(key)
        return found.asked_until if isinstance(found, DayFile) else None

    def stored(self, key: DayKey) -> StoredDay:
        """Return a day's exact rows; no rows if the file is missing or bad (a bad one goes to quarantine)."""
        found = self.read_day(key)
        if isinstance(found, BadDay):
            return StoredDay((), found.fault)
        return StoredDay(found.candles if found is not None else (), None)

    def inspect(self, key: DayKey) -> DayFile | BadDay | None:
        """Return a verified day, or why it is unreadable, without moving its file; None if there is no file."""
        found = self._load(key)
        return found[1] if isinstance(found, tuple) else found

    def read_day(self, key: DayKey) -> DayFile | BadDay | None:
        """Return a verified day. A bad one goes to quarantine with a report. Returns None if there is no file."""
        found = self._load(key)
        if not isinstance(found, tuple):
            return found
        content, bad = found
        target = quarantine_path(key.path, content)
        try:
            report = quarantine_report(key.path, content, DayFileError(bad.fault, bad.detail))
            self._store.write(target.removesuffix(".parquet") + ".json", report)
            self._store.set_aside(key.path, content, target)
        except LakeStorageError as error:
            logger.warning("%s; the file could not be moved to quarantine: %s", bad, error)
            return bad
        moved = BadDay(key, bad.fault, bad.detail, target)
        logger.warning("%s", moved)
        return moved

    def read(self, series: SeriesKey, start: datetime | None = None, end: datetime | None = None) -> SeriesRead:
        """Return the bars with start <= open_time < end. Only files of those days are opened."""
        bad: list[BadDay] = []
        good: list[DayFile] = []
        for found in self.read_days(prune(self.days(series), start, end)):
            if isinstance(found, BadDay):
                bad.append(found)
            else:
                good.append(found)
        return SeriesRead(_within(_joined(series.symbol, good), start, end), tuple(bad))

    def read_days(self, keys: Sequence[DayKey]) -> Iterator[DayFile | BadDay]:
        """Yield these days in order, without those that have no file."""
        for key in keys:
            found = self.read_day(key)
            if found is not None:
                yield found

    def _load(self, key: DayKey) -> DayFile | tuple[bytes, BadDay] | None:
        content = self._store.read(key.path)
        if content is None:
            return None
        try:
            return decode(key, content)
        except DayFileError as error:
            return content, BadDay(key, error.fault, error.detail, None)


def prune(keys: Sequence[DayKey], start: datetime | None, end: datetime | None) -> tuple[DayKey, ...]:
    """Return the days that may hold an open_time in [start, end)."""
    first = None if start is None else day_of(start)
    return tuple(k for k in keys if (first is None or k.day >= first) and (end is None or k.start < end))


def minute_series(keys: Sequence[DayKey]) -> tuple[SeriesKey, ...]:
    """Return the series of one-minute candles among these days, sorted."""
    return tuple(sorted({key.series for key in keys if key.series.timeframe == TIMEFRAME}))


def _joined(symbol: Symbol, days: Sequence[DayFile]) -> Bars:
    times = np.concatenate([np.empty(0, dtype=np.int64), *(day.open_time_ms for day in days)])
    empty = np.empty(0, dtype=np.float64)
    return Bars(symbol, times, *(np.concatenate([empty, *(day.columns[i] for day in days)]) for i in range(5)))


def _within(bars: Bars, start: datetime | None, end: datetime | None) -> Bars:
    low = 0 if start is None else int(np.searchsorted(bars.open_time_ms, to_ms(start)))
    high = len(bars) if end is None else int(np.searchsorted(bars.open_time_ms, to_ms(end)))
    return bars.window(slice(low, max(high, low)))
