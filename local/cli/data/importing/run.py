"""One import: recognises files, then reads them block by block into whole days of the lake. Only the current day is in memory.

What the lake has stays: rows are added, and a row that differs is a conflict that is told. So a repeated run changes nothing, and
an interrupted one leaves whole days, which the next run finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from local.cli.data.importing.files import ImportFileError, find_files
from local.cli.data.importing.numbers import base_volume, number_texts
from local.cli.data.importing.recognise import RecognisedFile, places_of, recognise
from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.times import UNREADABLE, TimeReader
from local.errors import DataError
from signalbox.adapters.lake.lake import DayMerge, Lake
from signalbox.adapters.lake.merging import Conflict, FreshDay
from signalbox.adapters.lake.stores import LakeStorageError
from signalbox.market.candle_rules import RowFault, price_faults
from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, MarketDataError, from_ms, to_ms
from signalbox.market.clock import Gap
from signalbox.market.empty_minutes import LONGEST_RUN, OMITS_EMPTY_MINUTES
from signalbox.market.gaps import find_gaps
from signalbox.market.lake import DAY_MS, DayKey, SeriesKey, day_of, outside_calendar
from signalbox.market.row_faults import FAULT_WORDS

WRITERS: Final = 2  # packing and writing release the lock of the interpreter
WAITING: Final = 8  # days that may wait for a writer
SHOWN_CONFLICTS: Final = 20
_DayRows: TypeAlias = tuple[int, NDArray[np.int64], list[Any]]  # days since the epoch, times, texts of VALUES


class ImportEnding(StrEnum):
    """How a run ended."""

    OK = "ok"
    CONFLICTS = "conflicts"  # the lake has other numbers for some minutes; they were kept
    REFUSED = "refused"  # some files were not read
    STORAGE_FAILED = "storage_failed"
    INTERRUPTED = "interrupted"


class ImportView(Protocol):
    """Receives the progress of a run."""

    def recognised(self, found: RecognisedFile) -> None:
        """Note that a file will be read, and how."""

    def refused(self, name: str, reason: str) -> None:
        """Note that a file will not be read."""

    def begin(self, total_bytes: int) -> None:
        """Note how many bytes will be read."""

    def progress(self, done_bytes: int, name: str, rows_per_second: float) -> None:
        """Note how many bytes are read, and the name of the current file."""


@dataclass
class ImportedSeries:
    """The result for one series."""

    series: SeriesKey
    files: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    added: int = 0
    empty: int = 0
    duplicates: int = 0
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)  # words of the reason: rows, the first of them
    conflicts: list[Conflict] = field(default_factory=list)
    conflict_rows: int = 0
    days_written: int = 0
    days_same: int = 0
    bad_days: list[str] = field(default_factory=list)
    minutes: list[NDArray[np.int64]] = field(default_factory=list)

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """The minutes in the files, sorted, each once. Only valid after all files are read."""
        found = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *self.minutes]))
        once: NDArray[np.int64] = found[np.concatenate([np.ones(min(len(found), 1), dtype=np.bool_), np.diff(found) != 0])]
        return once

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The missing minutes between the first and the last minute of the files."""
        return find_gaps(self.present)

    def refuse(self, words: str, rows: int, first: str) -> None:
        """Count rows that are not imported."""
        before, earliest = self.faults.get(words, (0, first))
        self.faults[words] = (before + rows, earliest)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of one run."""

    request: ImportRequest
    series: tuple[ImportedSeries, ...]
    refused: tuple[tuple[str, str], ...]
    rows: int
    seconds: float
    ending: ImportEnding
    error: str | None = None


def run_import(request: ImportRequest, lake: Lake, view: ImportView, timer: Callable[[], float] = time.monotonic) -> ImportResult:
    """Import the files and return the result. Raises DataError if no file below the paths can be read."""
    began = timer()
    taken, refused = _recognised(request, view)
    run = _Run(request, view, refused, timer)
    view.begin(sum(one.file.size for one in taken))
    ending, error_text = ImportEnding.OK, None
    try:
        with _DayWriter(lake, request) as writer:
            for one in taken:
                run.read(one, writer)
    except KeyboardInterrupt:
        ending = ImportEnding.INTERRUPTED
    except LakeStorageError as error:
        ending, error_text = ImportEnding.STORAGE_FAILED, str(error)
    if ending is ImportEnding.OK:
        ending = run.ending
    return ImportResult(request, tuple(run.results.values()), tuple(refused), run.rows, timer() - began, ending, error_text)


def _recognised(request: ImportRequest, view: ImportView) -> tuple[list[RecognisedFile], list[tuple[str, str]]]:
    """Return the files that will be read, and the others with the reason. Raises DataError when none will be."""
    found = find_files(request.paths)
    refused = list(found.ignored)
    taken: list[RecognisedFile] = []
    for file in found.files:
        try:
            taken.append(one := recognise(file, request))
            view.recognised(one)
        except Exception as error:  # noqa: BLE001 - one odd file must not keep the others out
            refused.append((file.shown, _reason(error)))
    if not taken:
        raise DataError(_nothing(request, refused))  # it names them
    for name, reason in refused:
        view.refused(name, reason)
    return taken, refused


class _Run:
    """Reads the recognised files one after the other, and keeps what came of them."""

    def __init__(
        self, request: ImportRequest, view: ImportView, refused: list[tuple[str, str]], timer: Callable[[], float]
    ) -> None:
        self._request, self._view, self._refused, self._timer, self._began = request, view, refused, timer, timer()
        self._done = 0  # bytes of the files that are read
        self.results: dict[SeriesKey, ImportedSeries] = {}
        self.rows = 0

    @property
    def ending(self) -> ImportEnding:
        """The ending of a run that was not interrupted."""
        if self._refused or any(one.bad_days for one in self.results.values()):
            return ImportEnding.REFUSED
        clashing = any(one.conflict_rows for one in self.results.values()) and not self._request.replace
        return ImportEnding.CONFLICTS if clashing else ImportEnding.OK

    def read(self, one: RecognisedFile, writer: _DayWriter) -> None:
        """Read one file into the lake. Its errors are reported, and other files are not affected."""
        result = self.results.setdefault(one.series, ImportedSeries(one.series))
        _note(result, one)
        try:
            for count in _import_file(one, result, writer, self._request):
                self.rows += count
                self._tell(one)
        except LakeStorageError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._refused.append((one.file.shown, _reason(error)))
            self._view.refused(*self._refused[-1])
        self._done += one.file.size
        self._tell(one)

    def _tell(self, one: RecognisedFile) -> None:
        self._view.progress(self._done, one.file.shown, self.rows / max(self._timer() - self._began, 1e-9))


def _reason(error: Exception) -> str:
    """Return why a file is not read. Arrow and numpy raise a dozen error classes for odd content; those are named."""
    known = isinstance(error, (ImportFileError, MarketDataError, OSError))
    return " ".join(f"{'' if known else f'cannot be read: {type(error).__name__}: '}{error}".split())[:300]


def _nothing(request: ImportRequest, refused: list[tuple[str, str]]) -> str:
    where = ", ".join(str(path) for path in request.paths)
    if not refused:
        return f"{where}: no files there; expected CSV, JSON, Feather, Parquet or zip files of 1-minute candles"
    lines = "; ".join(f"{name}: {reason}" for name, reason in refused[:5])
    more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
    return f"{where}: none of {len(refused)} files is read: {lines}{more}"


def _note(result: ImportedSeries, one: RecognisedFile) -> None:
    result.files.append(one.file.shown)
    for noted, what in ((result.kinds, one.kind), (result.columns, one.plan.shown)):
        noted[what] = noted.get(what, 0) + 1


def _import_file(one: RecognisedFile, result: ImportedSeries, writer: _DayWriter, request: ImportRequest) -> Iterator[int]:
    """Read a file and give its whole days to the writer; yield the rows of each block."""
    reader = TimeReader(one.plan.names[one.plan.time], one.zone)
    pending = _Pending()
    for block in one.table.blocks(places_of(one.plan)):
        if one.plan.symbol is not None:
            _require_one_symbol(block[-1])
        times, texts = _rows(one, block, reader, result, request)
        result.rows += len(block[0])
        for rows_of_day in pending.add(times, texts):
            _give(rows_of_day, result, writer, request)
        yield len(block[0])
    for rows_of_day in pending.rest():
        _give(rows_of_day, result, writer, request)
    if one.table.ragged_rows:
        result.refuse("lines with another number of columns", one.table.ragged_rows, one.table.ragged[0])
    for what in reader.shown.split(", ") if reader.shown else ():
        words, _, rows = what.partition(" (")
        result.times[words] = result.times.get(words, 0) + int(rows.partition(" ")[0].replace(",", ""))


def _require_one_symbol(column: Any) -> None:
    found = column.drop_null().unique()
    if len(found) > 1:
        raise ImportFileError(
            f"holds {len(found)} symbols, {found[0].as_py()} and {found[1].as_py()}; expected one symbol per file"
        )


def _rows(
    one: RecognisedFile, block: list[Any], reader: TimeReader, result: ImportedSeries, request: ImportRequest
) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the sound rows of a block: times in milliseconds, and texts of VALUES. The others are counted with their reasons."""
    times = reader.read(block[0])
    read = [number_texts(_whole(column)) for column in block[1:6]]
    if one.plan.volume is None:
        prices = tuple(values for _, values in read[:4])
        read[4] = number_texts(base_volume(read[4][1], prices))
    values = [column for _, column in read]
    known = times != UNREADABLE
    calendar = np.where(known, times, to_ms(request.now))
    impossible = known & outside_calendar(calendar)
    off = known & ~impossible & (times % MINUTE_MS != 0)
    future = known & ~impossible & (times + MINUTE_MS > to_ms(request.now))
    faults = {"without a time that can be read": ~known, FAULT_WORDS[RowFault.TIME_IMPOSSIBLE]: impossible}
    faults |= {FAULT_WORDS[RowFault.OFF_MINUTE]: off, "not over yet, or of the future": future}
    faults |= {FAULT_WORDS[fault]: rows for fault, rows in price_faults(values).items()}
    bad = np.zeros(len(times), dtype=np.bool_)
    for words, rows in faults.items():
        fresh = rows & ~bad
        if count := int(fresh.sum()):
            place = int(np.argmax(fresh))
            first = (
                f"{from_ms(int(times[place])):%Y-%m-%d %H:%M:%S}"
                if known[place] and not impossible[place]
                else f"row {place + 1}"
            )
            result.refuse(words, count, f"{one.file.shown}, {first}")
        bad |= rows
    keep = pa.array(~bad)
    return times[~bad], [text.filter(keep) for text, _ in read]


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


