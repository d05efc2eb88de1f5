"""What ccxt's real classes and our source do at ten venues, each of which speaks its own documented form.

docs/venues.md is made from the same checks: `python -m tests.unit.adapters.venue_table`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from signalbox.adapters.venues.ccxt_candles import HISTORY, CcxtCandleSource
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import AcceptedCandles, accept_rows
from signalbox.market.candles import Symbol, to_ms
from signalbox.market.collection import VenueError
from tests.builders import minutes
from tests.fakes.candle_venues import FORMS, MINUTE, CandleVenue, Market, VenueForm
from tests.fakes.http_server import Reply, serving
from tests.unit.adapters import venue_table

BOTH = [
    pytest.param(form, counts, id=f"{form.name}-{counts}")
    for form in FORMS
    for counts in ([True, False] if form.bounds_unsaid else [True])
]
EACH = [pytest.param(form, id=form.name) for form in FORMS]


@pytest.fixture
def top() -> datetime:
    """The minute that has begun; of now, because ccxt asks its own clock where it chooses between recent and older candles."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def market(top: datetime, quiet: range = range(0)) -> Market:
    """The market half a minute after `top`; `quiet`: minutes before it without a trade."""
    return Market(to_ms(top) + MINUTE // 2, quiet=frozenset(to_ms(top) - MINUTE * i for i in quiet))


def fetched(venue: CandleVenue, since: datetime, until: datetime, pauses: list[float] | None = None) -> AcceptedCandles:
    """What is accepted of what our source brings from a venue."""
    pauses = [] if pauses is None else pauses
    symbol = Symbol(venue.form.symbol)
    with serving(venue) as server:
        rows = CcxtCandleSource(venue.form.name, url=server.url, pause=pauses.append).fetch(symbol, since, until)
    return accept_rows(symbol, rows, since=since, until=until)


def check_complete(venue: CandleVenue, since: datetime, until: datetime) -> None:
    """Every minute that the market has, once, exact to the last digit."""
    got = fetched(venue, since, until)
    assert got.refused == ()
    wanted = range(to_ms(since), to_ms(until), MINUTE)
    assert [to_ms(c.open_time) for c in got.candles] == list(wanted)
    for candle in got.candles:
        values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        assert values == tuple(map(Decimal, venue.market.bar(to_ms(candle.open_time))))


@pytest.mark.parametrize(("form", "end_counts"), BOTH)
def test_pages_bring_every_minute_once_and_exactly(form: VenueForm, end_counts: bool, top: datetime) -> None:
    reach = 700 if form.name in HISTORY else 3_017  # more than two of the longest pages
    check_complete(CandleVenue(form, market(top), end_counts), top - minutes(reach), top)


@pytest.mark.parametrize(("form", "end_counts"), BOTH)
def test_the_newest_closed_bar_comes_and_the_open_one_never(form: VenueForm, end_counts: bool, top: datetime) -> None:
    for length in (1, 2, 15):
        check_complete(CandleVenue(form, market(top), end_counts), top - minutes(length), top)


@pytest.mark.parametrize(("form", "end_counts"), BOTH)
def test_a_window_of_days_ago_is_whole_or_refused_with_what_there_is(form: VenueForm, end_counts: bool, top: datetime) -> None:
    venue = CandleVenue(form, market(top), end_counts)
    long_ago = top - timedelta(days=4)  # older than what OKX calls recent, within what Gate gives
    if form.name not in HISTORY:
        check_complete(venue, long_ago, long_ago + minutes(901))
        return
    with pytest.raises(VenueError, match="only the newest 720 minutes, nothing before") as caught:
        fetched(venue, long_ago, long_ago + minutes(901))
    assert caught.value.problem is CollectionProblem.VENUE_REFUSED
    assert not venue.asked


@pytest.mark.parametrize("form", [pytest.param(form, id=form.name) for form in FORMS if form.name in HISTORY])
def test_a_window_that_begins_before_the_venues_history_brings_what_there_is(form: VenueForm, top: datetime) -> None:
    got = fetched(CandleVenue(form, market(top)), top - minutes(2_520), top)
    assert to_ms(got.candles[-1].open_time) == to_ms(top) - MINUTE
    assert 700 < len(got.candles) <= 720


@pytest.mark.parametrize("form", EACH)
def test_a_minute_without_trades_is_flat_or_absent_as_the_venue_says(form: VenueForm, top: datetime) -> None:
    quiet = range(3, 6)
    got = fetched(CandleVenue(form, market(top, quiet)), top - minutes(20), top)
    assert got.refused == ()
    assert len(got.candles) == 20 - (len(quiet) if form.omits_quiet else 0)
    flat = [c for c in got.candles if not c.volume]
    assert len(flat) == (0 if form.omits_quiet else len(quiet))
    assert all(c.open == c.high == c.low == c.close for c in flat)


@pytest.mark.parametrize("form", EACH)
def test_an_hour_without_trades_is_an_answer_and_no_fault(form: VenueForm, top: datetime) -> None:
    got = fetched(CandleVenue(form, market(top, range(70))), top - minutes(60), top)
    assert len(got.candles) == (0 if form.omits_quiet else 60)


@pytest.mark.parametrize("form", EACH)
def test_the_rate_limit_is_waited_for_as_long_as_the_venue_asks(form: VenueForm, top: datetime) -> None:
    venue = CandleVenue(form, market(top), failures=[form.rate_limited])
    pauses: list[float] = []
    assert len(fetched(venue, top - minutes(5), top, pauses).candles) == 5
    asked = float(form.rate_limited.headers.get("Retry-After", 0))
    assert len(pauses) == 1
    assert pauses[0] >= max(asked, 0.5)


@pytest.mark.parametrize("asked", ["nan", "-5", "\xb2", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_pause_that_is_no_number_of_seconds_is_the_usual_one(top: datetime, asked: str) -> None:
    busy = Reply(429, {"code": -1003, "msg": "Too much request weight used"}, headers={"Retry-After": asked})
    venue = CandleVenue(next(form for form in FORMS if form.name == "binance"), market(top), failures=[busy])
    pauses: list[float] = []
    assert len(fetched(venue, top - minutes(5), top, pauses).candles) == 5
    assert pauses == [0.5]


@pytest.mark.parametrize("form", EACH)
@pytest.mark.parametrize(
    ("what", "problem"),
    [("rate_limited", CollectionProblem.VENUE_RATE_LIMITED), ("maintenance", CollectionProblem.VENUE_UNAVAILABLE)],
)
def test_what_does_not_pass_is_named(form: VenueForm, what: str, problem: CollectionProblem, top: datetime) -> None:
    venue = CandleVenue(form, market(top), failures=[getattr(form, what)] * 3)
    with pytest.raises(VenueError) as caught:
        fetched(venue, top - minutes(5), top)
    assert caught.value.problem is problem
    assert form.symbol in str(caught.value)


@pytest.mark.parametrize("form", EACH)
@pytest.mark.parametrize("body", [b"<html>", {}, {"data": "none"}, ["x"], None])
def test_an_answer_of_another_shape_is_no_quiet_market(form: VenueForm, body: object, top: datetime) -> None:
    venue = CandleVenue(form, market(top), failures=[Reply(200, body)] * 3)
    with pytest.raises(VenueError):
        fetched(venue, top - minutes(5), top)


@pytest.mark.parametrize("form", EACH)
def test_a_symbol_that_is_not_there_is_refused_with_its_neighbours(form: VenueForm, top: datetime) -> None:
    with (
        serving(CandleVenue(form, market(top))) as server,
        pytest.raises(VenueError, match=f"no such market; it has {form.symbol}"),
    ):
        CcxtCandleSource(form.name, url=server.url).require(Symbol("BTC-EUR"))


def test_the_page_of_venues_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "venues.md"
    assert page.read_text() == venue_table.page(), "run: python -m tests.unit.adapters.venue_table"


@pytest.mark.parametrize("form", [pytest.param(form, id=form.name) for form in FORMS if form.omits_quiet])
def test_a_venue_that_omits_empty_minutes_tells_its_trades(form: VenueForm, top: datetime) -> None:
    quiet = range(1, 4)
    venue = CandleVenue(form, market(top, quiet))
    with serving(venue) as server:
        found = CcxtCandleSource(form.name, url=server.url).trade_times(Symbol(form.symbol))
    assert len(found) == 100
    minutes_of = {to_ms(t) - to_ms(t) % MINUTE for t in found}
    assert to_ms(top) in minutes_of
    assert not minutes_of & {to_ms(top) - MINUTE * i for i in quiet}
