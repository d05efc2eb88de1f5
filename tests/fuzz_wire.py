"""A seeded fuzzer of every door that strange text comes through: it is read, or refused with that door's error, and nothing else.

`python -m tests.fuzz_wire 1000000 [SEED]` prints one line of JSON; what escapes is written into tests/corpus/wire, where a test
keeps it.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.trading_queue import Door, MessageRefusedError, handle_message
from signalbox.adapters.telegram.bot_api import _parse
from signalbox.adapters.venues.mt5_mailbox import Envelope, EnvelopeError, MailboxDirection, open_envelope, seal
from signalbox.events import BusEvent, CycleDecided, MarketDataStale, read_event
from signalbox.orders.events import OrderFilled, OrderRejected, OrderSubmitted
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
    ViewedOrder,
)
from signalbox.orders.venue_view import VenueStatus
from signalbox.signing import open_envelope as open_sealed
from signalbox.signing import open_message
from signalbox.trading.errors import AccountError
from signalbox.trading.events import TurnMissed
from signalbox.trading.routing import NotRoutedError, route_of
from signalbox.wire import WireError, parse_object
from tests.fakes.keys import REPORT_KEYS, REQUEST_KEY, REQUEST_KEYS, message_of, sealed
from tests.unit.orders.samples import terms

One = TypeVar("One")
CORPUS: Final = Path(__file__).parent / "corpus" / "wire"
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY: Final = b"k" * 32


def samples() -> list[BusEvent]:
    """Return an event of each kind that a queue brings to trading or to a venue."""
    of = terms(account="live-1", decided_at=NOW, send_before=NOW + timedelta(minutes=5))
    name = of.client_order_id
    cycle = CycleDecided(venue="coinbase", cycle_at=NOW, symbols=("BTC-USD",), late=False)
    fill = OrderFilled(
        client_order_id=name, at=NOW, account="live-1", symbol="BTC-USD", trade_id="t", quantity=Decimal(1), price=Decimal(2)
    )
    viewed = ViewedOrder(
        client_order_id=name,
        venue_order_id="v",
        symbol="BTC-USD",
        status=VenueStatus.OPEN,
        quantity=Decimal(1),
        filled=Decimal(0),
    )
    return [
        ExecutionRequested(
            account="live-1", venue="coinbase", instruction=OrderInstruction.SUBMIT, client_order_id=name, terms=of, at=NOW
        ),
        ExecutionReported(
            account="live-1",
            client_order_id=name,
            reported_at=NOW,
            events=(
                OrderSubmitted(client_order_id=name, at=NOW),
                fill,
                OrderRejected(client_order_id=name, at=NOW, reason="NO", detail="because"),
            ),
        ),
        VenueViewRequested(account="live-1", venue="coinbase", at=NOW, since=NOW, orders=(name,), symbols=("BTC-USD",)),
        VenueViewReported(
            account="live-1", requested_at=NOW, asked_at=NOW, orders=(viewed,), trades=(), positions={"BTC-USD": Decimal(1)}
        ),
        cycle,
        MarketDataStale(symbol="BTC-USD", since=NOW, reason="x", newest_close=None),
        TurnMissed(account="live-1", missed=cycle, why="no price"),
    ]


COMMANDS: Final[list[dict[str, Any]]] = [
    {"kind": "halt", "why": "news", "level": "FLATTEN"},
    {"kind": "submit", "symbol": "BTC-USD", "side": "BUY", "type": "LIMIT", "quantity": "0.5", "limit_price": 100.5},
    {"kind": "cancel", "client_order_id": "ab" * 16},
    {"kind": "open", "configuration": {"kind": "live-spot", "capital": "100000", "venue": "coinbase", "mode": "live"}},
    {"kind": "confirm", "what": "live"},
]


class Nobody:
    """A trading service that takes everything that is readable, as an account does that has nothing against it."""

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[()]:
        return ()

    def command(self, command: Any, _who: str) -> Any:
        raise AccountError(f"account {command.account} does not exist")

    def kill(self, command: Any, who: str) -> Any:
        return self.command(command, who)


def seeds() -> list[Any]:
    """Return the well-formed messages of every door, as JSON values."""
    events = [json.loads(message_of(e, id="1")) for e in samples()]
    output = [{"account": "live-1", "request_id": "req-1", "requested_at": NOW.isoformat(), **command} for command in COMMANDS]
    sealed = [
        json.loads(seal(e, key=KEY, direction=MailboxDirection.REPORT, account="live-1", sequence=3, sent_at=NOW))
        for e in samples()[:4]
    ]
    telegram = [{"ok": False, "error_code": 429, "parameters": {"retry_after": 3, "migrate_to_chat_id": -100}}]
    return [*events, *output, *sealed, *telegram]


def _envelope(data: bytes) -> None:
    open_envelope(data.decode(), key=KEY, direction=MailboxDirection.REPORT).content()


def _body(data: bytes) -> None:
    """What is inside an envelope that was signed well: an agent that somebody took over signs anything."""
    Envelope(
        version=1,
        direction=MailboxDirection.REPORT,
        account="live-1",
        sequence=1,
        sent_at=NOW,
        body=data.decode(),
        signature="0" * 64,
    ).content()


def _sealed(data: bytes) -> None:
    """What is under a seal that is good: a ledger or an executor that somebody took over seals anything."""
    output = parse_object(data.decode(), numbers=str)
    kind, detail = output.get("detail-type"), output.get("detail")
    if not isinstance(kind, str) or not isinstance(detail, dict):
        raise WireError("expected an event")
    open_sealed({**output, "detail": sealed(kind, detail, REQUEST_KEY)}, REQUEST_KEYS)


def _http() -> Callable[[bytes], None]:
    from signalbox.adapters.aws.trading_api import trading_api  # noqa: PLC0415 - powertools, for this door alone

    api = trading_api(Nobody(), lambda _handled: None)  # type: ignore[arg-type]
    iam = {"userArn": "arn:aws:iam::123456789012:user/trader"}
    context = {
        "http": {"method": "POST", "path": "/accounts/live-1/halt", "sourceIp": "203.0.113.7"},
        "authorizer": {"iam": iam},
        "timeEpoch": int(NOW.timestamp() * 1000),
        "stage": "$default",
    }
    asked = {
        "version": "2.0",
        "rawPath": "/accounts/live-1/halt",
        "headers": {},
        "requestContext": context,
        "isBase64Encoded": True,
    }

    def door(data: bytes) -> None:
        answer = api.resolve({**asked, "body": b64encode(data).decode()}, LambdaContext())
        if not 200 <= answer["statusCode"] < 500:
            raise AssertionError(f"expected a status below 500, got {answer['statusCode']}")
        if answer["statusCode"] not in {HTTPStatus.NOT_FOUND, HTTPStatus.OK}:
            raise WireError("refused")

    return door


REFUSALS: Final = (WireError, MessageRefusedError, EnvelopeError, NotRoutedError, ValueError)


def _guarded(door: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    """Return whether a door took what it was given; only its own refusals are no fault."""

    def opened(data: bytes) -> bool:
        try:
            door(data)
        except (RecursionError, AttributeError, TypeError, KeyError, ArithmeticError):
            raise
        except MessageRefusedError as refused:
            return isinstance(refused.__cause__, AccountError)  # it was read, and only then is there no such account
        except REFUSALS:
            return False
        return True

    return opened


def doors() -> dict[str, Callable[[bytes], bool]]:
    """Return every door by its name. Text is decoded as the queue's client does before it calls a function."""
    sent = str(int(NOW.timestamp() * 1000))
    found: dict[str, Callable[[bytes], object]] = {
        "bus": lambda data: read_event(data.decode()).event_id,
        "routing": lambda data: route_of(read_event(data.decode())),
        "trading": lambda data: handle_message(Nobody(), data.decode(), sender="x", sent_ms=sent, keys=REPORT_KEYS),
        "kill switch": lambda data: handle_message(
            Nobody(), data.decode(), sender="x", sent_ms=sent, keys=None, door=Door.KILL_SWITCH
        ),
        "seal": lambda data: open_message(data.decode(), REQUEST_KEYS),
        "sealed": _sealed,
        "envelope": _envelope,
        "envelope body": _body,
        "messenger": _parse,
    }
    return {name: _guarded(door) for name, door in found.items()}


