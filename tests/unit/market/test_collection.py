from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.events import CandlesClosed, CollectionProblem, Event
from signalbox.market.acceptance import RawRow
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol, to_ms
from signalbox.market.collection import BACKFILL, OVERLAP, ROWS_PER_PART, LookAgain, VenueError, candles_of, collect
from tests.builders import BTC, ETH, NOON, SOL, SYMBOLS, candles, minutes


class FakeVenue:
    """A venue with perfect history, except for what a test breaks."""

    venue = "coinbase"

    def __init__(self) -> None:
        self.broken: dict[Symbol, VenueError] = {}
        self.rows: dict[Symbol, list[RawRow]] = {}
        self.asked: list[tuple[Symbol, datetime, datetime]] = []

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        self.asked.append((symbol, since, until))
        if symbol in self.broken:
            raise self.broken[symbol]
        if symbol in self.rows:
            return self.rows[symbol]
        count = (to_ms(until) - to_ms(since)) // 60_000
        return [as_row(c) for c in candles(symbol, until, count)]


class MemoryCursors:
    def __init__(self) -> None:
        self.at: dict[tuple[str, Symbol], datetime] = {}

    def newest(self, venue: str, symbol: Symbol) -> datetime | None:
        return self.at.get((venue, symbol))

    def advance(self, venue: str, symbol: Symbol, open_time: datetime) -> None:
        self.at[venue, symbol] = max(open_time, self.at.get((venue, symbol), open_time))


class MemoryBus:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def announce(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise ConnectionError("the bus is away")
        self.events.extend(events)


def as_row(c: Candle) -> RawRow:
    return (to_ms(c.open_time), c.open, c.high, c.low, c.close, c.volume)


class World:
    def __init__(self) -> None:
        self.venue, self.cursors, self.bus = FakeVenue(), MemoryCursors(), MemoryBus()
        self.pauses: list[float] = []

    def collect(self, at: datetime) -> Any:
        again = LookAgain(pause=self.pauses.append, monotonic=lambda: 0.0)
        return collect(at, SYMBOLS, source=self.venue, cursors=self.cursors, bus=self.bus, again=again)

    def announced(self) -> list[CandlesClosed]:
        return [e for e in self.bus.events if isinstance(e, CandlesClosed)]

    def minutes_of(self, symbol: Symbol) -> list[datetime]:
        return [c.open_time for e in self.announced() for s in e.symbols if s.symbol == symbol for c in candles_of(s)]


def test_a_start_from_nothing_backfills_in_parts_the_bus_accepts() -> None:
    world = World()
    report = world.collect(NOON)
    assert report.parts == len(world.announced()) > 1
    assert [e.part for e in world.announced()] == list(range(1, report.parts + 1))
    assert all(sum(len(s.candles) for s in e.symbols) <= ROWS_PER_PART for e in world.announced())
    assert all(len(str(e.to_detail())) < 240_000 for e in world.announced())
    for symbol in SYMBOLS:
        assert world.minutes_of(symbol) == [NOON - BACKFILL + ONE_MINUTE * i for i in range(BACKFILL // ONE_MINUTE)]


def test_the_next_run_asks_only_for_the_new_bars_and_an_overlap() -> None:
    world = World()
    world.collect(NOON)
    world.venue.asked.clear()
    world.collect(NOON + minutes(5))
    assert {since for _, since, _ in world.venue.asked} == {NOON - OVERLAP}


def test_a_late_delivery_belongs_to_its_cycle() -> None:
    world = World()
    report = world.collect(NOON + minutes(3.5))
    assert report.cycle_at == NOON
    assert max(world.minutes_of(BTC)) == NOON - ONE_MINUTE


def test_one_failing_symbol_leaves_the_others_alone_and_is_named() -> None:
    world = World()
    world.venue.broken[SOL] = VenueError(CollectionProblem.VENUE_TIMEOUT, "no answer")
    report = world.collect(NOON)
    last = world.announced()[-1]
    assert {s.symbol: s.problem for s in last.symbols} == {BTC: None, ETH: None, SOL: CollectionProblem.VENUE_TIMEOUT}
    assert report.symbols[2].detail == "no answer"
    assert ("coinbase", SOL) not in world.cursors.at
    assert world.cursors.at["coinbase", BTC] == NOON - ONE_MINUTE


def test_all_symbols_failing_still_announces_the_cycle_so_that_the_outage_is_seen() -> None:
    world = World()
    world.venue.broken = {s: VenueError(CollectionProblem.VENUE_UNAVAILABLE, "500") for s in SYMBOLS}
    world.collect(NOON)
    assert [(e.part, e.parts) for e in world.announced()] == [(1, 1)]


def test_an_empty_answer_and_an_unusable_one_are_told_apart() -> None:
    world = World()
    world.venue.rows = {
        BTC: [],
        ETH: [(to_ms(NOON - ONE_MINUTE), Decimal(-1), Decimal(-1), Decimal(-1), Decimal(-1), Decimal(-1))],
    }
    report = world.collect(NOON)
    assert [s.problem for s in report.symbols] == [CollectionProblem.NO_CANDLES, CollectionProblem.CANDLES_REFUSED, None]


def test_the_cursor_stays_when_the_bus_did_not_accept() -> None:
    world = World()
    world.bus.broken = True
    with pytest.raises(ConnectionError):
        world.collect(NOON)
    assert world.cursors.at == {}


def test_the_same_run_twice_announces_the_same_ids() -> None:
    world = World()
    world.collect(NOON)
    world.cursors.at.clear()  # a crash before the cursor moved
    first = [e.event_id for e in world.announced()]
    world.collect(NOON)
    assert [e.event_id for e in world.announced()] == first * 2


@given(st.lists(st.integers(0, 1_500), min_size=3, max_size=3))
def test_parts_together_hold_every_candle_once_whatever_the_lengths(lengths: list[int]) -> None:
    world = World()
    for symbol, length in zip(SYMBOLS, lengths, strict=True):
        world.venue.rows[symbol] = [as_row(c) for c in candles(symbol, NOON, length)]
    world.collect(NOON)
    for symbol, length in zip(SYMBOLS, lengths, strict=True):
        assert world.minutes_of(symbol) == [NOON - ONE_MINUTE * (length - i) for i in range(length)]
    last = world.announced()[-1]
    assert all(bool(s.candles) == bool(n) for s, n in zip(last.symbols, lengths, strict=True))
