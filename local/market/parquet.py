"""Recorded candles for a replay: a lake or `BASE-QUOTE-1m.parquet` files, read by the library's one reader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from local.errors import DataError
from local.market.source import HistoryCoverage
from signalbox.adapters.lake.series import CandleSeries, LakeSeries, find_series
from signalbox.market.candles import Bars, MarketDataError, Symbol
from signalbox.market.clock import cycle_of
from signalbox.market.lake import SYNTHETIC


class ParquetSource:
    """A folder of candles. Raises DataError if a symbol is missing or its candles cannot be read."""

    def __init__(self, folder: Path, symbols: Sequence[Symbol]) -> None:
        self._folder = folder
        try:
            found = {series.symbol: series for series in find_series(folder)}
        except MarketDataError as error:
            raise DataError(str(error)) from error
        if missing := [symbol for symbol in symbols if symbol not in found]:
            raise DataError(f"{folder}: has no candles of {', '.join(missing)}, only of {', '.join(found)}")
        self._series: dict[Symbol, CandleSeries] = {symbol: found[symbol] for symbol in symbols}
        self.coverage(symbols)

    @property
    def name(self) -> str:
        synthetic = any(isinstance(one, LakeSeries) and one.key.venue == SYNTHETIC for one in self._series.values())
        return f"synthetic candles, of no market, in {self._folder}" if synthetic else f"recorded candles in {self._folder}"

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:
        try:
            ends = [self._series[symbol].ends() for symbol in symbols]
        except MarketDataError as error:
            raise DataError(f"{self._folder}: {error}") from error
        return HistoryCoverage(max(e[0] for e in ends), min(e[1] for e in ends))

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:
        return cycle_of(self.coverage(symbols).last)

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        try:
            return self._series[symbol].bars(start, end)
        except MarketDataError as error:
            raise DataError(f"{self._folder}: {error}") from error