STRANGE: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 10**30, 1.5, 1e308, "", "x" * 300, "\x00", "a\x1bb", "\ud800", "NaN", "Infinity", "1e999999999", [], {},
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", [[[]]], {"a": {"b": []}}, "../../etc", "-1",
)  # fmt: skip
RAW: Final = (
    b"\x00",
    b"\xff",
    b"[" * 200,
    b'{"a":' * 200,
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b",",
    b"]",
    b"}",
    b'"',
    b"9" * 80,
)


def _one_of(rng: np.random.Generator, choices: Sequence[One]) -> One:
    return choices[int(rng.integers(len(choices)))]


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, one in inner for path in _paths(one, (*at, key)))]


def _exchanged(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = _exchanged(copy[key], tuple(rest), new)
    return copy


def strange(rng: np.random.Generator, base: Any, paths: list[tuple[Any, ...]]) -> bytes:
    """Return a message that was changed: in its values, in its bytes, or both."""
    value = base
    if rng.random() < 0.7:
        new = _one_of(rng, STRANGE)
        if rng.random() < 0.1:
            new = [new] * int(rng.integers(40))
        for _ in range(rng.integers(0, 12)) if rng.random() < 0.05 else ():
            new = {"a": [new]}
        value = _exchanged(value, _one_of(rng, paths), new)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    if rng.random() < 0.45:
        place = rng.integers(len(text) + 1)
        text = text[:place] + _one_of(rng, RAW) + text[place + rng.integers(3) :]
    if rng.random() < 0.02:
        text = text[: rng.integers(len(text) + 1)]
    return text


@dataclass
class Fuzzed:
    """What became of the messages."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    escaped: list[tuple[str, str, bytes]] = field(default_factory=list)  # door, error, message
    by_door: Counter[str] = field(default_factory=Counter)


def fuzz(count: int, rng: np.random.Generator, *, over_http: bool = True) -> Fuzzed:
    """Give `count` strange messages to one door each, in turn."""
    ways = doors() | ({"http": _guarded(_http())} if over_http else {})
    names = list(ways)
    bases = [(base, _paths(base)) for base in seeds()]
    bodies = [(one, _paths(one)) for one in ({"type": e.type.value, "detail": e.to_detail()} for e in samples())]
    found = Fuzzed()
    for number in range(count):
        name = names[number % len(names)]
        base, paths = _one_of(rng, bodies if name == "envelope body" else bases)
        data = strange(rng, base, paths)
        found.inputs += 1
        try:
            taken = ways[name](data)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            found.escaped.append((name, f"{type(error).__name__}: {error}"[:200], data))
            continue
        found.read += taken
        found.refused += not taken
        found.by_door[name] += taken
    return found


def main() -> int:
    """Fuzz as the command line asks; 1 when something escaped."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.perf_counter()
    found = fuzz(count, np.random.default_rng(seed))
    for _, _, data in found.escaped[:50]:
        (CORPUS / f"escaped-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    reported = {
        "inputs": found.inputs, "seed": seed, "read": found.read, "refused": found.refused, "escaped": len(found.escaped),
        "read_by_door": dict(found.by_door), "seconds": round(time.perf_counter() - began, 1),
        "examples": [(door, error) for door, error, _ in found.escaped[:10]],
    }  # fmt: skip
    print(json.dumps(reported))  # noqa: T201 - its output
    return 1 if found.escaped else 0


if __name__ == "__main__":
    sys.exit(main())
