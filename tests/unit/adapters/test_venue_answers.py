"""What a venue answers is read or refused, however large, slow or strange: a kept corpus, a share of the fuzzer, single holes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE
from signalbox.adapters.venues import ccxt_answers
from signalbox.adapters.venues.ccxt_answers import LONGEST_PAUSE, MAX_ANSWER_BYTES, asked_pause
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import accept_rows
from signalbox.market.candles import Symbol, to_ms
from signalbox.market.collection import VenueError
from signalbox.orders.messages import ExecutionRequested, OrderInstruction
from signalbox.orders.venue_port import VenueSilentError
from tests import fuzz_venues
from tests.builders import BTC, NOON, minutes
from tests.fakes.candle_venues import FORMS, MINUTE, CandleVenue, Market
from tests.fakes.http_server import Reply, Request, serving
from tests.fakes.venues import Clock
from tests.fuzz_venues import FORM, ORDERS, Answer, Answers, Input, answers, changed, corpus, fuzz, still, taken
from tests.unit.orders.samples import ACCOUNT

INPUTS = 150  # of the million that `make nightly` reads
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_kept_answer_is_read_or_refused_as_the_port_says(path: Path) -> None:
    taken(Input.of_text(path.read_text()))


def test_hundreds_of_changed_answers_are_read_or_refused_and_some_of_each() -> None:
    found = fuzz(range(INPUTS), seed=7)
    assert found.escaped == []
    assert found.inputs == INPUTS == found.read.total() + found.refused.total()
    assert set(found.read) == set(found.refused) == {*FORM, ORDERS}


def test_input_is_the_same_whatever_came_before_it_and_is_kept_whole() -> None:
    assert changed(3, 5) == changed(3, 5)
    assert changed(3, 5) != changed(3, 6)
    assert Input.of_text(changed(3, 5).to_text()) == changed(3, 5)


def test_answers_that_are_not_changed_are_taken() -> None:
    for kind in {*FORM, ORDERS}:
        for asked, answer in answers(kind).items():
            assert taken(Input(kind, asked, answer)), (kind, asked)


def test_reader_that_raises_anything_else_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_transport: object) -> bool:
        raise KeyError("size")

    monkeypatch.setattr(fuzz_venues, "_orders", careless)
    found = fuzz(range(len(fuzz_venues.KINDS)), seed=1)
    assert {(kind, error) for _, kind, error in found.escaped} == {(ORDERS, "KeyError: 'size'")}


def source(url: str, **options: Any) -> CcxtCandleSource:
    return CcxtCandleSource("coinbase", url=url, pause=lambda _: None, **options)


def coinbase(reply: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """Coinbase, whose candles are something else."""
    venue = CandleVenue(FORM["coinbase"], Market(to_ms(NOON) + MINUTE // 2))
    return lambda request: reply(request) if "/candles" in request.path else venue(request)


def test_no_redirect_takes_a_request_to_another_address() -> None:
    """Inside a function, 127.0.0.1 is the runtime's own interface, and a signed order would be sent to whoever is named."""
    with serving(lambda _: Reply(200, [])) as other:
        away = Reply(307, {}, headers={"Location": f"{other.url}/2018-06-01/runtime/invocation/next"})
        with serving(coinbase(lambda _: away)) as venue, pytest.raises(VenueError):
            source(venue.url).fetch(BTC, NOON - minutes(5), NOON)
        assert other.requests == []


def test_answer_that_unpacks_to_more_than_a_venue_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    real = ccxt_answers.BoundedAdapter._read

    def measured(self: Any, request: Any, raw: Any, began: float) -> bytes:
        read1 = raw.read1

        def counted(*given: Any, **options: Any) -> bytes:
            pieces.append(len(piece := read1(*given, **options)))
            return bytes(piece)

        raw.read1 = counted
        return real(self, request, raw, began)

    bomb = gzip.compress(b"[" + b" " * (3 * MAX_ANSWER_BYTES) + b"]")
    monkeypatch.setattr(ccxt_answers.BoundedAdapter, "_read", measured)
    with (
        serving(coinbase(lambda _: Reply(200, bomb, headers={"Content-Encoding": "gzip"}))) as venue,
        pytest.raises(VenueError),
    ):
        source(venue.url).fetch(BTC, NOON - minutes(5), NOON)
    assert MAX_ANSWER_BYTES < sum(pieces) <= MAX_ANSWER_BYTES + max(pieces) + 1_000