class _Pending:
    """Rows that wait for the rest of their day: the day in which the newest block ends."""

    def __init__(self) -> None:
        self._times = np.empty(0, dtype=np.int64)
        self._texts = [pa.array([], pa.string())] * 5

    def add(self, times: NDArray[np.int64], texts: list[Any]) -> Iterator[_DayRows]:
        """Add rows, and yield each complete day: its number since the epoch, its times and its texts.

        The last day waits for more rows.
        """
        if not len(times):
            return
        last = int(times[-1]) // DAY_MS
        times = np.concatenate([self._times, times])
        texts = [pa.concat_arrays([old, new]) for old, new in zip(self._texts, texts, strict=True)]
        waits = times // DAY_MS == last
        mask = pa.array(waits)
        self._times, self._texts = times[waits], [column.filter(mask) for column in texts]
        rest = pc.invert(mask)
        yield from _by_day(times[~waits], [column.filter(rest) for column in texts])

    def rest(self) -> Iterator[_DayRows]:
        """Yield the days that still wait for rows."""
        yield from _by_day(self._times, self._texts)


def _by_day(times: NDArray[np.int64], texts: list[Any]) -> Iterator[_DayRows]:
    if not len(times):
        return
    if bool((np.diff(times) < 0).any()):
        order = np.argsort(times, kind="stable")
        places = pa.array(order)
        times, texts = times[order], [column.take(places) for column in texts]
    days = times // DAY_MS
    starts = np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1, [len(days)]])
    for low, high in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        yield int(days[low]), times[low:high], [column.slice(low, high - low) for column in texts]


