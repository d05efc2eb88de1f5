"""Years of a venue's candles into day files. The files are the checkpoint: what is finished is not asked for again.

A day is asked for whole and written whole, so that whoever interrupts a run leaves whole days; the day in which `until` lies
is written as far as it goes and made again by the next run. The venue's rows are judged by `acceptance`, as the live ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.events import CollectionProblem
from signalbox.market.acceptance import accept_rows
from signalbox.market.candles import Candle, from_ms
from signalbox.market.collection import CandleSource, VenueError
from signalbox.market.lake import DayKey, SeriesKey, days_between


class DayArchive(Protocol):
    """Where days are kept."""

    def asked_until(self, key: DayKey) -> datetime | None:
        """Return until when the venue was asked for a day's candles; None when there is no file that may be read."""

    def write_day(self, key: DayKey, candles: Sequence[Candle], *, asked_until: datetime) -> bool:
        """Write a day as one step; False when the very file is there."""


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """What became of one day."""

    key: DayKey
    rows: int
    refused: tuple[str, ...]  # a reason each


def days_of(series: SeriesKey, since: datetime, until: datetime) -> tuple[DayKey, ...]:
    """Return the days from the one of `since`, whole, to the one of `until`, oldest first."""
    return tuple(DayKey(series, day) for day in days_between(since, until))


def open_days(days: Sequence[DayKey], until: datetime, archive: DayArchive) -> tuple[DayKey, ...]:
    """Return the days that are still to be asked for."""
    return tuple(key for key in days if not _is_done(archive.asked_until(key), min(key.end, until)))


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
        archive.write_day(key, accepted.candles, asked_until=end)
        yield DayOutcome(key, len(accepted.candles), accepted.refused)
