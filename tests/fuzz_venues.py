"""A seeded fuzzer of what venues answer: it is read, or refused as the port of candles or of orders says, and nothing else.

`python -m tests.fuzz_venues 1000000 [SEED]` changes one answer of a venue in its values, its rows, its bytes, its status or its
headers, gives it to ccxt's real class under our adapter, and prints one line of JSON. Candles: ten venues, and the list of
markets too. Orders: Coinbase Exchange, every answer that an order, its cancel and a comparison ask for. What is taken has to
pass on: candles as the event that the ledger reads, orders as the report that it reads. What escapes is written into
tests/corpus/venues, where a test keeps it.
"""

from __future__ import annotations

import base64
import faulthandler
import gzip
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from ccxt.base.exchange import Exchange
from requests.adapters import BaseAdapter, HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPResponse

from local.market.simulator import SimulatedSource
from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE, TradingStandIn
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.events import BusEvent, CandlesClosed, Event, parse_event
from signalbox.market.candles import Symbol, is_bounded, to_ms
from signalbox.market.collection import SymbolCollection, candles_of, collect
from signalbox.orders.execution import execute, query
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.venue_port import ExecutionError
from signalbox.wire import parse_object
from tests.builders import BTC, ETH, NOON, minutes
from tests.fakes.candle_venues import FORMS, MINUTE, CandleVenue, Market
from tests.fakes.http_server import Request
from tests.fakes.venues import Clock, MemorySendLog
from tests.fuzz_result import Fuzzed
from tests.fuzz_wire import STRANGE, _exchanged, _paths
from tests.unit.orders.samples import ACCOUNT, terms

One = TypeVar("One")
Rng = np.random.Generator