def _give(rows: _DayRows, result: ImportedSeries, writer: _DayWriter, request: ImportRequest) -> None:
    day, times, texts = rows
    times, texts = _unique(times, texts, result)
    if request.empty_minutes and result.series.venue in OMITS_EMPTY_MINUTES:
        times, texts, empty = _with_empty_minutes(times, texts)
        result.empty += empty
    result.minutes.append(times)
    key = DayKey(result.series, day_of(from_ms(day * DAY_MS)))
    writer.write(FreshDay(key, times, tuple(_whole(column) for column in texts)), result)


def _unique(times: NDArray[np.int64], texts: list[Any], result: ImportedSeries) -> tuple[NDArray[np.int64], list[Any]]:
    """Return each minute once. Rows of one minute that disagree are all refused: nobody knows which one is right."""
    first = np.concatenate([[True], np.diff(times) != 0])
    if bool(first.all()):
        return times, texts
    number = np.cumsum(first) - 1  # which minute a row is of
    places = np.flatnonzero(first)
    differs = np.zeros(len(times), dtype=np.bool_)
    for column in texts:
        same = pc.equal(column, column.take(pa.array(places[number])))
        differs |= ~same.to_numpy(zero_copy_only=False).astype(np.bool_)
    disputed = np.zeros(len(places), dtype=np.bool_)
    disputed[number[differs]] = True
    keep = first & ~disputed[number]
    result.duplicates += int((~first & ~disputed[number]).sum())
    if count := int(disputed[number].sum()):
        place = int(np.argmax(disputed[number]))
        result.refuse("two rows of one minute that disagree", count, f"{from_ms(int(times[place])):%Y-%m-%d %H:%M}")
    mask = pa.array(keep)
    return times[keep], [column.filter(mask) for column in texts]


