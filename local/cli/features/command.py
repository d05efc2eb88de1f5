"""`signalbox features`: writes the feature matrix of every symbol in a folder to one Parquet file, completely or not at all."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from local.errors import DataError
from signalbox.adapters.lake.series import CandleSeries, find_series, require_bars
from signalbox.features import FeatureMatrix, FeatureSchema, compute_features, find_reference, get_schema
from signalbox.market.candles import ONE_MINUTE, Bars, from_ms, to_ms
from training.bar_columns import CountColumn, TimesColumn

WORKERS: Final = 2  # symbols computed in parallel, and matrices in memory at once
ROW_GROUP: Final = 131_072  # rows
LEAD_SLACK: Final = timedelta(days=1)  # for outages inside the warm-up, because bars are counted and not minutes
LATE_END: Final = timedelta(minutes=5)  # a symbol that ends earlier than the others by more than this is reported


@dataclass(frozen=True, slots=True)
class FeaturesOptions:
    """What to compute: rows of [start, end); None means no bound."""

    data: Path
    schema: str
    out: Path
    start: datetime | None = None
    end: datetime | None = None
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class SymbolRows:
    """The result for one symbol."""

    symbol: str
    rows: int
    complete: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class FeaturesResult:
    """The result of the command; --json uses these names. `wall_seconds` includes reading and writing."""

    schema: str
    schema_hash: str
    out: str
    symbols: tuple[SymbolRows, ...]
    rows: int
    complete_rows: int
    wall_seconds: float
    compute_seconds: float  # until the last matrix was computed: includes reading, excludes the remaining writing
    rows_per_s: float
    peak_memory_bytes: int
    warnings: tuple[str, ...]


def run_features(options: FeaturesOptions) -> FeaturesResult:
    """Compute, write and print. Raises SignalboxError for wrong input; `out` then stays unchanged."""
    began = time.perf_counter()
    schema = get_schema(options.schema)
    _check(options)
    console = Console(stderr=options.json_output)
    series = find_series(options.data)
    with _progress(console) as progress:
        reading = progress.add_task("read", total=len(series))
        bars = [_read(one, schema, options) for one in progress.track(series, task_id=reading)]
        reference = find_reference(schema, bars)
        writing = progress.add_task(f"compute and write {schema.name}", total=len(bars))
        with _replacing(options.out) as partial, _writer(partial, schema) as writer:
            symbols, computed = [], began
            for matrix in _matrices(schema, bars, reference):
                computed = time.perf_counter()
                symbols.append(_write(writer, matrix, options))
                progress.advance(writing)
    wall = time.perf_counter() - began
    rows = sum(one.rows for one in symbols)
    result = FeaturesResult(
        schema.name,
        schema.hash,
        str(options.out),
        tuple(symbols),
        rows,
        sum(one.complete for one in symbols),
        round(wall, 3),
        round(computed - began, 3),
        round(rows / wall, 1),
        peak_memory_bytes(),
        _early_ends(bars),
    )
    if options.json_output:
        sys.stdout.write(json.dumps(asdict(result), indent=2) + "\n")
    else:
        _show(console, result)
    return result


def arrow_schema(schema: FeatureSchema) -> pa.Schema:
    """Return the columns of the file: symbol, open_time, the features in order, is_complete."""
    fields = [("symbol", pa.dictionary(pa.int32(), pa.string())), ("open_time", pa.timestamp("ms", tz="UTC"))]
    fields += [(name, pa.float64()) for name in schema.names]
    facts = {"signalbox.schema": schema.name, "signalbox.schema_hash": schema.hash}
    return pa.schema([*fields, ("is_complete", pa.bool_())], metadata=facts)


def _writer(path: Path, schema: FeatureSchema) -> pq.ParquetWriter:
    # a dictionary helps no column of numbers that hardly repeat, and makes writing five times slower
    return pq.ParquetWriter(path, arrow_schema(schema), compression="zstd", use_dictionary=["symbol"])


def peak_memory_bytes() -> int:
    """Return the highest memory use of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _check(options: FeaturesOptions) -> None:
    if options.start is not None and options.end is not None and options.start >= options.end:
        raise DataError(f"expected --start before --end, got {options.start.isoformat()} and {options.end.isoformat()}")
    if options.out.is_dir():
        raise DataError(f"--out: {options.out} is a folder; name a file")