CORPUS: Final = Path(__file__).parent / "corpus" / "venues"
CPU_SECONDS: Final = 5.0  # one input
HANG_SECONDS: Final = 120.0  # of the wall clock, so that a busy machine fails nothing
BATCH: Final = 500
MOST_KEPT: Final = 50
MOST_REQUESTS: Final = 400  # of one input: an answer that is asked for again and again is a hang as well
LONGEST_MESSAGE: Final = 1_000
WINDOW: Final = 15  # minutes that are collected
ORDER: Final = terms(account=ACCOUNT, quantity="0.1")
ORDERS: Final = "orders"  # the kind of an input that is no venue of candles
FORM: Final = {form.name: form for form in FORMS}
KINDS: Final = (*FORM, *[ORDERS] * 5)
WRONG_NUMBERS: Final[tuple[Any, ...]] = (
    "1e400", "-1e400", "1E+200000", "1E-200000", "-0.1", "0", "-0", "NaN", "sNaN", "Infinity", "9" * 5000, "9" * 40, 10**17, -1,
    "0." + "0" * 60 + "1", "1_0", "\u0663", True, 1e308, 5e-324, 2**63, -(2**63), "0x10", " 1", "1,5",
)  # fmt: skip
WRONG_TEXTS: Final[tuple[Any, ...]] = (
    "x" * 10_000, "a\u0000b", "a\nb", "a\u202eb", "\ud800", "../../x", "", "BTC-USD", "ETH-USD", "\u00fc", "__class__",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-03-01T12:00:00", "1970-01-01T00:00:00Z", "done", "rejected",
)  # fmt: skip
RAW: Final = (
    b"NaN",
    b"Infinity",
    b"1e400",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\x00",
    b"\xff",
    b"\\ud800",
    b",",
    b"]",
    b"}",
)
STATUSES: Final = (200, 201, 204, 206, 302, 307, 400, 401, 403, 404, 409, 418, 429, 500, 503, 520, 599)
PAUSES: Final = ("0", "5", "-5", "nan", "9" * 400, "9" * 5000, "\u0663", "\xb2", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT")


def _one_of(rng: Rng, choices: Sequence[One]) -> One:
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True)
class Answer:
    """What a venue answers to one kind of request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Input:
    """One changed answer; `asked` is the request that gets it, method and path without its query."""

    kind: str
    asked: str
    answer: Answer

    def to_text(self) -> str:
        """Return it as it is kept."""
        body = base64.b64encode(self.answer.body).decode()
        facts = {"kind": self.kind, "asked": self.asked, "status": self.answer.status, "headers": dict(self.answer.headers)}
        return json.dumps(facts | {"body": body}, indent=1) + "\n"

    @classmethod
    def of_text(cls, text: str) -> Input:
        """Return what was kept."""
        kept = json.loads(text)
        answer = Answer(kept["status"], kept["headers"], base64.b64decode(kept["body"]))
        return cls(kept["kind"], kept["asked"], answer)


class Answers(BaseAdapter):
    """Sends nothing: gives each request its answer. Too many requests are a hang."""

    def __init__(self, find: Callable[[str, requests.PreparedRequest], Answer]) -> None:
        super().__init__()
        self._find, self._build = find, HTTPAdapter()
        self.asked: list[str] = []

    @override
    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        asked = f"{request.method} {urlsplit(request.url or '').path}"
        self.asked.append(asked)
        if len(self.asked) > MOST_REQUESTS:
            raise TooManyRequestsError(f"expected at most {MOST_REQUESTS} requests, got more")
        answer = self._find(asked, request)
        raw = HTTPResponse(io.BytesIO(answer.body), answer.headers, answer.status, preload_content=False)
        return self._build.build_response(request, raw)

    @override
    def close(self) -> None:
        """Nothing is open."""


class TooManyRequestsError(BaseException):
    """No `except Exception` on the way may swallow it."""


@contextmanager
def still() -> Iterator[None]:
    """Let ccxt wait for no limit of a venue, and its clock stand at noon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Exchange, "throttle", lambda *_: None)
        patch.setattr(Exchange, "milliseconds", staticmethod(lambda: to_ms(NOON) + MINUTE // 2))
        yield


# What each venue answers when nothing is changed.


def _venue_answer(name: str, asked: str, request: requests.PreparedRequest) -> Answer:
    found = CandleVenue(FORM[name], Market(to_ms(NOON) + MINUTE // 2))(Request("GET", request.path_url, b""))
    return Answer(found.status, {"Content-Type": "application/json", **found.headers}, json.dumps(found.body).encode())


@cache
def answers(kind: str) -> dict[str, Answer]:
    """Return every answer that the kind asks for, by its request."""
    found: dict[str, Answer] = {}

    def recorded(asked: str, request: requests.PreparedRequest) -> Answer:
        answer = _venue_answer(kind, asked, request)
        found[asked] = answer
        return answer

    if kind != ORDERS:
        with still():
            _candles(kind, Answers(recorded))
        return found
    exchange = TradingStandIn(SimulatedSource(7), (BTC, ETH), NOON, requests_per_second=1000, burst=1000)
    exchange.set_price(BTC, Decimal(50_000))
    real = HTTPAdapter()
    taken: dict[str, Answer] = {}

    class Recorder(BaseAdapter):
        @override
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            answer = real.send(request, **options | {"stream": False})
            body = answer.content
            headers = {name: text for name, text in answer.headers.items() if name.lower() != "content-length"}
            taken[f"{request.method} {urlsplit(request.url or '').path}"] = Answer(answer.status_code, headers, body)
            raw = HTTPResponse(io.BytesIO(body), headers, answer.status_code, preload_content=False)
            return real.build_response(request, raw)

        @override
        def close(self) -> None:
            real.close()

    try:
        exchange.move_money("deposit", "USD", Decimal(5))
        _orders(Recorder(), exchange.url)
    finally:
        exchange.close()
    return taken


# How an answer is changed.


def _changed_value(rng: Rng, value: Any) -> Any:
    paths = _paths(value)
    for _ in range(int(rng.integers(1, 4))):
        path = _one_of(rng, paths)
        choices = _one_of(rng, (STRANGE, WRONG_NUMBERS, WRONG_TEXTS))
        try:
            value = _exchanged(value, path, _one_of(rng, choices))
        except (TypeError, KeyError, IndexError):  # what it was in is no longer there
            continue
    return value


def _changed_rows(rng: Rng, value: Any) -> Any:
    """Return the value with the rows of one of its lists doubled, turned round, missing, or many."""
    lists = [path for path in _paths(value) if isinstance(_at(value, path), list)]
    if not lists:
        return value
    path = _one_of(rng, lists)
    rows = _at(value, path)
    match int(rng.integers(6)):
        case 0:
            rows = rows + rows
        case 1:
            rows = rows[::-1]
        case 2:
            rows = rows[: int(rng.integers(len(rows) + 1))]
        case 3:
            rows = rows * 50
        case 4:
            rows = [_changed_value(rng, row) for row in rows]
        case _:
            rows = [*rows, _one_of(rng, STRANGE)]
    return _exchanged(value, path, rows)


def _at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(number: int, seed: int) -> Input:
    """Return the input of a number; the same for the same seed, whatever came before it."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    asked = _one_of(rng, sorted(answers(kind)))
    answer = answers(kind)[asked]
    status, headers, body = answer.status, dict(answer.headers), answer.body
    how = rng.random()
    if how < 0.75:
        value = json.loads(body)
        value = _changed_rows(rng, value) if rng.random() < 0.3 else _changed_value(rng, value)
        body = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    if how > 0.65:
        place = int(rng.integers(len(body) + 1))
        body = body[:place] + _one_of(rng, RAW) + body[place + int(rng.integers(3)) :]
    if rng.random() < 0.15:
        status = _one_of(rng, STATUSES)
    if rng.random() < 0.1:
        headers["Retry-After"] = _one_of(rng, PAUSES)
    if rng.random() < 0.05:
        name = _one_of(rng, ("cb-after", "Location", "Content-Type"))
        headers[name] = _one_of(rng, ("1", "http://127.0.0.1:9/x", "text/html", "\xff"))
    if rng.random() < 0.05:
        headers["Content-Encoding"] = _one_of(rng, ("gzip", "deflate", "br"))
        body = gzip.compress(body, 1) if rng.random() < 0.5 else body
    return Input(kind, asked, Answer(status, headers, body))


# How it is read, and what has to hold of what is taken.


def _candles(name: str, transport: BaseAdapter) -> bool:
    """Collect as production does; return whether candles came. Whatever is announced is read as the ledger reads it."""
    symbol = Symbol(FORM[name].symbol)
    source = CcxtCandleSource(name, url="http://venue.invalid", pause=lambda _: None, monotonic=lambda: 0.0, transport=transport)
    bus = _Bus()
    report = collect(NOON, [symbol], source=_Window(source), cursors=_Cursors(), bus=bus)
    for event in bus.events:
        again = _passed_on(event)
        assert isinstance(again, CandlesClosed)
        for item in again.symbols:
            candles = candles_of(item)
            times = [candle.open_time for candle in candles]
            assert times == sorted(set(times)), "bars out of order, or twice"
            assert all(at < NOON for at in times), "a bar that is not closed"
            assert all(is_bounded(number) for one in candles for number in (one.open, one.high, one.low, one.close, one.volume))
    found: SymbolCollection = report.symbols[0]
    assert found.detail is None or len(found.detail) <= 600
    return bool(found.candles)


class _Window:
    """A source that is asked for the newest minutes alone."""

    def __init__(self, source: CcxtCandleSource) -> None:
        self._source = source

    @property
    def venue(self) -> str:
        return self._source.venue

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Any:
        return self._source.fetch(symbol, max(since, until - minutes(WINDOW)), until)


class _Bus:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def announce(self, events: Sequence[Event]) -> None:
        self.events += events


class _Cursors:
    def newest(self, _venue: str, _symbol: Symbol) -> None:
        return None

    def advance(self, _venue: str, _symbol: Symbol, _open_time: datetime) -> None:
        return


def _passed_on(event: Event | BusEvent) -> Any:
    """Return an event as its receiver reads it."""
    text = json.dumps({"detail_type": event.type.value, "detail": event.to_detail()})
    return parse_event(**parse_object(text))


def _orders(transport: BaseAdapter, url: str = "http://venue.invalid") -> bool:
    """Send an order, cancel it, compare the account; return whether all was told. Each report is read as the ledger does."""
    clock = Clock(NOON)
    venue = CcxtVenue(
        CoinbaseCredentials(API_KEY, API_SECRET, PASSPHRASE), url=url, clock=clock, minimum_interval_ms=0, transport=transport
    )
    log = MemorySendLog()
    asked = partial(
        ExecutionRequested, account=ACCOUNT, venue="coinbase", client_order_id=ORDER.client_order_id, terms=ORDER, at=NOON
    )
    name = ORDER.client_order_id
    view = VenueViewRequested(
        account=ACCOUNT, venue="coinbase", at=NOON, since=NOON - timedelta(hours=1), orders=(name,), symbols=(BTC, ETH)
    )
    calls: list[Callable[[], BusEvent]] = [
        lambda: execute(asked(instruction=OrderInstruction.SUBMIT), venue, log, clock, chains=log),
        lambda: execute(asked(instruction=OrderInstruction.CANCEL, request_id="r1"), venue, log, clock, chains=log),
        lambda: query(view, venue, log, chains=log),
    ]
    told = True
    for call in calls:
        try:
            again = _passed_on(call())
        except ExecutionError as error:
            if len(str(error)) > LONGEST_MESSAGE:
                raise ValueError(f"expected a message of at most {LONGEST_MESSAGE} characters, got {len(str(error))}") from error
            told = False
            continue
        assert isinstance(again, (ExecutionReported, VenueViewReported))
        if isinstance(again, VenueViewReported):
            again.as_view()
    return told


@contextmanager
def _no_hang() -> Iterator[None]:
    """End the process, with where it is, when one input computes without end: an exception could be swallowed on its way."""
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def taken(one: Input) -> bool:
    """Return whether an answer was taken; what else than a refusal comes of it, or too much computing, is raised."""

    def find(asked: str, request: requests.PreparedRequest) -> Answer:
        if asked == one.asked:
            return one.answer
        if one.kind != ORDERS:
            return _venue_answer(one.kind, asked, request)
        return answers(ORDERS).get(asked) or Answer(404, {"Content-Type": "application/json"}, b'{"message": "NotFound"}')

    transport = Answers(find)
    began = time.process_time()
    with still(), _no_hang():
        result = _orders(transport) if one.kind == ORDERS else _candles(one.kind, transport)
    if (used := time.process_time() - began) > CPU_SECONDS:
        raise TimeoutError(f"expected at most {CPU_SECONDS} s, got {used:.1f} s")
    assert transport.asked.count("POST /orders") <= 1, "an order was sent twice"
    return result


def fuzz(numbers: range, seed: int) -> Fuzzed:
    """Give the inputs of these numbers to their readers."""
    found = Fuzzed()
    for number in numbers:
        one = changed(number, seed)
        found.inputs += 1
        try:
            outcome = found.read if taken(one) else found.refused
        except (Exception, TooManyRequestsError) as error:  # noqa: BLE001 - that is what is looked for
            found.escaped.append((number, one.kind, f"{type(error).__name__}: {error}"[:200]))
            continue
        outcome[one.kind] += 1
    return found


def keep(one: Input) -> Path:
    """Write an input into the corpus and return its place."""
    text = one.to_text()
    path = CORPUS / f"{one.kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def corpus() -> list[Path]:
    """Return every kept answer."""
    return sorted(CORPUS.glob("*.json"))


def main() -> int:
    """Fuzz as the command line asks; 1 when something escaped."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.perf_counter()
    found, kept = Fuzzed(), set[str]()
    for first in range(0, count, BATCH):
        some = fuzz(range(first, min(first + BATCH, count)), seed)
        found.inputs += some.inputs
        found.read.update(some.read)
        found.refused.update(some.refused)
        found.escaped += some.escaped
        print(f"{found.inputs} of {count} inputs, {len(found.escaped)} escaped", file=sys.stderr, flush=True)  # noqa: T201
        for number, kind, error in some.escaped:
            if (what := f"{kind} {error[:60]}") not in kept and len(kept) < MOST_KEPT:
                kept.add(what)
                keep(changed(number, seed))
    seconds = time.perf_counter() - began
    reported = {
        "inputs": found.inputs, "seed": seed, "read": found.read.total(), "refused": found.refused.total(),
        "escaped": len(found.escaped), "read_by_kind": found.read, "refused_by_kind": found.refused,
        "seconds": round(seconds, 1), "inputs_a_second": round(found.inputs / seconds, 1), "examples": found.escaped[:20],
    }  # fmt: skip
    print(json.dumps(reported))  # noqa: T201 - its output
    return 1 if found.escaped else 0


if __name__ == "__main__":
    sys.exit(main())
