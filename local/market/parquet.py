"""Recorded candles: `BASE-QUOTE-1m.parquet` files as described in the data README. Only the row groups asked for are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from local.errors import DataError
from local.market.source import Coverage
from signalbox.market.candles import MINUTE_MS, Bars, MarketDataError, Symbol, from_ms, to_ms
from signalbox.market.clock import cycle_of

QUOTES: Final = ("USD", "USDT", "USDC")  # BTC-USDT serves BTC-USD: dollars to the exchange's precision
COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")


class ParquetSource:
    """A folder of recorded candles. Raises DataError when it has no file for a symbol, or the wrong columns."""

    def __init__(self, folder: Path, symbols: Sequence[Symbol]) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        self._folder = folder
        self._files = {symbol: self._open(symbol) for symbol in symbols}

    @property
    def name(self) -> str:
        return f"recorded candles in {self._folder}"

    def coverage(self, symbols: Sequence[Symbol]) -> Coverage:
        ends = [self._ends(self._files[symbol]) for symbol in symbols]
        return Coverage(from_ms(max(e[0] for e in ends)), from_ms(min(e[1] for e in ends) + MINUTE_MS))

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:
        return cycle_of(self.coverage(symbols).last)

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        file = self._files[symbol]
        low, high = to_ms(start), to_ms(end)
        groups = [
            index
            for index in range(file.num_row_groups)
            for first, last in [self._group_ends(file, index)]
            if first < high and last >= low
        ]
        table = file.read_row_groups(groups, columns=list(COLUMNS))
        times = table.column("open_time").cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
        keep = (times >= low) & (times < high)
        columns = [np.ascontiguousarray(table.column(c).to_numpy().astype(np.float64)[keep]) for c in COLUMNS[1:]]
        try:
            return Bars(symbol, times[keep], *columns)
        except MarketDataError as error:
            raise DataError(f"{self._path_of(symbol)}: {error}") from error

    def _path_of(self, symbol: Symbol) -> Path:
        base = symbol.partition("-")[0]
        for quote in QUOTES:
            path = self._folder / f"{base}-{quote}-1m.parquet"
            if path.is_file():
                return path
        tried = ", ".join(f"{base}-{quote}-1m.parquet" for quote in QUOTES)
        raise DataError(f"{self._folder}: no candles of {symbol} (looked for {tried})")

    def _open(self, symbol: Symbol) -> Any:
        path = self._path_of(symbol)
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: not a Parquet file ({error})") from error
        missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
        if missing:
            raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing")
        if not pa.types.is_timestamp(file.schema_arrow.field("open_time").type):
            raise DataError(f"{path}: expected open_time as a timestamp, was {file.schema_arrow.field('open_time').type}")
        if file.metadata.num_rows == 0:
            raise DataError(f"{path}: has no rows")
        return file

    def _ends(self, file: Any) -> tuple[int, int]:
        return self._group_ends(file, 0)[0], self._group_ends(file, file.num_row_groups - 1)[1]

    def _group_ends(self, file: Any, index: int) -> tuple[int, int]:
        column = file.schema_arrow.names.index("open_time")
        statistics = file.metadata.row_group(index).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            times = (
                file.read_row_group(index, columns=["open_time"]).column(0).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
            )
            return int(times[0].as_py()), int(times[-1].as_py())
        return _to_ms(statistics.min), _to_ms(statistics.max)


def _to_ms(value: Any) -> int:
    instant: datetime = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    return to_ms(instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC))
