import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import accept_rows
from signalbox.market.candles import to_ms
from signalbox.market.collection import VenueError
from tests.builders import BTC, NOON, SOL, minutes
from tests.fakes.http_server import Reply, Request, serving

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "coinbase" / "rest-candles.json"


def product(symbol: str) -> dict[str, object]:
    base, quote = symbol.split("-")
    return {
        "id": symbol, "base_currency": base, "quote_currency": quote, "quote_increment": "0.01", "base_increment": "0.00000001",
        "display_name": symbol, "min_market_funds": "1", "status": "online", "trading_disabled": False,
    }  # fmt: skip


class Coinbase:
    """Just enough of Coinbase Exchange; `override` answers instead when it returns something."""

    def __init__(self, rows: Any = None) -> None:
        self.rows = rows
        self.override: Callable[[Request], Reply | None] = lambda _request: None

    def __call__(self, request: Request) -> Reply:
        url = urlparse(request.path)
        if url.path == "/products":
            return Reply(200, [product("BTC-USD"), product("SOL-USD")])
        if url.path == "/currencies":
            return Reply(200, [])
        if (reply := self.override(request)) is not None:
            return reply
        if self.rows is not None:
            return Reply(200, self.rows)
        query = parse_qs(url.query)
        start, end = (datetime.fromisoformat(query[k][0]) for k in ("start", "end"))
        first, last = (int(t.timestamp()) // 60 * 60 for t in (start, end))
        assert (last - first) // 60 + 1 <= 300
        return Reply(200, [[t, 99.5, 101.25, 100.01, 100.1, 3.72867857634] for t in range(last, first - 60, -60)])


def source(url: str, **options: Any) -> CcxtCandleSource:
    return CcxtCandleSource("coinbase", url=url, pause=lambda _: None, **options)


def test_pages_cover_the_window_and_numbers_stay_exact() -> None:
    since = NOON - minutes(700)
    with serving(Coinbase()) as server:
        rows = source(server.url).fetch(BTC, since, NOON)
    got = accept_rows(BTC, rows, since=since, until=NOON)
    assert len(got.candles) == 700
    assert got.refused == ()
    one = got.candles[0]
    assert (one.open, one.high, one.low, one.close) == tuple(map(Decimal, ("100.01", "101.25", "99.5", "100.1")))
    assert one.volume == Decimal("3.72867857634")
    assert sum("/candles" in r.path for r in server.requests) == 3


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded Coinbase answers beside the project")
def test_recorded_answer_of_coinbase_is_read_as_it_stands() -> None:
    recorded = json.loads(RECORDED.read_text())
    newest = datetime.fromtimestamp(recorded[0][0], UTC)
    with serving(Coinbase([recorded[0]])) as server:
        rows = source(server.url).fetch(BTC, newest, newest + minutes(1))
    time, low, high, open_, close, volume = recorded[0]
    assert rows == [(time * 1000, *(Decimal(str(x)) for x in (open_, high, low, close, volume)))]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(429, {"message": "Public rate limit exceeded"}), CollectionProblem.VENUE_RATE_LIMITED),
        (Reply(500, {"message": "Internal Server Error"}), CollectionProblem.VENUE_UNAVAILABLE),
        (Reply(503, b"<html>"), CollectionProblem.VENUE_UNAVAILABLE),
        (Reply(hang=True), CollectionProblem.VENUE_TIMEOUT),
        (Reply(400, {"message": "granularity too small for the requested time range"}), CollectionProblem.VENUE_REFUSED),
        (Reply(200, {"message": "not a list"}), CollectionProblem.VENUE_REFUSED),
        (Reply(200, b"[[1, 2"), CollectionProblem.ANSWER_MALFORMED),
        (Reply(200, ["x", "y"]), CollectionProblem.ANSWER_MALFORMED),
        (Reply(200, b"[[1709294160, 1, 2, 1, NaN, 1]]"), CollectionProblem.ANSWER_MALFORMED),
    ],
)
def test_a_bad_answer_is_named_after_its_retries(reply: Reply, problem: CollectionProblem) -> None:
    venue = Coinbase()
    venue.override = lambda _: reply
    with serving(venue) as server, pytest.raises(VenueError) as caught:
        source(server.url, timeout_seconds=0.3).fetch(BTC, NOON - minutes(5), NOON)
    assert caught.value.problem is problem
    assert "BTC-USD" in str(caught.value)


