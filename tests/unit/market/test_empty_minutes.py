"""Minutes without a trade, bars that come late, and gaps: told apart live and in a back-fill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.events import CandlesClosed, CollectionProblem
from signalbox.events import Event as BusEvent
from signalbox.market import collection
from signalbox.market.acceptance import RawRow, accept_rows, merge_looks
from signalbox.market.backfill import SETTLED_AFTER, DayOutcome, backfill, days_of, open_days
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol, to_ms
from signalbox.market.collection import CollectionReport, LookAgain, VenueError, VenuePulse, candles_of, collect
from signalbox.market.empty_minutes import LONGEST_RUN, OMITS_EMPTY_MINUTES, empty_bars
from signalbox.market.lake import SeriesKey
from tests.builders import BTC, ETH, NOON, minutes
from tests.fakes.candle_venues import FORMS
from tests.unit.market.test_collection import MemoryBus, MemoryCursors
from tests.unit.market.test_history import Archive

START = NOON - timedelta(hours=3)
STOPPED = NOON - timedelta(minutes=3)


@dataclass
class Exchange:
    """A market in which nobody trades in `quiet` minutes. A bar of `late` is there from the look with that number on."""

    venue: str = "coinbase"
    quiet: frozenset[datetime] = frozenset()
    flat: frozenset[datetime] = frozenset()  # of the quiet ones: those of which it publishes a flat bar after all
    late: dict[datetime, int] = field(default_factory=dict)
    bad: frozenset[datetime] = frozenset()
    broken_from: int = 99
    is_open: bool = True  # whether somebody has traded in the minute that is still open
    looks: dict[Symbol, int] = field(default_factory=dict)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        look = self.looks[symbol] = self.looks.get(symbol, 0) + 1
        self.asked.append((since, until))
        if look >= self.broken_from:
            raise VenueError(CollectionProblem.VENUE_TIMEOUT, "no answer")
        rows: list[RawRow] = []
        for i in range((until - since) // ONE_MINUTE):
            minute = since + i * ONE_MINUTE
            if minute in self.quiet and minute in self.flat:
                before = price(next(m for i in range(1, 99) if (m := minute - i * ONE_MINUTE) not in self.quiet))
                rows.append((to_ms(minute), before, before, before, before, Decimal(0)))
                continue
            if minute in self.quiet or self.late.get(minute, 0) > look or (minute >= NOON and not self.is_open):
                continue
            close = Decimal(-1) if minute in self.bad else price(minute)
            rows.append((to_ms(minute), price(minute), price(minute) + 1, price(minute) - 1, close, Decimal(3)))
        return rows


@dataclass
class TellingExchange(Exchange):
    """An exchange that shows its trades, one in the middle of each minute that is not quiet. `known`: how far back they go."""

    known: int = 90
    asked_for_trades: int = 0
    thin: Symbol | None = None  # only this symbol is quiet; None: every one
    stands_still: bool = False  # nothing is published any more of the last minutes, though everybody trades on

    @override
    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        rows = super().fetch(symbol, since, until)
        if self.stands_still:
            return [row for row in rows if row[0] < to_ms(STOPPED)]
        if self.thin in {None, symbol}:
            return rows
        return replace(self, thin=None, quiet=frozenset(), late={}).fetch(symbol, since, until)

    def trade_times(self, symbol: Symbol) -> Sequence[datetime]:
        self.asked_for_trades += 1
        newest = range(1 if self.is_open else 0, -self.known, -1)
        made = (NOON + (i - 1) * ONE_MINUTE for i in newest)
        still = STOPPED if self.stands_still else NOON + ONE_MINUTE
        return [minute + ONE_MINUTE / 2 for minute in made if minute not in self.quiet and minute < still]


def price(minute: datetime) -> Decimal:
    return Decimal(1000 + to_ms(minute) // 60_000 % 97)


class HeardPulse(VenuePulse):
    """Knows when every symbol's first answer has been seen, as it has after a pause of real seconds."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self._left, self.is_heard = symbols, Event()

    @override
    def saw(self, candles: Sequence[Candle]) -> None:
        super().saw(candles)
        self._left -= 1
        if self._left <= 0:
            self.is_heard.set()


