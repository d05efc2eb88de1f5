"""Who may call a server of this machine: judged on the headers, and tried over real sockets on every stand-in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.callers import Message, Receive, Scope, Send, guarded, refusal
from local.stand_ins.exchange import ExchangeStandIn, LoadedBars
from local.stand_ins.server import MAX_BODY, StandInServer
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from local.stand_ins.trading import TradingStandIn
from signalbox.market.candles import Symbol

NOW = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)
PORT = 4566
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "DANCE")
OURS = [("host", f"127.0.0.1:{PORT}")]


def judged(*headers: tuple[str, str], method: str = "GET", **options: Any) -> str | None:
    return refusal(headers, method=method, port=PORT, **options)


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost:4566"])
@pytest.mark.parametrize("method", METHODS)
def test_program_of_this_machine_is_answered(host: str, method: str) -> None:
    assert judged(("Host", host), ("User-Agent", "Boto3/1.40"), ("Authorization", "AWS4-HMAC-SHA256 x"), method=method) is None


@pytest.mark.parametrize("host", ["abc123.execute-api.127.0.0.1:4566", "abc123.execute-api.localhost:4566"])
def test_api_name_is_ours_only_where_apis_are(host: str) -> None:
    assert judged(("host", host), api_names=True) is None
    assert judged(("host", host)) is not None


@pytest.mark.parametrize(
    "host",
    [
        "page.example:4566", "127.0.0.1.page.example:4566", "localhost.page.example:4566", "127.0.0.1:4567", "127.0.0.1",
        "localhost",
        "127.0.0.1:4566.page.example", "127.0.0.1:04566", "127.0.0.2:4566", "0.0.0.0:4566", "[::1]:4566", "2130706433:4566", "",
        "x@127.0.0.1:4566", "127.0.0.1:4566\n", " 127.0.0.1:4566", "LOCALHOST.:4566", "abc.execute-api.page.example:4566",
        "a.b.execute-api.127.0.0.1:4566", "abc.s3.127.0.0.1:4566", "127.0.0.1:4566,page.example", "127a0b0c1:4566",
    ],
)  # fmt: skip
def test_every_other_host_is_refused(host: str) -> None:
    assert judged(("host", host), api_names=True) is not None


def test_no_host_and_two_hosts_are_refused() -> None:
    assert judged() is not None
    assert judged(*OURS, *OURS) is not None
    assert judged(*OURS, ("HOST", "page.example")) is not None


@given(origin=st.text(max_size=40), method=st.sampled_from(METHODS), page=st.booleans())
def test_no_origin_is_ours(origin: str, method: str, page: bool) -> None:
    assert judged(*OURS, ("Origin", origin), method=method, page=page) is not None


@pytest.mark.parametrize("origin", ["null", "http://127.0.0.1:4566", "http://localhost:4566", "https://page.example"])
def test_an_origin_of_the_same_address_is_refused_since_our_pages_have_no_script(origin: str) -> None:
    assert judged(*OURS, ("Origin", origin), page=True) is not None


@given(site=st.text(max_size=20), method=st.sampled_from(METHODS), page=st.booleans())
def test_browser_may_only_open_a_page_that_a_person_asked_for(site: str, method: str, page: bool) -> None:
    allowed = page and site in {"none", "same-origin"}
    assert (judged(*OURS, ("Sec-Fetch-Site", site), method=method, page=page) is None) == (allowed and method in {"GET", "HEAD"})


@pytest.mark.parametrize("name", ["Site", "Mode", "Dest", "User", "Storage-Access", "Later"])
@pytest.mark.parametrize("value", ["none", "navigate", "document", "?1", "same-origin", ""])
def test_browser_is_refused_where_no_page_is_by_whatever_it_says_of_itself(name: str, value: str) -> None:
    assert judged(*OURS, (f"Sec-Fetch-{name}", value), api_names=True) is not None


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site", "cross-site"])
def test_page_that_loads_itself_again_is_shown_and_nothing_else_of_a_page_is(site: str) -> None:
    own = ("referer", f"http://127.0.0.1:{PORT}/page/x")
    assert (judged(*OURS, own, ("sec-fetch-site", site), page=True) is None) == (site in {"none", "same-origin"})
    assert judged(*OURS, own) is not None
    assert judged(*OURS, ("referer", "http://page.example/"), page=True) is not None
    assert judged(*OURS, ("referer", f"http://127.0.0.1:{PORT}.page.example/"), page=True) is not None


def asked(scope: dict[str, Any]) -> tuple[list[Message], bool]:
    """Return what the guarded application sent for a scope, and whether it was reached."""
    sent: list[Message] = []
    reached = False

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal reached
        reached = True
        headers = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-expose-headers", b"*"), (b"content-type", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await guarded(application)({"method": "GET", "server": ("127.0.0.1", PORT), **scope}, receive, send)

    asyncio.run(ask())
    return sent, reached


def test_answer_that_is_given_lets_no_other_origin_read_it() -> None:
    ((start,), reached) = asked({"type": "http", "headers": [(b"host", b"127.0.0.1:4566")]})
    assert reached
    assert start["headers"] == [(b"content-type", b"x")]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "more",
    [
        (b"origin", b"http://page.example"), (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-site", b"none"),
        (b"host", b"page.example"),
    ],
)  # fmt: skip
def test_application_never_sees_what_is_refused(kind: str, more: tuple[bytes, bytes]) -> None:
    sent, reached = asked({"type": kind, "headers": [(b"host", b"127.0.0.1:4566"), more]})
    assert not reached
    if kind == "http":
        assert sent[0]["status"] == 403
        assert not any(name.startswith(b"access-control") for name, _ in sent[0]["headers"])
    else:
        assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.fixture(params=["telegram", "exchange", "trading"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandInServer]:
    market = (LoadedBars({}), (Symbol("BTC-USD"),), NOW)
    servers: dict[str, Callable[[], StandInServer]] = {
        "telegram": TelegramStandIn,
        "exchange": lambda: ExchangeStandIn(*market),
        "trading": lambda: TradingStandIn(*market),
    }
    running = servers[request.param]()
    yield running
    running.close()


def output(server: StandInServer, text: str) -> str:
    """Return everything a server says to bytes as they are, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        found = b""
        while part := connection.recv(65536):
            found += part
    return found.decode()


