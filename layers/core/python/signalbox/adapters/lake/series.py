"""The one reader of candles on disk: a lake or a folder of recorded files, as one series for each symbol.

Training, the demo, the features and the reports all use `find_series`; none of them knows the file layout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from signalbox.adapters.lake.day_file import DayFile
from signalbox.adapters.lake.lake import BadDay, Lake, minute_series
from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.stores import FolderStore
from signalbox.contracts import SYMBOLS
from signalbox.market.candles import ONE_MINUTE, Bars, MarketDataError, Symbol, from_ms
from signalbox.market.lake import CANDLES, SYNTHETIC, DayKey, SeriesKey

_FILE: Final = re.compile(r"^([A-Z0-9]{2,12}-[A-Z0-9]{2,12})-1m\.parquet$")
_OTHER_FRAME: Final = re.compile(r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}-(\d+[mhdw])\.parquet$")
_DOLLARS: Final = frozenset({"USD", "USDT", "USDC"})  # quotes that count as US dollars
_SHOWN: Final = 3  # files that a message names
_MAX_ENTRIES: Final = 1_000  # entries of a folder, to say what is in it
_EXPECTED: Final = "expected candles such as BTC-USDT-1m.parquet, or a lake (candles/venue=...)"


class CandleSeries(Protocol):
    """One symbol's one-minute candles, wherever they are stored. Methods raise MarketDataError."""

    @property
    def symbol(self) -> Symbol:
        """The canonical symbol. All dollar quotes are written as USD."""

    @property
    def name(self) -> str:
        """The name recorded as the data's source. It contains no path of this machine."""

    def sha256(self) -> str:
        """Return a hash that changes when any candle does."""

    def ends(self) -> tuple[datetime, datetime]:
        """Return the first open_time and the close_time of the last bar."""

    def bars(self, start: datetime | None = None, end: datetime | None = None) -> Bars:
        """Return the bars with start <= open_time < end. Missing minutes stay missing. None means no bound."""


@dataclass(frozen=True)
class LakeSeries:
    """One symbol of one venue in a lake. Bad days go to quarantine, are logged, and leave gaps in the bars."""

    symbol: Symbol
    lake: Lake
    key: SeriesKey
    days: tuple[DayKey, ...]

    @property
    def name(self) -> str:
        place = self.key.prefix.rstrip("/")
        return f"synthetic candles, of no market: {place}" if self.key.venue == SYNTHETIC else place

    def sha256(self) -> str:
        """Return a sha256 of the checksums of all readable days."""
        found = hashlib.sha256()
        for day in self.lake.read_days(self.days):
            if isinstance(day, DayFile):
                found.update(f"{day.key.path} {day.checksum}\n".encode())
        return found.hexdigest()

    def ends(self) -> tuple[datetime, datetime]:
        first, last = self._first_with_candles(self.days), self._first_with_candles(self.days[::-1])
        if first is None or last is None:
            raise MarketDataError(f"{self.name}: holds no candles that can be read; collect them again")
        return from_ms(int(first.open_time_ms[0])), from_ms(int(last.open_time_ms[-1])) + ONE_MINUTE

    def bars(self, start: datetime | None = None, end: datetime | None = None) -> Bars:
        return replace(self.lake.read(self.key, start, end).bars, symbol=self.symbol)

    def _first_with_candles(self, days: Sequence[DayKey]) -> DayFile | None:
        found = (day for day in self.lake.read_days(days) if not isinstance(day, BadDay))
        return next((day for day in found if len(day)), None)


def canonical_symbol(pair: str) -> Symbol:
    """Return the product's symbol for a trading pair: BTC-USDT serves as BTC-USD."""
    base, _, quote = pair.partition("-")
    return Symbol(f"{base}-USD" if quote in _DOLLARS else pair)


def find_series(folder: Path) -> tuple[CandleSeries, ...]:
    """Return the series of a lake (given its root, its `candles` folder or one `venue=...`) or of a folder of recorded files.

    The result is in the product's symbol order. Raises MarketDataError as `every_series`, and for two series of one symbol.
    """
    return _in_order(every_series(folder))