def test_a_passing_failure_is_tried_again() -> None:
    venue = Coinbase()
    answers = iter([Reply(429, {"message": "slow down"}), Reply(500, {}), None])
    venue.override = lambda _: next(answers)
    with serving(venue) as server:
        assert len(source(server.url).fetch(BTC, NOON - minutes(5), NOON)) == 5


def test_a_failing_symbol_does_not_harm_another() -> None:
    venue = Coinbase()
    venue.override = lambda request: Reply(500, {}) if "SOL-USD" in request.path else None
    with serving(venue) as server:
        venues = source(server.url)
        with pytest.raises(VenueError):
            venues.fetch(SOL, NOON - minutes(5), NOON)
        assert len(venues.fetch(BTC, NOON - minutes(5), NOON)) == 5


def test_an_unknown_symbol_is_refused_by_name() -> None:
    with serving(Coinbase()) as server, pytest.raises(VenueError) as caught:
        source(server.url).fetch("DOGE-USD", NOON - minutes(5), NOON)  # type: ignore[arg-type]
    assert caught.value.problem is CollectionProblem.VENUE_REFUSED


def test_null_and_negative_rows_reach_the_domain_which_refuses_them() -> None:
    second = to_ms(NOON) // 1000
    venue = Coinbase([[second - 240, 1, None, 1, 1, 1], [second - 180, -1, 2, 1, 1, 1], [second - 60, 1, 2, 1, 1, 1]])
    since = NOON - minutes(5)
    with serving(venue) as server:
        rows = source(server.url).fetch(BTC, since, NOON)
    got = accept_rows(BTC, rows, since=since, until=NOON)
    assert [c.open_time for c in got.candles] == [NOON - minutes(1)]
    assert len(got.refused) == 2


def test_nothing_for_one_symbol_is_no_rows_and_no_error() -> None:
    with serving(Coinbase([])) as server:
        assert source(server.url).fetch(BTC, NOON - minutes(5), NOON) == []


def test_an_answer_that_repeats_every_row_still_brings_the_newest() -> None:
    second = to_ms(NOON) // 1000
    venue = Coinbase([[second - 60 * i, 1, 2, 1, 1, 1] for i in (1, 2, 3, 4, 5) for _ in range(3)])
    since = NOON - minutes(5)
    with serving(venue) as server:
        rows = source(server.url).fetch(BTC, since, NOON)
    got = accept_rows(BTC, rows, since=since, until=NOON)
    assert [c.open_time for c in got.candles] == [since + minutes(i) for i in range(5)]


def test_a_venue_that_returns_fewer_rows_than_announced_is_asked_for_the_rest() -> None:
    venue = Coinbase()

    def capped(request: Request) -> Reply:
        query = parse_qs(urlparse(request.path).query)
        first = int(datetime.fromisoformat(query["start"][0]).timestamp())
        last = int(datetime.fromisoformat(query["end"][0]).timestamp()) // 60 * 60
        return Reply(200, [[t, 99.5, 101.25, 100.01, 100.1, 3.7] for t in range(first, last + 60, 60)[:100]])

    venue.override = capped
    since = NOON - minutes(700)
    with serving(venue) as server:
        rows = source(server.url).fetch(BTC, since, NOON)
    assert len(accept_rows(BTC, rows, since=since, until=NOON).candles) == 700


def test_a_long_gap_at_the_end_of_a_page_is_passed() -> None:
    venue = Coinbase()
    asked: list[str] = []

    def halted(request: Request) -> Reply | None:
        query = parse_qs(urlparse(request.path).query)
        asked.append(query["start"][0])
        first = int(datetime.fromisoformat(query["start"][0]).timestamp())
        return Reply(200, [[t, 1, 1, 1, 1, 1] for t in range(first, first + 6000, 60)]) if len(asked) == 1 else Reply(200, [])

    venue.override = halted
    with serving(venue) as server:
        assert len(source(server.url).fetch(BTC, NOON - minutes(600), NOON)) == 100
    assert len(asked) == 3


def test_a_market_the_venue_has_not_is_refused_with_what_comes_near() -> None:
    with serving(Coinbase()) as server:
        venue = source(server.url)
        venue.require(BTC)
        with pytest.raises(VenueError, match="no such market; it has BTC-USD") as caught:
            venue.require("BTC-UST")  # type: ignore[arg-type]
    assert caught.value.problem is CollectionProblem.VENUE_REFUSED


@pytest.mark.parametrize("name", ["nosuch", "base", "static_dependencies"])
def test_an_exchange_that_ccxt_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(VenueError, match="ccxt knows no exchange named"):
        CcxtCandleSource(name).require(BTC)
