"""Collects the facts about a folder of candles, a lake or recorded files. Faults are counted, not raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from local.cli.data.quality_json import gap_json, quality_json
from signalbox.adapters.lake.day_file import DayFile
from signalbox.adapters.lake.lake import BadDay
from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.series import CandleSeries, LakeSeries, series_by_venue
from signalbox.market.candles import MarketDataError, Symbol, from_ms, to_ms
from signalbox.market.clock import Gap
from signalbox.market.quality import SeriesQuality, assess, find_outages, newest_close, without_outages


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """The facts about one symbol. error: why none of it could be read; its quality then describes zero rows."""

    symbol: Symbol
    name: str
    quality: SeriesQuality
    bad_days: tuple[BadDay, ...] = ()
    error: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether all stored data can be used. Gaps are not a fault of the data."""
        return not (self.error or self.bad_days or self.quality.faults or self.quality.coarse_minutes)


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """The facts about every symbol of a venue in a folder. outages: minutes missing in all of them.

    now: the instant that staleness refers to.
    """

    folder: Path
    now: datetime
    series: tuple[SeriesFacts, ...]
    outages: tuple[Gap, ...]
    venue: str = ""  # "" for recorded files

    @property
    def newest(self) -> datetime | None:
        """The newest close of any symbol."""
        return newest_close([one.quality for one in self.series])

    @property
    def is_sound(self) -> bool:
        """Whether every symbol is sound."""
        return all(one.is_sound for one in self.series)

    def own_gaps(self, one: SeriesFacts) -> tuple[Gap, ...]:
        """Return the gaps of a symbol that are not outages of all symbols."""
        return without_outages(one.quality.gaps, self.outages)


@dataclass(frozen=True, slots=True)
class HeldElsewhere:
    """Minutes of a symbol that one venue lacks and another has: a fallback there could decide."""

    symbol: Symbol
    venue: str
    other: str
    minutes: int
    first: datetime


def read_facts(folder: Path, *, now: datetime) -> tuple[FolderFacts, ...]:
    """Read a folder and change nothing; one result a venue. Raises MarketDataError if it has no candles, or a symbol twice."""
    found = []
    for venue, every in series_by_venue(folder).items():
        series = tuple(_facts(one) for one in every)
        found.append(FolderFacts(folder, now, series, find_outages([one.quality for one in series]), venue))
    return tuple(found)


def held_by_others(venues: Sequence[FolderFacts]) -> tuple[HeldElsewhere, ...]:
    """Return, by symbol and venue, the minutes from the venue's first one on that it lacks and another venue has."""
    found = []
    for own in venues:
        for other in (one for one in venues if one is not own):
            theirs = {one.symbol: one.quality.present_ms for one in other.series}
            for one in own.series:
                there = theirs.get(one.symbol, np.empty(0, dtype=np.int64))
                absent = np.setdiff1d(there, one.quality.present_ms, assume_unique=True)
                if one.quality.first is not None:
                    absent = absent[absent >= to_ms(one.quality.first)]
                if absent.shape[0]:
                    first = from_ms(int(absent.min()))
                    found.append(HeldElsewhere(one.symbol, own.venue, other.venue, int(absent.shape[0]), first))
    return tuple(sorted(found, key=lambda one: (one.symbol, one.venue, one.other)))


def _facts(series: CandleSeries) -> SeriesFacts:
    if isinstance(series, LakeSeries):
        return _lake_facts(series)
    if not isinstance(series, RecordedFile):
        raise MarketDataError(f"{series.name} is neither a lake's series nor a recorded file")
    try:
        times, values = series.columns()
    except MarketDataError as error:
        return SeriesFacts(series.symbol, series.name, _nothing(series.symbol), error=str(error))
    return SeriesFacts(series.symbol, series.name, assess(series.symbol, times, values))


def _lake_facts(series: LakeSeries) -> SeriesFacts:
    found = [series.lake.inspect(key) for key in series.days]
    days = [day for day in found if isinstance(day, DayFile)]
    bad = tuple(day for day in found if isinstance(day, BadDay))
    if not days:
        return SeriesFacts(series.symbol, series.name, _nothing(series.symbol), bad, "none of its days can be read")
    times = np.concatenate([day.open_time_ms for day in days])
    values = [np.concatenate([day.columns[i] for day in days]) for i in range(5)]
    return SeriesFacts(series.symbol, series.name, assess(series.symbol, times, values), bad)


def _nothing(symbol: Symbol) -> SeriesQuality:
    return assess(symbol, np.empty(0, dtype=np.int64), [np.empty(0, dtype=np.float64)] * 5)


def to_json(facts: FolderFacts) -> dict[str, Any]:
    """Return the facts as `report.json` holds them."""
    newest = facts.newest
    return {
        "folder": facts.folder.name,
        **({"venue": facts.venue} if facts.venue else {}),
        "sound": facts.is_sound,
        "newest_close": None if newest is None else newest.isoformat(),
        "measured_at": facts.now.isoformat(),
        "symbols": {one.symbol: _series_json(one, facts, newest) for one in facts.series},
        "outages": [gap_json(gap) for gap in facts.outages],
        "outage_minutes": total_minutes(facts.outages),
    }


def _series_json(one: SeriesFacts, facts: FolderFacts, newest: datetime | None) -> dict[str, Any]:
    own = facts.own_gaps(one)
    return {
        "source": one.name,
        **quality_json(one.quality),
        "own_gaps": [gap_json(gap) for gap in own],
        "own_missing_minutes": total_minutes(own),
        "other_timeframe_minutes": one.quality.coarse_minutes,
        "stale_minutes": None if newest is None else one.quality.stale_minutes(newest),
        "age_minutes": one.quality.stale_minutes(facts.now),
        "bad_days": [{"path": bad.key.path, "fault": bad.fault.value, "detail": bad.detail} for bad in one.bad_days],
        "error": one.error,
        "sound": one.is_sound,
    }


def total_minutes(gaps: Sequence[Gap]) -> int:
    """Return the sum of the gaps' minutes."""
    return sum(gap.minutes for gap in gaps)
