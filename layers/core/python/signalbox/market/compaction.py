"""One run of compact_candles: the ledger's finished days become the lake's files.

A day is written when it has no file, and again while it is young: a candle may be announced days late. The ledger's rows win over
the file's, and rows the file alone has are kept: the ledger may have been emptied of old months. Everything is a function of
the two, so that a repeated run changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from signalbox.errors import SignalboxError
from signalbox.market.candles import Candle, MarketDataError, Symbol
from signalbox.market.lake import MINUTES_OF_DAY, DayFault, DayKey, SeriesKey, day_of, merge_rows

LOOKBACK_DAYS: Final = 3
MAX_DAYS: Final = 90  # of one run; a function that was off for a year catches up over several nights


class CompactionError(SignalboxError):
    """Some days could not be written; all others were."""


class CandleLedger(Protocol):
    """The ledger's candles by day."""

    def days(self, venue: str, symbol: Symbol, before: datetime) -> Sequence[date]:
        """Return the UTC days that have a candle with open_time < `before`, oldest first."""

    def candles(self, venue: str, symbol: Symbol, start: datetime, end: datetime) -> Sequence[Candle]:
        """Return the candles with start <= open_time < end, oldest first."""


@dataclass(frozen=True, slots=True)
class StoredDay:
    """The rows of a day in the lake. fault: why its file was bad; that file has been set aside."""

    candles: tuple[Candle, ...]
    fault: DayFault | None


class DayStore(Protocol):
    """Reads and writes day files."""

    def stored(self, key: DayKey) -> StoredDay:
        """Return a day's rows; an empty result if no valid file exists."""

    def write_day(self, key: DayKey, candles: Sequence[Candle], *, asked_until: datetime) -> bool:
        """Write a day atomically. Return False if the identical file exists."""


class DayLake(DayStore, Protocol):
    """The part of the lake that a compaction uses."""

    def days(self, series: SeriesKey) -> Sequence[DayKey]:
        """Return the days that have a file."""


@dataclass(frozen=True, slots=True)
class DayCompaction:
    """The result for one day."""

    key: DayKey
    rows: int
    changed: bool
    conflicts: tuple[datetime, ...]  # minutes on which the file and the ledger disagreed
    fault: DayFault | None  # of the file that was there
    error: str | None = None  # why it was not written

    @property
    def missing(self) -> int:
        """Minutes without a candle."""
        return MINUTES_OF_DAY - self.rows


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """The result of one run. left: days left for the next run."""

    days: tuple[DayCompaction, ...]
    left: int


def compact(
    scheduled_at: datetime,
    venues: tuple[str, ...],  # no Sequence: a lone name is one too
    symbols: Sequence[Symbol],
    *,
    ledger: CandleLedger,
    lake: DayLake,
    lookback_days: int = LOOKBACK_DAYS,
    max_days: int = MAX_DAYS,
) -> CompactionReport:
    """Write the days that had ended by `scheduled_at`: recent ones first, then days without a file, oldest first.

    venues: the stage's own and its fallbacks; each has day files of its own.

    Raises the errors of the ledger and of the lake's storage. A day whose rows break a rule is reported and stops no other.
    """
    today = DayKey(SeriesKey(venues[0], symbols[0]), day_of(scheduled_at)).start
    young, old = [], []
    for series in (SeriesKey(venue, symbol) for venue in venues for symbol in symbols):
        there = {key.day for key in lake.days(series)}
        for day in ledger.days(series.venue, series.symbol, today):
            key = DayKey(series, day)
            if today - key.start <= timedelta(days=lookback_days):
                young.append(key)
            elif day not in there:
                old.append(key)
    wanted = young + sorted(old, key=lambda key: (key.day, key.series))
    done = tuple(_compact_day(key, ledger, lake) for key in wanted[:max_days])
    return CompactionReport(done, len(wanted) - len(done))


def _compact_day(key: DayKey, ledger: CandleLedger, lake: DayLake) -> DayCompaction:
    stored = lake.stored(key)
    merged = merge_rows(stored.candles, ledger.candles(key.series.venue, key.series.symbol, key.start, key.end))
    try:
        changed = lake.write_day(key, merged.candles, asked_until=key.end)
    except MarketDataError as error:
        return DayCompaction(key, len(merged.candles), changed=False, conflicts=(), fault=stored.fault, error=str(error))
    return DayCompaction(key, len(merged.candles), changed, merged.conflicts, stored.fault)
