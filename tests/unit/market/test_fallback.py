"""A venue that is down is replaced for the decision, whole or not at all, and comes back when it has answered for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.events import CandlesClosed, CollectionProblem, parse_event
from signalbox.market.acceptance import RawRow
from signalbox.market.candles import ONE_MINUTE, Symbol, to_ms
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.market.collection import BACKFILL, CandleSource, CollectionReport, LookAgain, VenueError
from signalbox.market.fallback import RETURN_AFTER, CandleVenues, Standing, collect_with_fallback
from tests.builders import BTC, ETH, NOON, SOL, SYMBOLS, candles, minutes
from tests.fakes.candle_venues import FORMS, MINUTE, CandleVenue, Market
from tests.fakes.http_server import Reply, serving
from tests.unit.market.test_collection import FakeVenue, MemoryBus, MemoryCursors, as_row

AT = NOON + minutes(5)  # no full hour, so fallbacks are not kept current in this cycle


class NamedVenue(FakeVenue):
    """A venue whose prices tell it from others; `late`: it lacks the newest bar, `halted`: everything of the last ten minutes."""

    def __init__(self, name: str, factor: int = 1) -> None:
        super().__init__()
        self.venue, self._factor = name, factor
        self.late, self.halted = False, False

    @override
    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        self.asked.append((symbol, since, until))
        if symbol in self.broken:
            raise self.broken[symbol]
        count = (to_ms(until) - to_ms(since)) // 60_000
        rows = [as_row(c) for c in candles(symbol, until, count)]
        by = self._factor
        cut = to_ms(until) - MINUTE * (10 if self.halted else 1 if self.late else 0)
        return [(t, o * by, h * by, low * by, c * by, v) for t, o, h, low, c, v in rows if t < cut]

    def fail(self, *symbols: Symbol) -> None:
        self.broken = {s: VenueError(CollectionProblem.VENUE_UNAVAILABLE, "503") for s in symbols or SYMBOLS}


class MemoryStandings:
    def __init__(self) -> None:
        self.kept: dict[Symbol, Standing] = {}

    def read(self, symbol: Symbol) -> Standing | None:
        return self.kept.get(symbol)

    def write(self, symbol: Symbol, standing: Standing) -> None:
        if symbol not in self.kept or self.kept[symbol].cycle_at < standing.cycle_at:
            self.kept[symbol] = standing


class Stage:
    def __init__(self, *fallbacks: NamedVenue) -> None:
        self.own, self.fallbacks = NamedVenue("coinbase"), fallbacks or (NamedVenue("kraken", 2),)
        self.cursors, self.bus, self.standings = MemoryCursors(), MemoryBus(), MemoryStandings()
        self.clock = 0.0
        for venue in (self.own, *self.fallbacks):
            self.cursors.at.update({(venue.venue, symbol): NOON - ONE_MINUTE for symbol in SYMBOLS})

    def run(self, at: datetime) -> CollectionReport:
        quick: dict[str, CandleSource] = {venue.venue: venue for venue in (self.own, *self.fallbacks)}
        return collect_with_fallback(
            at,
            SYMBOLS,
            venues=CandleVenues(self.own, self.fallbacks, quick),
            standings=self.standings,
            cursors=self.cursors,
            bus=self.bus,
            again=LookAgain(pause=lambda _: None, monotonic=lambda: self.clock),
        )

    def decided_on(self, at: datetime) -> dict[str, str]:
        return {item.symbol: item.venue for item in self.run(at).symbols}

    def newest(self) -> CandlesClosed:
        event = self.bus.events[-1]
        assert isinstance(event, CandlesClosed)
        return event


def everywhere(venue: str) -> dict[Symbol, str]:
    return dict.fromkeys(SYMBOLS, venue)


def test_a_venue_that_answers_is_the_only_one_asked() -> None:
    stage = Stage()
    assert stage.decided_on(AT) == everywhere("coinbase")
    assert not stage.fallbacks[0].asked
    assert stage.standings.kept == {}
    assert "others" not in stage.newest().to_detail()
    assert all("market" not in one for one in stage.newest().to_detail()["symbols"])


def test_every_hour_the_fallback_is_kept_current() -> None:
    stage = Stage()
    stage.cursors.at.clear()
    assert stage.decided_on(NOON) == everywhere("coinbase")
    assert {since for _, since, _ in stage.fallbacks[0].asked} == {NOON - BACKFILL}
    assert {(one.symbol, one.market) for one in stage.newest().others} == {(s, "kraken") for s in SYMBOLS}
    stage.fallbacks[0].asked.clear()
    stage.run(NOON + minutes(60))
    assert {since for _, since, _ in stage.fallbacks[0].asked} == {NOON - minutes(10)}


def test_a_fallback_that_cannot_be_kept_current_changes_no_decision_and_is_told() -> None:
    stage = Stage()
    stage.fallbacks[0].fail()
    report = stage.run(NOON)
    assert {item.venue for item in report.symbols} == {"coinbase"}
    assert [item.problem for item in report.others] == [CollectionProblem.VENUE_UNAVAILABLE] * 3
    assert stage.newest().others == ()


def test_a_venue_that_is_down_is_replaced_by_a_whole_series_and_marked() -> None:
    stage = Stage()
    stage.own.fail()
    assert stage.decided_on(AT) == everywhere("kraken")
    event = stage.newest()
    assert event.venue == "coinbase"  # whose cycle it is
    assert {one.market for one in event.symbols} == {"kraken"}
    assert {one.problem for one in event.symbols} == {None}
    assert event.symbols[0].candles[-1].c == 2 * candles(BTC, AT, 1)[0].close
    assert parse_event(event.type.value, event.to_detail()) == event


def test_only_the_symbol_that_failed_is_replaced_with_the_others_for_reference() -> None:
    stage = Stage()
    stage.own.fail(SOL)
    assert stage.decided_on(AT) == {BTC: "coinbase", ETH: "coinbase", SOL: "kraken"}
    assert {(one.symbol, one.market) for one in stage.newest().others} == {(BTC, "kraken"), (ETH, "kraken")}


def test_a_venue_that_repeats_old_bars_is_down_and_one_that_is_late_is_not() -> None:
    stage = Stage()
    stage.own.halted = True
    assert stage.decided_on(AT) == everywhere("kraken")
    stage = Stage()
    stage.own.late = True
    assert stage.decided_on(AT) == everywhere("coinbase")  # refused for its own reason: its newest bar is absent


def test_without_any_venue_the_own_ones_problem_is_told() -> None:
    stage = Stage(NamedVenue("kraken"), NamedVenue("bitstamp"))
    for venue in (stage.own, *stage.fallbacks):
        venue.fail()
    report = stage.run(AT)
    assert {(item.venue, item.problem) for item in report.symbols} == {("coinbase", CollectionProblem.VENUE_UNAVAILABLE)}
    assert stage.standings.kept == {}


def test_the_second_fallback_is_used_when_the_first_is_down_too() -> None:
    stage = Stage(NamedVenue("kraken"), NamedVenue("bitstamp"))
    stage.own.fail()
    stage.fallbacks[0].fail()
    assert stage.decided_on(AT) == everywhere("bitstamp")


def test_the_own_venue_is_used_again_after_it_answered_some_cycles_in_a_row() -> None:
    stage = Stage()
    stage.own.fail()
    stage.run(AT)
    stage.own.broken = {}
    seen = [stage.decided_on(AT + CYCLE * i)[BTC] for i in range(1, RETURN_AFTER + 2)]
    assert seen == ["kraken"] * (RETURN_AFTER - 1) + ["coinbase"] * 2
    # all its minutes are there, those of the outage too
    brought = {c.t for e in stage.bus.events if isinstance(e, CandlesClosed) for one in (*e.symbols, *e.others)
               if one.symbol == BTC and one.market is None for c in one.candles}  # fmt: skip
    end = AT + CYCLE * (RETURN_AFTER + 1)
    assert {end - ONE_MINUTE * i for i in range(1, 31)} <= brought


def test_one_failure_begins_the_count_again() -> None:
    stage = Stage()
    stage.own.fail()
    stage.run(AT)
    for i in range(1, 3 * RETURN_AFTER):
        stage.own.broken = {}
        if i % RETURN_AFTER == 0:
            stage.own.fail()
        assert stage.decided_on(AT + CYCLE * i) == everywhere("kraken")


def test_a_fallback_that_fails_too_gives_way_at_once_to_an_own_venue_that_answers() -> None:
    stage = Stage()
    stage.own.fail()
    stage.run(AT)
    stage.own.broken = {}
    stage.fallbacks[0].fail()
    assert stage.decided_on(AT + CYCLE) == everywhere("coinbase")
    stage.fallbacks[0].broken = {}
    assert stage.decided_on(AT + CYCLE * 2) == everywhere("coinbase")


def test_a_fallback_that_was_taken_out_of_the_settings_is_forgotten() -> None:
    stage = Stage()
    stage.standings.kept = {BTC: Standing("bitstamp", 0, NOON)}
    assert stage.decided_on(AT) == everywhere("coinbase")


def test_the_time_that_a_silent_venue_took_is_part_of_the_decision() -> None:
    stage = Stage()

    def slow(symbol: Symbol, since: datetime, until: datetime) -> Any:
        stage.clock = 16.5
        raise VenueError(CollectionProblem.VENUE_TIMEOUT, "no answer")

    stage.own.fetch = slow  # type: ignore[method-assign]
    stage.run(AT)
    assert stage.newest().waited_seconds == 17


_STATES = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(_STATES)
def test_a_symbol_is_decided_on_one_venue_that_answered_if_any_did(states: list[tuple[bool, bool, bool]]) -> None:
    stage = Stage()
    before = "coinbase"
    for i, (own_down, sol_down, fallback_down) in enumerate(states, start=1):
        stage.own.broken = {}
        if own_down or sol_down:
            stage.own.fail(*(SYMBOLS if own_down else (SOL,)))
        stage.fallbacks[0].broken = {}
        if fallback_down:
            stage.fallbacks[0].fail()
        report = stage.run(NOON + CYCLE * i)
        for item in report.symbols:
            is_down = {"coinbase": item.symbol in stage.own.broken, "kraken": fallback_down}
            assert (item.problem is None) == (not all(is_down.values()))
            assert {candle.close for candle in item.candles[-1:]} <= {
                candles(item.symbol, NOON + CYCLE * i, 1)[0].close * (1 if item.venue == "coinbase" else 2)
            }
        now = next(item.venue for item in report.symbols if item.symbol == BTC)
        if now != before and not (own_down and fallback_down):
            # a change has a reason: who was used is down, or the own venue answered for a while
            assert (before == "coinbase") == own_down or fallback_down or i >= RETURN_AFTER
        before = now if not (own_down and fallback_down) else before


def test_coinbase_in_maintenance_is_replaced_by_kraken_in_their_own_words() -> None:
    top = cycle_of(datetime.now(UTC))
    forms = {form.name: form for form in FORMS}
    market = Market(to_ms(top) + MINUTE // 2)
    coinbase, kraken = CandleVenue(forms["coinbase"], market), CandleVenue(forms["kraken"], market)
    coinbase.failures = [Reply(503, {"message": "Service Unavailable"})] * 9
    cursors, bus, standings, again = MemoryCursors(), MemoryBus(), MemoryStandings(), LookAgain(pause=lambda _: None)
    with serving(coinbase) as first, serving(kraken) as second:

        def source(form: str, url: str) -> CcxtCandleSource:
            return CcxtCandleSource(form, url=url, pause=lambda _: None)

        own, other = source("coinbase", first.url), source("kraken", second.url)
        venues = CandleVenues(own, (other,), {"coinbase": own, "kraken": other})
        report = collect_with_fallback(top, (BTC,), venues=venues, standings=standings, cursors=cursors, bus=bus, again=again)
        assert [(item.venue, item.problem) for item in report.symbols] == [("kraken", None)]
        assert to_ms(report.symbols[0].candles[-1].open_time) == to_ms(top) - MINUTE
        assert report.symbols[0].candles[-1].close == Decimal(market.bar(to_ms(top) - MINUTE)[3])
        coinbase.failures.clear()
        later = collect_with_fallback(top, (BTC,), venues=venues, standings=standings, cursors=cursors, bus=bus, again=again)
        assert {(item.venue, item.problem) for item in (*later.symbols, *later.others)} == {("coinbase", None), ("kraken", None)}
    assert standings.kept[BTC].venue == "kraken"
    assert timedelta(0) <= report.cycle_at - standings.kept[BTC].cycle_at