def _read(series: CandleSeries, schema: FeatureSchema, options: FeaturesOptions) -> Bars:
    """Return the bars of the period, and the earlier bars that its first rows need."""
    lead = None if options.start is None else options.start - schema.history_bars * ONE_MINUTE - LEAD_SLACK
    bars = require_bars(series, lead, options.end)
    if options.start is not None and int(bars.open_time_ms[-1]) < to_ms(options.start):
        newest = from_ms(int(bars.open_time_ms[-1])).isoformat()
        raise DataError(f"{series.name} has no candles from {options.start.isoformat()} on; its newest is {newest}")
    return bars


def _matrices(schema: FeatureSchema, series: Sequence[Bars], reference: Bars | None) -> Iterator[FeatureMatrix]:
    """Yield the matrices in order. They are computed in parallel, at most WORKERS ahead of the one in use."""
    waiting: deque[Future[FeatureMatrix]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for bars in series:
            waiting.append(pool.submit(compute_features, schema, bars, reference=reference))
            if len(waiting) == WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(writer: pq.ParquetWriter, matrix: FeatureMatrix, options: FeaturesOptions) -> SymbolRows:
    times = matrix.open_time_ms
    first = 0 if options.start is None else int(np.searchsorted(times, to_ms(options.start)))
    for at in range(first, len(matrix), ROW_GROUP):
        writer.write_table(_table(matrix, slice(at, min(at + ROW_GROUP, len(matrix))), writer.schema))
    ends = [from_ms(int(times[i])).isoformat() for i in (first, -1)]
    return SymbolRows(matrix.symbol, len(matrix) - first, int(matrix.is_complete[first:].sum()), ends[0], ends[1])


def _table(matrix: FeatureMatrix, cut: slice, schema: pa.Schema) -> pa.Table:
    rows = cut.stop - cut.start
    symbol = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), [matrix.symbol])
    values: list[Any] = [pa.array(matrix.values[cut, i]) for i in range(matrix.values.shape[1])]
    times = pa.array(matrix.open_time_ms[cut]).cast(pa.timestamp("ms", tz="UTC"))
    return pa.Table.from_arrays([symbol, times, *values, pa.array(matrix.is_complete[cut])], schema=schema)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield a temporary file beside `out` that replaces it at the end, or is deleted if anything fails."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.partial")
        try:
            yield partial
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {out.name}: {error.strerror or error}") from error


def _early_ends(series: Sequence[Bars]) -> tuple[str, ...]:
    """Return warnings about symbols that end before the others; their missing rows are not filled."""
    ends = {bars.symbol: from_ms(int(bars.open_time_ms[-1])) for bars in series}
    last = max(ends.values())
    return tuple(
        f"{symbol} ends at {end.isoformat()}, {int((last - end) / ONE_MINUTE)} minutes before the others"
        for symbol, end in ends.items()
        if last - end > LATE_END
    )


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), CountColumn(), TimesColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _show(console: Console, result: FeaturesResult) -> None:
    table = Table("symbol", "rows", "complete", "first, UTC", "last, UTC", title=f"{result.schema} ({result.schema_hash[:12]})")
    for one in result.symbols:
        table.add_row(
            one.symbol,
            f"{one.rows:,}",
            f"{one.complete:,}",
            *(f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}" for at in (one.first, one.last)),
        )
    console.print(table)
    for warning in result.warnings:
        console.print(f"warning: {warning}", style="yellow")
    console.print(
        f"{result.rows:,} rows in {result.wall_seconds:.2f} s ({result.rows_per_s:,.0f} rows/s), "
        f"peak memory {result.peak_memory_bytes / 2**20:,.0f} MiB, written to {result.out}"
    )
