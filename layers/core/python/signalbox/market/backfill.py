"""Years of a venue's candles into day files. The files are the checkpoint: what is finished is not asked for again.

A day is asked for whole and written whole, so that whoever interrupts a run leaves whole days; the day in which `until` lies
is written as far as it goes and made again by the next run. The venue's rows are judged by `acceptance`, as the live ones are,
and minutes without a trade become flat bars as they do there (`empty_minutes`).

A day is finished when the venue was asked for it some time after it ended, so that bars which it published late are in it. A
day without any candle behind days that have some is an answer to be doubted: the next run asks again.
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
from signalbox.market.compaction import StoredDay
from signalbox.market.empty_minutes import LEAD, OMITS_EMPTY_MINUTES, absent_minutes, empty_bars
from signalbox.market.lake import DayKey, SeriesKey, days_between

SETTLED_AFTER: Final = timedelta(minutes=10)  # a day's end; until then a venue may still publish bars of it


class DayArchive(Protocol):
    """Where days are kept."""

    def asked_until(self, key: DayKey) -> datetime | None:
        """Return until when the venue was asked for a day's candles; None when there is no file that may be read."""

    def stored(self, key: DayKey) -> StoredDay:
        """Return a day's rows; none when there is no file that may be read."""

    def write_day(self, key: DayKey, candles: Sequence[Candle], *, asked_until: datetime) -> bool:
        """Write a day as one step; False when the very file is there."""


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """What became of one day."""

    key: DayKey
    rows: int
    refused: tuple[str, ...]  # a reason each
    empty: int = 0  # minutes without a trade, among the rows
    kept: int = 0  # rows that the file had and the venue does not send now
    changed: int = 0  # rows that the file had with other numbers; the venue's are taken


def days_of(series: SeriesKey, since: datetime, until: datetime) -> tuple[DayKey, ...]:
    """Return the days from the one of `since`, whole, to the one of `until`, oldest first."""
    return tuple(DayKey(series, day) for day in days_between(since, until))


def open_days(days: Sequence[DayKey], until: datetime, archive: DayArchive, *, refresh_days: int = 0) -> tuple[DayKey, ...]:
    """Return the days that are still to be asked for. `refresh_days`: so many of the newest ones are asked for again."""
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
    """Ask for these days in order and yield each once it is written; `stop` is asked between two days.

    Raises VenueError when the venue does not answer, or answers with later candles only (it keeps no such history).
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
                f"{source.venue} {key.series.symbol}: asked for {key.day}, it answers with candles from "
                f"{from_ms(oldest):%Y-%m-%d %H:%M} on: it keeps no older ones; choose a later --start",
            )
        accepted = accept_rows(key.series.symbol, rows, since=key.start, until=end)
        empty: tuple[Candle, ...] = ()
        is_gappy = accepted.candles and absent_minutes(accepted.candles, key.start, end)
        if is_gappy and source.venue in OMITS_EMPTY_MINUTES:
            # from some time before the day on: a run of empty minutes may begin there
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