@dataclass
class Run:
    exchange: Exchange
    pauses: list[float] = field(default_factory=list)
    bus: MemoryBus = field(default_factory=MemoryBus)

    def collect(self, symbols: Sequence[Symbol] = (BTC,)) -> CollectionReport:
        cursors = MemoryCursors()
        cursors.at = dict.fromkeys(((self.exchange.venue, symbol) for symbol in symbols), NOON - minutes(6))
        pulse = HeardPulse(len(symbols))

        def pause(seconds: float) -> None:
            assert pulse.is_heard.wait(timeout=20)
            self.pauses.append(seconds)

        again = LookAgain(pause=pause, monotonic=lambda: sum(self.pauses))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(collection, "VenuePulse", lambda: pulse)
            return collect(NOON, symbols, source=self.exchange, cursors=cursors, bus=self.bus, again=again)

    def candles(self, symbol: Symbol = BTC) -> dict[datetime, Candle]:
        events: list[BusEvent] = self.bus.events
        return {
            c.open_time: c
            for e in events
            if isinstance(e, CandlesClosed)
            for s in e.symbols
            if s.symbol == symbol
            for c in candles_of(s)
        }


QUIET = st.sets(st.integers(0, 179), max_size=170)


@given(QUIET)
def test_two_looks_give_what_a_venue_that_publishes_flat_bars_gives(quiet: set[int]) -> None:
    times = frozenset(START + i * ONE_MINUTE for i in quiet)
    exchange = Exchange(quiet=times)
    rows = [exchange.fetch(BTC, START, NOON + ONE_MINUTE) for _ in range(2)]
    first, second = (accept_rows(BTC, one, since=START, until=NOON) for one in rows)
    looks = merge_looks(first, second)
    found = {bar.open_time: bar for bar in empty_bars(looks, START, NOON)}
    before: Candle | None = None
    run = 0
    there = {c.open_time: c for c in looks.candles}
    for i in range(180):
        minute = START + i * ONE_MINUTE
        if minute in there:
            before, run = there[minute], 0
            assert minute not in found
            continue
        run = 1 + sum(1 for _ in _behind(minute, times)) + sum(1 for _ in _ahead(minute, times))
        if before is None or run * ONE_MINUTE > LONGEST_RUN:
            assert minute not in found
        else:
            bar = found[minute]
            assert {bar.open, bar.high, bar.low, bar.close} == {before.close}
            assert bar.volume == 0


def _behind(minute: datetime, quiet: frozenset[datetime]) -> Iterator[datetime]:
    while (minute := minute - ONE_MINUTE) in quiet:
        yield minute


def _ahead(minute: datetime, quiet: frozenset[datetime]) -> Iterator[datetime]:
    while (minute := minute + ONE_MINUTE) in quiet:
        yield minute


def test_a_quiet_minute_costs_one_more_look_two_seconds_later() -> None:
    quiet = NOON - minutes(3)
    run = Run(Exchange(quiet=frozenset({quiet})))
    report = run.collect()
    assert run.pauses == [2.0]
    assert (run.candles()[quiet].close, run.candles()[quiet].volume) == (price(quiet - ONE_MINUTE), Decimal(0))
    assert (report.symbols[0].empty, report.symbols[0].problem) == (1, None)


def test_a_bar_that_comes_late_is_waited_for_and_the_wait_is_announced() -> None:
    newest = NOON - ONE_MINUTE
    run = Run(Exchange(late={newest: 3}, is_open=False))
    run.collect()
    assert run.pauses == [2.0, 8.0]
    assert run.candles()[newest].volume == 3
    (event,) = run.bus.events
    assert isinstance(event, CandlesClosed)
    assert event.waited_seconds == 10
    assert event.to_detail()["waited_seconds"] == 10


def test_a_newest_minute_that_nothing_follows_stays_absent() -> None:
    run = Run(Exchange(quiet=frozenset({NOON - ONE_MINUTE}), is_open=False))
    run.collect()
    assert run.pauses == [2.0, 8.0, 10.0, 20.0]
    assert max(run.candles()) == NOON - minutes(2)


def test_nothing_is_asked_again_when_everything_is_there_and_the_event_is_as_before() -> None:
    run = Run(Exchange())
    run.collect()
    assert run.pauses == []
    assert "waited_seconds" not in run.bus.events[0].to_detail()


def test_an_absent_bar_of_a_venue_that_publishes_flat_ones_stays_a_gap() -> None:
    quiet = NOON - minutes(3)
    run = Run(Exchange("binance", quiet=frozenset({quiet})))
    run.collect()
    assert quiet not in run.candles()
    assert sum(run.pauses) == 40


def test_a_refused_row_is_no_empty_minute_nor_is_what_lies_behind_it() -> None:
    bad, quiet = NOON - minutes(4), NOON - minutes(3)
    run = Run(Exchange(bad=frozenset({bad}), quiet=frozenset({quiet})))
    run.collect()
    assert not {bad, quiet} & run.candles().keys()