def series_by_venue(folder: Path) -> dict[str, tuple[CandleSeries, ...]]:
    """Return the series of each venue, each in the product's symbol order. Recorded files have the venue "".

    Raises MarketDataError as `every_series`, and for two series of one symbol and venue.
    """
    found: dict[str, list[CandleSeries]] = {}
    for one in every_series(folder):
        found.setdefault(one.key.venue if isinstance(one, LakeSeries) else "", []).append(one)
    return {venue: _in_order(found[venue]) for venue in sorted(found)}


def every_series(folder: Path) -> Sequence[CandleSeries]:
    """Return all series of a folder like `find_series`; a symbol of several venues has one series for each.

    Raises MarketDataError if the folder is missing or holds no series, or if it holds both a lake and recorded files.
    """
    if not folder.is_dir():
        raise MarketDataError(f"{folder} is not a directory: {_EXPECTED}")
    recorded = [path for path in sorted(folder.iterdir()) if _FILE.match(path.name)]
    in_lake = _lake_series(folder)
    if recorded and in_lake:
        raise MarketDataError(f"{folder} holds both a lake and {recorded[0].name}; keep them in folders of their own")
    files = [RecordedFile(canonical_symbol(path.name.removesuffix("-1m.parquet")), path) for path in recorded]
    series: Sequence[CandleSeries] = in_lake or files
    if not series:
        raise MarketDataError(f"{folder}: {_EXPECTED}, found none{_other_frames(folder)}; {_seen(folder)}")
    return series


def lake_of(folder: Path) -> tuple[Lake, str] | None:
    """Return the lake that a folder belongs to, and the venue that the folder selects ("" for all); None if it is no lake."""
    if folder.name.startswith("venue=") and folder.parent.name == CANDLES:
        return Lake(FolderStore(folder.parent.parent)), folder.name.removeprefix("venue=")
    for root in (folder, folder.parent):
        top = root / CANDLES
        if folder in {top, root} and top.is_dir() and any(top.glob("venue=*")):
            return Lake(FolderStore(root)), ""
    return None


def _lake_series(folder: Path) -> list[LakeSeries]:
    if (found := lake_of(folder.absolute())) is None:
        return []
    lake, venue = found
    days = [day for day in lake.days() if venue in ("", day.series.venue)]
    series = [
        LakeSeries(canonical_symbol(key.symbol), lake, key, tuple(day for day in days if day.series == key))
        for key in minute_series(days)
    ]
    if days and not series:
        frames = ", ".join(sorted({day.series.timeframe for day in days}))
        raise MarketDataError(f"{folder}: expected 1-minute candles, holds {frames} only")
    return series


def _other_frames(folder: Path) -> str:
    frames = sorted({match[1] for path in folder.iterdir() if (match := _OTHER_FRAME.match(path.name))})
    return f" of 1 minute (there are {', '.join(frames)})" if frames else ""


def _seen(folder: Path) -> str:
    """Return which files there are instead, and what makes candles of them."""
    names = []
    for place, path in enumerate(folder.rglob("*")):
        if place == _MAX_ENTRIES:
            break
        if path.is_file() and not path.name.startswith("."):
            names.append(path.relative_to(folder).as_posix())
    if not names:
        return "the folder is empty: collect some there (signalbox collect), or make a trial lake (signalbox data sample)"
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it holds {shown}{more}: convert them with signalbox data import {folder} --out LAKE"


_Series = TypeVar("_Series", bound=CandleSeries)


def _in_order(series: Sequence[_Series]) -> tuple[_Series, ...]:
    found: dict[Symbol, _Series] = {}
    for one in series:
        if one.symbol in found:
            raise MarketDataError(
                f"{one.name}: {found[one.symbol].name} also holds {one.symbol}; keep one of them, or name one venue's folder"
            )
        found[one.symbol] = one
    order = {name: place for place, name in enumerate(SYMBOLS)}
    return tuple(found[s] for s in sorted(found, key=lambda symbol: (order.get(symbol, len(order)), symbol)))


def require_bars(series: CandleSeries, start: datetime | None = None, end: datetime | None = None) -> Bars:
    """Return the bars of a period. Raises MarketDataError if there are none."""
    bars = series.bars(start, end)
    if not len(bars):
        raise MarketDataError(f"{series.name}: expected candles between --start and --end, found none")
    return bars
