"""A back-fill asks for whole days, writes them once, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from typing_extensions import override

from signalbox.events import CollectionProblem
from signalbox.market.acceptance import RawRow
from signalbox.market.backfill import backfill, days_of, open_days
from signalbox.market.candles import Candle, Symbol, to_ms
from signalbox.market.collection import VenueError
from signalbox.market.compaction import StoredDay
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, NOON, candles, minutes

SERIES = SeriesKey("coinbase", BTC)
SINCE = NOON.replace(hour=0)
UNTIL = SINCE + timedelta(days=2, hours=6)


class Archive:
    def __init__(self) -> None:
        self.days: dict[DayKey, tuple[datetime, tuple[Candle, ...]]] = {}

    def asked_until(self, key: DayKey) -> datetime | None:
        return self.days[key][0] if key in self.days else None

    def stored(self, key: DayKey) -> StoredDay:
        return StoredDay(self.days[key][1] if key in self.days else (), None)

    def write_day(self, key: DayKey, candles: Sequence[Candle], *, asked_until: datetime) -> bool:
        self.days[key] = (asked_until, tuple(candles))
        return True


class Venue:
    venue = "coinbase"

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []
        self.oldest: datetime | None = None
        self.extra: list[RawRow] = []

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        self.asked.append((since, until))
        if self.oldest is not None:
            since, until = max(since, self.oldest), max(until, self.oldest + minutes(10))
        count = (until - since) // minutes(1)
        rows = [(to_ms(c.open_time), c.open, c.high, c.low, c.close, c.volume) for c in candles(symbol, until, count)]
        return rows + self.extra


def run(archive: Archive, venue: Venue, until: datetime = UNTIL, **options: Any) -> Any:
    days = open_days(days_of(SERIES, SINCE, until), until, archive)
    return list(backfill(days, until, source=venue, archive=archive, **options))


def test_days_are_asked_for_whole_and_the_last_one_as_far_as_it_goes() -> None:
    archive, venue = Archive(), Venue()
    got = run(archive, venue)
    day = timedelta(days=1)
    assert venue.asked == [(SINCE, SINCE + day), (SINCE + day, SINCE + 2 * day), (SINCE + 2 * day, UNTIL)]
    assert [o.rows for o in got] == [1440, 1440, 360]


def test_what_is_finished_is_not_asked_for_again_and_a_half_day_is_made_again() -> None:
    archive, venue = Archive(), Venue()
    run(archive, venue)
    assert run(archive, venue) == []
    assert [o.rows for o in run(archive, venue, UNTIL + timedelta(hours=6))] == [720]


def test_a_run_that_was_stopped_leaves_whole_days_and_is_continued() -> None:
    archive, venue, whole = Archive(), Venue(), Archive()
    seen = iter([False, True])
    assert len(run(archive, venue, stop=lambda: next(seen))) == 1
    assert len(run(archive, venue)) == 2
    run(whole, Venue())
    assert archive.days == whole.days


def test_refused_rows_are_told_and_left_out() -> None:
    venue = Venue()
    venue.extra = [(to_ms(SINCE), Decimal(1), Decimal(1), Decimal(1), Decimal(-1), Decimal(1))]
    (first, *_) = run(Archive(), venue)
    assert (first.rows, len(first.refused)) == (1440, 1)


def test_a_day_without_candles_is_finished_too() -> None:
    class Silent(Venue):
        @override
        def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
            return []

    archive = Archive()
    assert [o.rows for o in run(archive, Silent())] == [0, 0, 0]
    assert run(archive, Venue()) == []


def test_a_venue_that_keeps_no_such_history_is_named_and_nothing_is_written() -> None:
    archive, venue = Archive(), Venue()
    venue.oldest = UNTIL
    with pytest.raises(VenueError, match=r"the venue keeps no older candles; choose a later --start") as caught:
        run(archive, venue)
    assert caught.value.problem is CollectionProblem.VENUE_REFUSED
    assert archive.days == {}


def test_what_an_imported_file_knows_is_kept_where_the_venue_is_silent() -> None:
    archive, venue = Archive(), Venue()
    key = DayKey(SERIES, SINCE.date())
    known = candles(BTC, SINCE + minutes(20), 20)
    archive.write_day(key, known, asked_until=key.start)
    venue.oldest = SINCE + minutes(10)  # it forgot the first minutes
    (outcome,) = run(archive, venue, until=SINCE + minutes(20))
    asked, rows = archive.days[key]
    assert [row.open_time for row in rows] == [row.open_time for row in known]
    assert (outcome.kept, asked) == (10, SINCE + minutes(20))
    assert rows[:10] == tuple(known[:10])


def test_an_empty_answer_never_empties_a_day_that_has_rows() -> None:
    archive, venue = Archive(), Venue()
    key = DayKey(SERIES, SINCE.date())
    archive.write_day(key, known := candles(BTC, SINCE + minutes(20), 20), asked_until=key.start)
    venue.fetch = lambda *_: []  # type: ignore[method-assign]
    (outcome,) = run(archive, venue, until=SINCE + minutes(20))
    assert (archive.days[key][1], outcome.kept) == (tuple(known), 20)


def test_a_bar_the_venue_has_with_other_numbers_is_taken_and_counted() -> None:
    archive, venue = Archive(), Venue()
    key = DayKey(SERIES, SINCE.date())
    first, *rest = candles(BTC, SINCE + minutes(20), 20)
    archive.write_day(key, [replace(first, volume=first.volume + 1), *rest], asked_until=key.start)
    (outcome,) = run(archive, venue, until=SINCE + minutes(20))
    assert (archive.days[key][1][0], outcome.changed, outcome.kept) == (first, 1, 0)
