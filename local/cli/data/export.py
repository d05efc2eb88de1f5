"""`signalbox data export`: candles of a lake or of recorded files as CSV, or as the files that freqtrade reads.

CSV keeps every digit of a lake. freqtrade's files hold floats: each is the float nearest to the price.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as pa_feather
from rich.console import Console

from local.cli.data.importing.numbers import number_texts
from local.errors import DataError
from signalbox.adapters.lake.day_file import DayFile
from signalbox.adapters.lake.lake import prune
from signalbox.adapters.lake.series import CandleSeries, LakeSeries, find_series
from signalbox.market.candles import to_ms
from signalbox.market.lake import VALUES

FORMATS: Final = ("csv", "freqtrade")
_SCHEMA: Final = pa.schema([pa.field("open_time", pa.timestamp("ms", tz="UTC")), *(pa.field(n, pa.string()) for n in VALUES)])


def run_data_export(
    folder: Path, out: Path, *, form: str, start: datetime | None, end: datetime | None, json_output: bool
) -> int:
    """Write a file for each symbol and return the exit code. Raises DataError for an unknown file format, MarketDataError."""
    if form not in FORMATS:
        raise DataError(f"--format: expected {' or '.join(FORMATS)}, got {form}")
    write = _WRITERS[form]
    written = {}
    for series in find_series(folder):
        path, rows = write(series, out, start, end)
        written[path.name] = rows
    if json_output:
        sys.stdout.write(json.dumps({"folder": str(out), "format": form, "rows": written}, indent=2) + "\n")
    console = Console(stderr=json_output)
    for name, rows in written.items():
        console.print(f"{out / name}: {rows:,} rows", highlight=False, markup=False, soft_wrap=True)
    return 0


def _csv(series: CandleSeries, out: Path, start: datetime | None, end: datetime | None) -> tuple[Path, int]:
    path, rows = out / f"{_pair(series)}-1m.csv", 0
    part = path.with_suffix(".csv.part")
    with pa_csv.CSVWriter(str(part), _CSV_SCHEMA, write_options=pa_csv.WriteOptions(quoting_style="none")) as writer:
        for table in _tables(series, start, end):
            unix = table["open_time"].cast(pa.int64())
            writer.write_table(pa.table([unix, *(table[name] for name in VALUES)], schema=_CSV_SCHEMA))
            rows += table.num_rows
    part.replace(path)
    return path, rows


_CSV_SCHEMA: Final = pa.schema(
    [pa.field("open_time_ms", pa.int64()), *(pa.field(n, pa.string()) for n in VALUES[:4]), pa.field("base_volume", pa.string())]
)


def _freqtrade(series: CandleSeries, out: Path, start: datetime | None, end: datetime | None) -> tuple[Path, int]:
    path = out / f"{_pair(series).replace('-', '_')}-1m.feather"
    table = pa.concat_tables([_SCHEMA.empty_table(), *_tables(series, start, end)])
    floats = {name: table[name].cast(pa.float64()) for name in VALUES}
    part = path.with_suffix(".feather.part")
    pa_feather.write_feather(pa.table({"date": table["open_time"], **floats}), str(part), compression="lz4", compression_level=9)
    part.replace(path)
    return path, table.num_rows


_WRITERS: Final[Mapping[str, Callable[[CandleSeries, Path, datetime | None, datetime | None], tuple[Path, int]]]] = {
    "csv": _csv,
    "freqtrade": _freqtrade,
}


def _tables(series: CandleSeries, start: datetime | None, end: datetime | None) -> Iterator[Any]:
    """Yield tables of _SCHEMA: a lake day by day with its own texts, recorded files by the shortest text of their floats."""
    if isinstance(series, LakeSeries):
        for day in series.lake.read_days(prune(series.days, start, end)):
            if isinstance(day, DayFile):
                yield _within(day.table, day.open_time_ms, start, end)
        return
    bars = series.bars(start, end)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    texts = [number_texts(pa.array(column))[0] for column in columns]
    yield pa.table([pa.array(bars.open_time_ms).cast(_SCHEMA.field(0).type), *texts], schema=_SCHEMA)


def _within(table: Any, times: Any, start: datetime | None, end: datetime | None) -> Any:
    low = 0 if start is None else int(times.searchsorted(to_ms(start)))
    high = len(times) if end is None else int(times.searchsorted(to_ms(end)))
    return table.slice(low, max(high - low, 0)).cast(_SCHEMA)


def _pair(series: CandleSeries) -> str:
    """Return the venue's own symbol if the lake has it: a lake that stores BTC-USDT as BTC-USD exports BTC-USDT."""
    return series.key.symbol if isinstance(series, LakeSeries) else series.symbol