@contextmanager
def dripping(stop: threading.Event) -> Iterator[str]:
    """A venue that answers a byte at a time, each before the client's patience for one ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n[")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_answer_that_drips_is_a_timeout() -> None:
    began = time.monotonic()
    with dripping(threading.Event()) as url, pytest.raises(VenueError) as caught:
        source(url, timeout_seconds=0.3, attempts=1).fetch(BTC, NOON - minutes(5), NOON)
    assert caught.value.problem is CollectionProblem.VENUE_TIMEOUT
    assert time.monotonic() - began < 5


def test_symbol_s_time_is_over_although_each_page_comes() -> None:
    now = iter(range(1_000))
    venue = CandleVenue(FORM["coinbase"], Market(to_ms(NOON) + MINUTE // 2))
    with serving(venue) as server, pytest.raises(VenueError) as caught:
        source(server.url, monotonic=lambda: 10.0 * next(now)).fetch(BTC, NOON - minutes(1_500), NOON)
    assert caught.value.problem is CollectionProblem.VENUE_TIMEOUT
    assert len(venue.asked) < 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("007", 7),
        (" 3 ", 3),
        ("0", 0),
        ("9" * 400, LONGEST_PAUSE),
        ("9" * 5_000, LONGEST_PAUSE),
        ("0" * 5_000 + "8", 8),
        ("86401", LONGEST_PAUSE),
        ("\u0663", 0),
        ("-5", 0),
        ("nan", 0),
    ],
)
def test_pause_that_a_venue_asks_for_is_a_number_of_seconds_within_a_day(text: str, seconds: int) -> None:
    assert asked_pause(SimpleNamespace(last_response_headers={"Retry-After": text})) == seconds


@pytest.mark.parametrize("size", [400, 5_000])
def test_pause_of_a_thousand_digits_fails_as_a_rate_limit(size: int) -> None:
    busy = Reply(429, {"message": "slow down"}, headers={"Retry-After": "9" * size})
    with serving(coinbase(lambda _: busy)) as venue, pytest.raises(VenueError) as caught:
        source(venue.url).fetch(BTC, NOON - minutes(5), NOON)
    assert caught.value.problem is CollectionProblem.VENUE_RATE_LIMITED


@pytest.mark.parametrize("precision", [10**17, "1" + "0" * 17, -(10**17)])
def test_number_of_decimals_without_end_is_refused_at_once(precision: object) -> None:
    """ccxt writes a zero for each of them, one after the other: HTX's list of markets alone kept it busy for hours."""
    (asked,) = [one for one in answers("htx") if "symbols" in one]
    found = json.loads(answers("htx")[asked].body)
    found["data"][0]["price-precision"] = precision
    assert not taken(Input("htx", asked, Answer(200, JSON, json.dumps(found).encode())))


