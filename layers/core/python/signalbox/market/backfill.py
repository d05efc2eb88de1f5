"""Writes years of a venue's candles into day files. The files are the checkpoint: finished days are not fetched again.

A day is fetched and written as a whole, so an interrupted run leaves only complete days. The day that contains `until` is written
up to `until` and fetched again by the next run. `acceptance` checks the venue's rows as it does live, and minutes without a trade
become flat bars in the same way (`empty_minutes`).

A day is finished when the venue was asked some time after the day ended, so that bars published late are included. A day without
any candle that follows days with candles is doubtful: the next run fetches it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from signalbox.events import CollectionProblem
from signalbox.market.acceptance import accept_rows
from signalbox.market.candles import ONE_MINUTE, Candle, from_ms
from signalbox.market.collection import CandleSource, VenueError, look_again
from signalbox.market.compaction import DayStore
from signalbox.market.empty_minutes import LEAD, OMITS_EMPTY_MINUTES, absent_minutes, empty_bars
from signalbox.market.lake import DayKey, SeriesKey, days_between

SETTLED_AFTER: Final = timedelta(minutes=10)  # after a day's end; until then a venue may still publish bars of the day


class DayArchive(DayStore, Protocol):
    """Stores day files."""

    def asked_until(self, key: DayKey) -> datetime | None:
        """Return up to which instant the venue was asked for a day's candles; None without a readable file."""


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """The result for one day."""

    key: DayKey
    rows: int
    refused: tuple[str, ...]  # one reason per refused row
    empty: int = 0  # minutes without a trade, among the rows
    kept: int = 0  # rows that the file had and the venue does not send now
    changed: int = 0  # rows that the file had with other numbers; the venue's are taken


def days_of(series: SeriesKey, since: datetime, until: datetime) -> tuple[DayKey, ...]:
    """Return all days from that of `since` to that of `until`, oldest first. The first day counts from midnight."""
    return tuple(DayKey(series, day) for day in days_between(since, until))


def open_days(days: Sequence[DayKey], until: datetime, archive: DayArchive, *, refresh_days: int = 0) -> tuple[DayKey, ...]:
    """Return the days that must still be fetched. refresh_days: number of newest days to fetch again."""
    fresh = until - timedelta(days=refresh_days)
    return tuple(
        key for key in days if (refresh_days and key.end > fresh) or not _is_done(archive.asked_until(key), min(key.end, until))
    )


def _is_done(asked: datetime | None, wanted: datetime) -> bool:
    return asked is not None and asked >= wanted


def backfill(
    days: Sequence[DayKey],
    until: datetime,
    *,
    source: CandleSource,
    archive: DayArchive,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[DayOutcome]:
    """Fetch these days in order and yield each one after it is written. `stop` is called between two days.

    Raises VenueError if the venue does not answer, or answers only with later candles because it keeps no older ones.
    """
    has_begun = False  # whether a day before had candles
    for key in days:
        if stop():
            return
        end = min(key.end, until)
        rows = source.fetch(key.series.symbol, key.start, end)
        if rows and from_ms(oldest := min(row[0] for row in rows)) >= end:
            raise VenueError(
                CollectionProblem.VENUE_REFUSED,
                f"{source.venue} {key.series.symbol}: expected candles of {key.day}, got the oldest from "
                f"{from_ms(oldest):%Y-%m-%d %H:%M}: the venue keeps no older candles; choose a later --start",
            )
        accepted = accept_rows(key.series.symbol, rows, since=key.start, until=end)
        empty: tuple[Candle, ...] = ()
        is_gappy = accepted.candles and absent_minutes(accepted.candles, key.start, end)
        if is_gappy and source.venue in OMITS_EMPTY_MINUTES:
            # start some time before the day, because a run of empty minutes may begin there
            looks = look_again(source, key.series.symbol, accepted, key.start - LEAD, end)
            empty = empty_bars(looks, key.start, end)
        held = {candle.open_time: candle for candle in archive.stored(key).candles}
        sent = {candle.open_time for candle in (*empty, *accepted.candles)}
        candles = _joined(held, accepted.candles, empty)
        archive.write_day(key, candles, asked_until=_asked_until(key, until, is_doubtful=has_begun and not sent))
        has_begun = has_begun or bool(candles)
        changed = sum(bar.open_time in held and held[bar.open_time] != bar for bar in candles)
        yield DayOutcome(key, len(candles), accepted.refused, len(empty), len(held.keys() - sent), changed)


def _joined(held: Mapping[datetime, Candle], sent: Sequence[Candle], empty: Sequence[Candle]) -> list[Candle]:
    """Return a day's rows, oldest first. The venue's bars win over the file's, and the file's over a minute taken for empty.

    A row that the venue does not send now stays: an answer may be short, and an imported file may know what a venue forgot.
    """
    found = dict(held)
    found.update((bar.open_time, bar) for bar in empty if bar.open_time not in held or not held[bar.open_time].volume)
    found.update((candle.open_time, candle) for candle in sent)
    return [found[at] for at in sorted(found)]


def _asked_until(key: DayKey, until: datetime, *, is_doubtful: bool) -> datetime:
    if is_doubtful:
        return key.start
    return key.end if until >= key.end + SETTLED_AFTER else min(until, key.end - ONE_MINUTE)