def test_a_run_of_empty_minutes_is_longer_than_the_window_asked_for() -> None:
    quiet = frozenset(NOON - minutes(i) for i in range(1, 31))
    run = Run(Exchange(quiet=quiet))
    report = run.collect()
    assert report.symbols[0].problem is None
    assert {c.close for c in run.candles().values()} == {price(NOON - minutes(31))}
    assert max(run.candles()) == NOON - ONE_MINUTE


def test_more_than_half_an_hour_without_a_bar_may_be_an_outage_and_stays_a_gap() -> None:
    run = Run(Exchange(quiet=frozenset(NOON - minutes(i) for i in range(1, 32))))
    assert run.collect().symbols[0].problem is CollectionProblem.NO_CANDLES


@pytest.mark.parametrize("step", [2, 3, 5, 15, 30])
def test_bars_of_a_longer_timeframe_have_no_empty_minutes_between_them(step: int) -> None:
    between = frozenset(MIDNIGHT + i * ONE_MINUTE for i in range(-1440, 2880) if i % step)
    live = Run(Exchange(quiet=between))
    assert live.collect().symbols[0].empty == 0
    archive = Archive()
    (day, *_) = fill(archive, Exchange(quiet=between), MIDNIGHT + timedelta(days=1, minutes=30))
    assert (day.rows, day.empty) == (1440 // step, 0)


def test_a_second_look_that_fails_leaves_what_the_first_one_brought() -> None:
    run = Run(Exchange(late={NOON - ONE_MINUTE: 3}, broken_from=2))
    assert run.collect().symbols[0].problem is None
    assert max(run.candles()) == NOON - minutes(2)


def test_looks_end_before_the_function_does() -> None:
    exchange = Exchange(late={NOON - ONE_MINUTE: 99}, is_open=False)
    slow = iter(range(0, 10_000, 20))
    cursors, paused = MemoryCursors(), list[float]()
    again = LookAgain(pause=paused.append, monotonic=lambda: float(next(slow)))
    collect(NOON, (BTC,), source=exchange, cursors=cursors, bus=MemoryBus(), again=again)
    assert len(paused) <= 3


def test_a_minute_that_an_earlier_run_looked_at_costs_no_second_look() -> None:
    run = Run(Exchange(quiet=frozenset({NOON - minutes(8)})))
    run.collect()
    assert run.pauses == []


def test_a_start_looks_twice_at_all_its_history() -> None:
    quiet = NOON - minutes(800)
    run = Run(Exchange(quiet=frozenset({quiet})))
    again = LookAgain(pause=run.pauses.append, monotonic=lambda: 0.0)
    collect(NOON, (BTC,), source=run.exchange, cursors=MemoryCursors(), bus=run.bus, again=again)
    assert run.pauses == [2.0]
    assert run.candles()[quiet].volume == 0


def test_a_symbol_that_is_complete_is_not_asked_again_for_another_ones_sake() -> None:
    exchange = Exchange()
    run = Run(exchange)
    exchange.late = {}
    run.collect((BTC, ETH))
    assert exchange.looks == {BTC: 1, ETH: 1}


def test_the_venues_that_omit_empty_minutes_are_those_of_the_conformance_tests() -> None:
    assert {form.name for form in FORMS if form.omits_quiet} == OMITS_EMPTY_MINUTES


MIDNIGHT = NOON.replace(hour=0)
SERIES = SeriesKey("coinbase", BTC)


def fill(
    archive: Archive, exchange: Exchange, until: datetime, *, since: datetime = MIDNIGHT, refresh_days: int = 0
) -> list[DayOutcome]:
    days = open_days(days_of(SERIES, since, until), until, archive, refresh_days=refresh_days)
    return list(backfill(days, until, source=exchange, archive=archive))


def test_a_back_fill_writes_empty_minutes_also_at_the_start_of_a_day() -> None:
    quiet = frozenset({MIDNIGHT, MIDNIGHT + ONE_MINUTE, MIDNIGHT + minutes(700)})
    archive = Archive()
    (day,) = fill(archive, Exchange(quiet=quiet), MIDNIGHT + timedelta(days=1, minutes=30))[:1]
    assert (day.rows, day.empty) == (1440, 3)
    ((_, rows), *_) = archive.days.values()
    assert rows[0].close == price(MIDNIGHT - ONE_MINUTE)


def test_a_day_is_finished_only_some_time_after_its_end() -> None:
    archive, end = Archive(), MIDNIGHT + timedelta(days=1)
    exchange = Exchange("binance", late={end - ONE_MINUTE: 2})
    assert [o.rows for o in fill(archive, exchange, end)] == [1439]
    assert [o.rows for o in fill(archive, exchange, end + SETTLED_AFTER)][:1] == [1440]
    assert [o.key.day for o in fill(archive, exchange, end + SETTLED_AFTER)] == []


def test_newest_days_can_be_asked_for_again() -> None:
    archive, until = Archive(), MIDNIGHT + timedelta(days=3)
    fill(archive, Exchange("binance"), until + SETTLED_AFTER)
    assert [o.key.day.day - MIDNIGHT.day for o in fill(archive, Exchange("binance"), until, refresh_days=2)] == [1, 2]


def test_a_day_without_candles_behind_days_with_some_is_asked_for_again() -> None:
    archive, until = Archive(), MIDNIGHT + timedelta(days=3)
    hole = frozenset(MIDNIGHT + timedelta(days=1, minutes=i) for i in range(1440))
    fill(archive, Exchange("binance", quiet=hole), until + SETTLED_AFTER)
    (again, *_) = fill(archive, Exchange("binance"), until + SETTLED_AFTER)
    assert (again.key.day, again.rows) == ((MIDNIGHT + timedelta(days=1)).date(), 1440)


LAST = NOON - ONE_MINUTE


def test_a_thin_symbols_newest_minute_is_proved_by_the_trades_and_holds_nobody_up() -> None:
    quiet = frozenset({LAST, LAST - ONE_MINUTE})
    telling = Run(TellingExchange(quiet=quiet, is_open=False, thin=BTC))
    report = telling.collect((BTC, ETH))
    assert telling.pauses == [2.0]
    assert telling.candles()[LAST].volume == 0
    assert telling.candles()[LAST].close == price(LAST - 2 * ONE_MINUTE)
    assert report.symbols[0].empty == 2
    silent = Run(Exchange(quiet=quiet, is_open=False))
    silent.collect()
    assert sum(silent.pauses) == 40.0
    assert LAST not in silent.candles()


def test_a_minute_in_which_somebody_traded_is_late_and_is_waited_for() -> None:
    run = Run(TellingExchange(late={LAST: 3}, is_open=False, thin=BTC))
    run.collect((BTC, ETH))
    assert run.pauses == [2.0, 8.0]
    assert run.candles()[LAST].volume > 0


def test_trades_that_do_not_reach_back_prove_nothing() -> None:
    run = Run(TellingExchange(quiet=frozenset({LAST}), is_open=False, known=0, thin=BTC))
    run.collect((BTC, ETH))
    assert sum(run.pauses) == 40.0
    assert LAST not in run.candles()


@given(st.sets(st.integers(1, 5)), st.sets(st.integers(1, 5)))  # the minutes before were an earlier run's
def test_a_venue_that_changes_its_convention_in_between_gives_the_same_bars(quiet: set[int], flat: set[int]) -> None:
    silent = frozenset(NOON - i * ONE_MINUTE for i in quiet)
    kept, mixed = (Run(Exchange(quiet=silent, flat=frozenset(NOON - i * ONE_MINUTE for i in some))) for some in (set(), flat))
    kept.collect()
    mixed.collect()
    assert mixed.candles() == kept.candles()
    assert len(kept.candles()) == 15


@pytest.mark.parametrize("symbols", [(BTC,), (BTC, ETH)])
def test_a_feed_that_stands_still_proves_no_minute_empty(symbols: tuple[Symbol, ...]) -> None:
    """Candles and trades of a venue's cache of some minutes ago look like a quiet market, and are none."""
    exchange = TellingExchange(stands_still=True)
    run = Run(exchange)
    run.collect(symbols)
    assert exchange.asked_for_trades
    for symbol in symbols:
        assert max(run.candles(symbol)) == STOPPED - ONE_MINUTE


def test_quiet_symbol_alone_is_waited_for_because_nothing_shows_life() -> None:
    run = Run(TellingExchange(quiet=frozenset({LAST}), is_open=False))
    run.collect()
    assert sum(run.pauses) == 40.0
    assert LAST not in run.candles()


def test_a_venue_that_publishes_empty_minutes_is_not_asked_for_trades() -> None:
    exchange = TellingExchange(quiet=frozenset({LAST}), is_open=False)
    exchange.venue = "kraken"
    Run(exchange).collect()
    assert exchange.asked_for_trades == 0


@given(QUIET, st.integers(0, 90), st.integers(0, 5))
def test_trades_prove_only_minutes_in_which_nobody_traded(quiet: set[int], known: int, late: int) -> None:
    times = frozenset(START + i * ONE_MINUTE for i in quiet)
    absent = {LAST - i * ONE_MINUTE: 9 for i in range(late)}
    run = Run(TellingExchange(quiet=times, late=absent, is_open=False, known=known, thin=BTC))
    run.collect((BTC, ETH))
    for minute, candle in run.candles().items():
        assert candle.volume > 0 or minute in times
        if minute not in times:
            assert candle.close == price(minute)