def _with_empty_minutes(times: NDArray[np.int64], texts: list[Any]) -> tuple[NDArray[np.int64], list[Any], int]:
    """Return the rows with flat bars in absent runs of at most LONGEST_RUN inside the day, and how many those are."""
    steps = np.diff(times) // MINUTE_MS - 1
    counts = np.where(steps <= LONGEST_RUN // ONE_MINUTE, steps, 0)
    total = int(counts.sum())
    if not total:
        return times, texts, 0
    before = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    flat_times = times[before] + (within + 1) * MINUTE_MS
    close = texts[3].take(pa.array(before))
    flat = [close, close, close, close, pa.array(["0"] * total, pa.string())]
    joined = np.concatenate([times, flat_times])
    order = np.argsort(joined)
    places = pa.array(order)
    texts = [pa.concat_arrays([_whole(old), new]).take(places) for old, new in zip(texts, flat, strict=True)]
    return joined[order], texts, total


class _DayWriter:
    """Writes days beside the reading, a day by one writer at a time. An error of the storage is raised by a later call."""

    def __init__(self, lake: Lake, request: ImportRequest) -> None:
        self._lake, self._request = lake, request
        self._pool = ThreadPoolExecutor(WRITERS)
        self._running: dict[DayKey, tuple[Future[DayMerge], ImportedSeries]] = {}

    def __enter__(self) -> _DayWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            for key in [key for key, (future, _) in self._running.items() if future.done() and not future.cancelled()]:
                self._finish(key, raises=False)
            return
        try:
            while self._running:
                self._finish(next(iter(self._running)))
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, fresh: FreshDay, result: ImportedSeries) -> None:
        """Start to write a day in another thread."""
        if self._request.dry_run or not len(fresh.times):
            return
        if fresh.key in self._running:
            self._finish(fresh.key)
        while len(self._running) >= WAITING:
            self._finish(next(iter(self._running)))
        future = self._pool.submit(self._lake.merge_day, fresh, replace=self._request.replace)
        self._running[fresh.key] = (future, result)

    def _finish(self, key: DayKey, *, raises: bool = True) -> None:
        future, result = self._running.pop(key)
        try:
            merge = future.result()
        except MarketDataError as error:
            result.bad_days.append(f"{key.day}: {error}")
            return
        except LakeStorageError:
            if raises:
                raise
            return
        result.added += merge.added
        result.conflict_rows += len(merge.conflicts)
        result.conflicts += merge.conflicts[: max(0, SHOWN_CONFLICTS - len(result.conflicts))]
        if merge.is_changed:
            result.days_written += 1
        else:
            result.days_same += 1
        if merge.fault is not None:
            result.bad_days.append(f"{key.day}: the lake's file was set aside: {merge.fault.value}")
