"""Candles from Parquet files into Bars, checked at the door: a file that is not what it should be is named, never mended."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signalbox.contracts import SYMBOLS
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol, to_ms

_FILE: Final = re.compile(r"^([A-Z0-9]{2,12})-(?:USDT|USDC|USD)-1m\.parquet$")
_VALUES: Final = ("open", "high", "low", "close", "volume")
_HINT: Final = "expected columns open_time (timestamp with time zone UTC) and open, high, low, close, volume (double)"


@dataclass(frozen=True, slots=True)
class CandleFile:
    """One symbol's file; stablecoin quotes count as USD."""

    symbol: Symbol
    path: Path

    def sha256(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def find_candle_files(folder: Path) -> tuple[CandleFile, ...]:
    """Return the 1-minute candle files of a folder in the product's symbol order.

    Raises MarketDataError when the folder is missing, holds none, or holds two for one symbol.
    """
    if not folder.is_dir():
        raise MarketDataError(f"{folder}: expected a folder of candles such as BTC-USDT-1m.parquet, was no folder")
    found: dict[Symbol, Path] = {}
    for path in sorted(folder.iterdir()):
        if (match := _FILE.match(path.name)) is None:
            continue
        symbol = Symbol(f"{match.group(1)}-USD")
        if symbol in found:
            raise MarketDataError(f"{path.name}: {found[symbol].name} is of {symbol} too; keep one of them")
        found[symbol] = path
    if not found:
        raise MarketDataError(f"{folder}: expected candles such as BTC-USDT-1m.parquet, found none; collect or copy some there")
    order = {name: place for place, name in enumerate(SYMBOLS)}
    ranked = sorted(found, key=lambda symbol: (order.get(symbol, len(order)), symbol))
    return tuple(CandleFile(symbol, found[symbol]) for symbol in ranked)


def read_bars(file: CandleFile, start: datetime | None = None, end: datetime | None = None) -> Bars:
    """Return the bars with start <= open_time < end. Raises MarketDataError naming the file and what to do."""
    name = file.path.name
    try:
        table = pq.read_table(file.path, columns=["open_time", *_VALUES])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise MarketDataError(f"{name}: cannot be read as Parquet candles ({error}); {_HINT}; collect it again") from error
    times = _times(name, table)
    values = [_doubles(name, table, column) for column in _VALUES]
    _check(name, times, values)
    low = 0 if start is None else int(np.searchsorted(times, to_ms(start)))
    high = times.shape[0] if end is None else int(np.searchsorted(times, to_ms(end)))
    if high <= low:
        raise MarketDataError(f"{name}: expected candles between --start and --end, found none of its {times.shape[0]}")
    cut = slice(low, high)
    return Bars(file.symbol, times[cut], *(column[cut] for column in values))


def _times(name: str, table: pa.Table) -> NDArray[np.int64]:
    if "open_time" not in table.column_names:
        raise MarketDataError(f"{name}: has no open_time; {_HINT}")
    kind = table.schema.field("open_time").type
    if not pa.types.is_timestamp(kind) or kind.tz != "UTC":
        raise MarketDataError(f"{name}: open_time is {kind}; {_HINT}; convert it, stating its time zone")
    column = table["open_time"]
    if column.null_count:
        raise MarketDataError(f"{name}: open_time has {column.null_count} nulls; remove those rows")
    times: NDArray[np.int64] = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.ascontiguousarray(times)


def _doubles(name: str, table: pa.Table, column: str) -> NDArray[np.float64]:
    if column not in table.column_names:
        raise MarketDataError(f"{name}: has no {column}; {_HINT}")
    kind = table.schema.field(column).type
    if not pa.types.is_float64(kind):
        raise MarketDataError(f"{name}: {column} is {kind}; {_HINT}; convert it")
    values: NDArray[np.float64] = table[column].to_numpy()  # nulls become NaN and are refused below
    return np.ascontiguousarray(values)


def _check(name: str, times: NDArray[np.int64], values: list[NDArray[np.float64]]) -> None:
    if times.shape[0] == 0:
        raise MarketDataError(f"{name}: holds no candles; collect it again")
    if (times % MINUTE_MS).any():
        raise MarketDataError(f"{name}: open_time has instants off the minute; expected 1-minute candles")
    steps = np.diff(times)
    if (repeats := int((steps == 0).sum())) > 0:
        raise MarketDataError(f"{name}: {repeats} open times occur twice; remove the duplicates")
    if (disorder := int((steps < 0).sum())) > 0:
        raise MarketDataError(f"{name}: not sorted ({disorder} rows are older than the row before); sort it by open_time")
    open_, high, low, close, volume = values
    bad = ~np.isfinite(np.stack(values)).all(axis=0) | (low <= 0) | (volume < 0)
    bad |= (low > np.minimum(open_, close)) | (high < np.maximum(open_, close))
    if (count := int(bad.sum())) > 0:
        first = np.datetime64(int(times[np.argmax(bad)]), "ms")
        raise MarketDataError(
            f"{name}: {count} candles are impossible (not finite, not positive, or outside low..high), first at {first}Z; "
            "remove them: a gap is better than an invented price"
        )
