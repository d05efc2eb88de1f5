"""Recognises a file before any of it is imported: its format, symbol and venue, and the meaning of each column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from local.cli.data.importing.columns import BINANCE, ColumnOptions, ColumnPlan, plan_columns
from local.cli.data.importing.files import ImportFile, ImportFileError
from local.cli.data.importing.names import ONE_MINUTE_NAMES, NameFacts, facts_of_name, split_pair
from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.tables import TableFile, open_table
from local.cli.data.importing.times import UNREADABLE, TimeReader
from signalbox.market.candles import MINUTE_MS, MarketDataError, Symbol
from signalbox.market.lake import SeriesKey

_KNOWS_VOLUME: Final = frozenset({"Binance public data", "Binance klines", "freqtrade", "CryptoDataDownload"})
_FEWEST: Final = 3  # rows by which a timeframe is told


@dataclass(frozen=True, slots=True)
class RecognisedFile:
    """A file that will be read, with the meaning of its content. shown_time: the format of its times."""

    file: ImportFile
    kind: str
    series: SeriesKey
    plan: ColumnPlan
    table: TableFile
    zone: str | None
    shown_time: str


def recognise(file: ImportFile, request: ImportRequest) -> RecognisedFile:
    """Recognise a file. Raises ImportFileError that says why it cannot be imported, or which option decides."""
    name = facts_of_name(file.named)
    if name.refusal:
        raise ImportFileError(f"holds {name.refusal} ({name.kind})")
    if name.timeframe is not None and name.timeframe not in ONE_MINUTE_NAMES:
        raise ImportFileError(f"holds {name.timeframe} candles; Signalbox computes with 1-minute candles")
    table = open_table(file, request.columns.names)
    kind = _kind(name, table)
    symbol = _symbol(name, request)
    plan = _plan(table, symbol, request.columns, kind)
    first = next(table.blocks(places_of(plan)), None)
    if first is None or not len(first[0]):
        raise ImportFileError("holds no rows")
    if plan.symbol is not None:
        symbol = _one_symbol(first[-1], symbol, told=request.symbol)
        plan = _plan(table, symbol, request.columns, kind)
    if symbol is None:
        raise ImportFileError("neither its name nor a column says which symbol it holds; give --symbol BTC-USD")
    venue = _venue(name, table, kind, request)
    zone = "UTC" if kind == "CryptoDataDownload" or plan.is_utc else request.time_zone
    reader = TimeReader(plan.names[plan.time], zone)
    _require_minutes(reader.read(first[0]))
    try:
        series = SeriesKey(venue, Symbol(symbol))
    except MarketDataError as error:
        raise ImportFileError(str(error)) from error
    shown = reader.shown.partition(" (")[0]
    return RecognisedFile(file, kind, series, plan, table, zone, shown)


def places_of(plan: ColumnPlan) -> tuple[int, ...]:
    """Return the numbers of the columns to read: time, open, high, low, close, volume (base or quote), and symbol if present."""
    volume = plan.volume if plan.volume is not None else plan.quote_volume
    if volume is None:
        raise ImportFileError("no column for volume")
    return (plan.time, *plan.prices, volume, *(() if plan.symbol is None else (plan.symbol,)))


def _plan(table: TableFile, symbol: str | None, options: ColumnOptions, kind: str) -> ColumnPlan:
    return plan_columns(table.names, symbol, options, knows_volume=kind in _KNOWS_VOLUME)


def _kind(name: NameFacts, table: TableFile) -> str:
    names = tuple(one.strip().lower() for one in table.names)
    if names[: len(BINANCE) - 1] == BINANCE[:-1]:
        return "Binance public data"
    if table.kind in _KNOWS_VOLUME:
        return table.kind
    if name.kind == "freqtrade" and {"date", "volume"} <= set(names):
        return "freqtrade"
    return f"{table.kind} with named columns"


def _symbol(name: NameFacts, request: ImportRequest) -> str | None:
    told = None if request.symbol is None else split_pair(request.symbol)
    if request.symbol is not None and told is None:
        raise ImportFileError(f"--symbol: expected a pair such as BTC-USD, got {request.symbol}")
    if told and name.symbol and told != name.symbol and name.kind != "file":
        raise ImportFileError(f"its name says {name.symbol}, --symbol says {told}")
    return told or name.symbol


def _one_symbol(column: Any, symbol: str | None, *, told: str | None) -> str:
    found = column.drop_null().unique().to_pylist()
    if len(found) != 1:
        raise ImportFileError(f"holds {len(found)} symbols ({', '.join(map(str, found[:4]))}); expected one symbol per file")
    pair = split_pair(str(found[0]))
    if pair is None and symbol is not None and str(found[0]).upper() in {symbol.replace("-", ""), symbol.partition("-")[0]}:
        pair = symbol
    if pair is None:
        if told is not None and symbol is not None:
            return symbol
        raise ImportFileError(f"its symbol {str(found[0])[:30]!r} can be read in several ways; give --symbol BTC-USD")
    if symbol is not None and pair != symbol:
        raise ImportFileError(f"its column says {pair}, its name or --symbol says {symbol}")
    return pair


def _venue(name: NameFacts, table: TableFile, kind: str, request: ImportRequest) -> str:
    if request.venue is not None:
        return request.venue.lower()
    if name.is_futures and name.venue != "binanceusdm":
        raise ImportFileError("a perpetual future, not the spot market; give --venue NAME to import it anyway")
    if name.venue is not None:
        return name.venue
    if kind.startswith("Binance"):
        if table.has_header and name.kind == "Binance public data":
            raise ImportFileError(
                "a Binance file with a header may be of spot or of USD-M futures; give --venue binance or --venue binanceusdm"
            )
        return "binance"
    raise ImportFileError("neither its name nor its folder names the venue; give --venue NAME")


def _require_minutes(times: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    known = np.sort(times[times != UNREADABLE])
    if not len(known):
        raise ImportFileError("none of its times can be read; expected Unix times or ISO 8601")
    steps = np.diff(known)
    steps = steps[steps > 0]
    if len(steps) < _FEWEST:
        return
    typical = int(np.median(steps))
    if (
        typical > MINUTE_MS
        and int((steps == MINUTE_MS).sum()) * 20 < len(steps)
        and int((steps == typical).sum()) * 2 > len(steps)
        and not int(((known - known[0]) % typical).any())  # minutes of a thin market are apart, but on no grid of their own
    ):
        raise ImportFileError(f"holds {typical // MINUTE_MS}-minute candles; Signalbox computes with 1-minute candles")
    if typical < MINUTE_MS:
        raise ImportFileError(f"has a row every {typical / 1000:g} s: trades or shorter candles; expected 1-minute candles")