@pytest.mark.parametrize("number", [b"1e400", b"1E+200000", b'"1E+200000"', b'"1e-999999999"', b'"\\u0031e-999999999"'])
@pytest.mark.parametrize("form", [pytest.param(form, id=form.name) for form in FORMS])
def test_number_that_no_database_holds_is_no_candle(form: Any, number: bytes) -> None:
    price = FORM[form.name].candles
    (asked,) = [one for one in answers(form.name) if one.split()[1].startswith(form.path)]
    body = answers(form.name)[asked].body
    at = Market(to_ms(NOON) + MINUTE // 2).bar(to_ms(NOON) - MINUTE)[1]
    plain = str(float(at)).encode() if form.name in {"coinbase", "htx"} else f'"{at}"'.encode()
    assert plain in body, price
    absurd = Answer(200, JSON, body.replace(plain, number))

    def find(wanted: str, request: Any) -> Answer:
        return absurd if wanted == asked else fuzz_venues._venue_answer(form.name, wanted, request)

    with still():
        venue = CcxtCandleSource(form.name, url="http://venue.invalid", transport=Answers(find), pause=lambda _: None)
        since = NOON - minutes(15)
        try:
            rows = venue.fetch(Symbol(form.symbol), since, NOON)
        except VenueError:
            return
    assert all(candle.high < 10**18 for candle in accept_rows(Symbol(form.symbol), rows, since=since, until=NOON).candles)


# Orders: what an exchange says of itself is refused as silence, and never raises what nobody waits for.

SUBMIT = ExecutionRequested(
    account=ACCOUNT,
    venue="coinbase",
    instruction=OrderInstruction.SUBMIT,
    client_order_id=fuzz_venues.ORDER.client_order_id,
    terms=fuzz_venues.ORDER,
    at=NOON,
)


def venue_of(find: Callable[[str], Answer]) -> CcxtVenue:
    """The exchange, with these answers."""
    key = CoinbaseCredentials(API_KEY, API_SECRET, PASSPHRASE)
    transport = Answers(lambda asked, _request: find(asked))
    return CcxtVenue(key, url="http://venue.invalid", clock=Clock(NOON), minimum_interval_ms=0, transport=transport)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("GET /time", {"epoch": "1e300"}),
    ("GET /time", {"epoch": 10**30}),
    ("GET /fills", {"size": "-1"}),
    ("GET /fills", {"size": "1e999"}),
    ("GET /fills", {"price": "0." + "0" * 60 + "1"}),
    ("GET /fills", {"created_at": "9999-12-31T23:59:59-23:59"}),
    ("GET /fills", {"trade_id": "a\u0000b"}),
    ("GET /fills", {"trade_id": "x" * 1_000}),
    ("GET /fills", {"order_id": "00000000-0000-0000-0000-000000000000"}),
    ("GET /products", {"base_increment": "0"}),
    ("GET /products", {"base_increment": "1e-999"}),
    ("GET /products", {"base_increment": "NaN"}),
    ("GET /products", {"base_min_size": "1e30"}),
    ("GET /accounts", {"balance": "NaN"}),
    ("GET /accounts", {"balance": "1e999"}),
    ("GET /transfers", {"amount": "Infinity"}),
    ("GET /transfers", {"completed_at": "0001-01-01 00:00:00+23:59"}),
]


@pytest.mark.parametrize(("asked", "fields"), WRONG)
def test_absurd_answer_of_an_exchange_is_no_report(asked: str, fields: dict[str, Any]) -> None:
    found = json.loads(answers(ORDERS)[asked].body)
    for one in found if isinstance(found, list) else [found]:
        one.update(fields)
    changed_one = Input(ORDERS, asked, Answer(200, answers(ORDERS)[asked].headers, json.dumps(found).encode()))
    assert not taken(changed_one)


def test_fill_that_an_exchange_stamps_ahead_is_of_now() -> None:
    found = json.loads(answers(ORDERS)["GET /fills"].body)
    for one in found:
        one["created_at"] = "2099-01-01T00:00:00Z"
    ahead = Answer(200, answers(ORDERS)["GET /fills"].headers, json.dumps(found).encode())
    venue = venue_of(lambda asked: ahead if asked == "GET /fills" else answers(ORDERS)[asked])
    trades = venue.find(SUBMIT).trades
    assert [trade.executed_at for trade in trades] == [NOON]


@pytest.mark.parametrize("name", ["x" * 1_000, "", "a\u0000b"])
def test_answer_to_a_send_that_names_no_order_is_followed_by_a_question(name: str) -> None:
    found = json.loads(answers(ORDERS)["POST /orders"].body) | {"id": name}
    assert taken(Input(ORDERS, "POST /orders", Answer(200, JSON, json.dumps(found).encode())))


@pytest.mark.parametrize("field", ["product_id", "size", "filled_size", "id"])
def test_order_of_another_symbol_or_of_no_size_under_our_id_is_no_answer(field: str) -> None:
    (asked,) = [one for one in answers(ORDERS) if one.startswith("GET /orders/")]
    wrong = {"product_id": "ETH-USD", "size": "0", "filled_size": "-0.1", "id": "x" * 1_000}
    absurd = json.dumps(json.loads(answers(ORDERS)[asked].body) | {field: wrong[field]}).encode()

    venue = venue_of(lambda wanted: Answer(200, JSON, absurd) if wanted == asked else answers(ORDERS)[wanted])
    with pytest.raises(VenueSilentError):
        venue.find(SUBMIT)


@pytest.mark.parametrize("size", ["1E+18", "1E-37", "9" * 19])
def test_candle_takes_no_number_that_cannot_be_kept(size: str) -> None:
    at: datetime = NOON - minutes(1)
    price = Decimal(size)
    row = (to_ms(at), price, price, price, price, Decimal(1))
    accepted = accept_rows(BTC, [row], since=at, until=NOON)
    assert accepted.candles == ()
    assert len(accepted.refused) == 1