@pytest.mark.parametrize("method", METHODS)
def test_stand_in_refuses_a_page_whatever_the_method(stand_in: StandInServer, method: str) -> None:
    for header in (
        {"origin": "https://page.example"},
        {"origin": "null"},
        {"host": f"page.example:{stand_in.port}"},
        {"sec-fetch-site": "cross-site"},
        {"referer": "https://page.example/"},
        {"origin": "https://page.example", "access-control-request-method": "POST"},
    ):
        answer = httpx.request(
            method, f"{stand_in.url}/bot{BOT_TOKEN}/sendMessage?chat_id=1&text=x", headers=header, trust_env=False
        )
        assert answer.status_code == 403
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_stand_in_refuses_old_requests_without_a_name_and_with_two(stand_in: StandInServer) -> None:
    assert " 403 " in output(stand_in, "GET /products HTTP/1.0\n\n")
    two = f"GET /products HTTP/1.1\nHost: 127.0.0.1:{stand_in.port}\nHost: page.example\n\n"
    assert output(stand_in, two).count(" 403 ") == 1


def test_body_of_a_refused_request_is_no_second_request(stand_in: StandInServer) -> None:
    smuggled = f"GET /products HTTP/1.1\nHost: 127.0.0.1:{stand_in.port}\n\n"
    answer = output(stand_in, f"POST / HTTP/1.1\nHost: page.example\nContent-Length: {len(smuggled)}\n\n{smuggled}")
    assert answer.count("HTTP/1.") == 1


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "-1", "1e3", "9" * 30, "x"])
def test_stand_in_reads_no_body_without_end(stand_in: StandInServer, length: str) -> None:
    host = f"127.0.0.1:{stand_in.port}"
    assert " 413 " in output(stand_in, f"POST / HTTP/1.1\nHost: {host}\nContent-Length: {length}\n\n")


TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-user": "?1"}


def test_address_that_a_browser_is_sent_to_does_nothing(stand_in: StandInServer) -> None:
    """What somebody clicks in a mail, or types and is redirected from, has no origin and no referrer."""
    for path in (f"/bot{BOT_TOKEN}/sendMessage?chat_id={CHAT_ID}&text=x", "/products", "/", "/pagex"):
        assert httpx.get(f"{stand_in.url}{path}", headers=TYPED, trust_env=False).status_code == 403
    if isinstance(stand_in, TelegramStandIn):
        assert httpx.get(stand_in.page_url, headers=TYPED, trust_env=False).status_code == 200
        assert stand_in.messages == ()


def test_page_of_messages_is_shown_only_to_who_knows_its_address() -> None:
    telegram, other = TelegramStandIn(), TelegramStandIn()
    try:
        httpx.post(f"{telegram.url}/bot{BOT_TOKEN}/sendMessage", json={"chat_id": CHAT_ID, "text": "secret"}, trust_env=False)
        shown = httpx.get(telegram.page_url, trust_env=False)
        assert "secret" in shown.text
        assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
        token = telegram.page_url.rpartition("/")[2]
        assert token != other.page_url.rpartition("/")[2]
        for path in ("/", "/page/", "/page/x", f"/page/{token}x", f"/page/{token[:-1]}", "/page/é"):
            answer = httpx.get(f"{telegram.url}{path}", trust_env=False)
            assert answer.status_code == 404
            assert "secret" not in answer.text
    finally:
        telegram.close()
        other.close()
