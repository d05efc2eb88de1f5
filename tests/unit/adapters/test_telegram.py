import gzip
import json
import socket
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import MessageEntity

from signalbox.adapters.telegram.bot_api import TelegramMessenger, entities
from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    MessengerUnconfirmedError,
    OutgoingMessage,
)
from signalbox.chat.styled import Style, joined, plain_text
from tests.fakes.http_server import Reply, serving

TOKEN = "123:secret"
HI = OutgoingMessage(plain_text("hi"))


def test_a_text_is_posted_with_its_styles_as_entities_and_its_id_comes_back() -> None:
    text = plain_text("🟢 ") + plain_text("<b>é", Style.BOLD)
    with serving(lambda _: Reply(200, {"ok": True, "result": {"message_id": 7}})) as server:
        sent = TelegramMessenger(TOKEN, url=server.url).send("42", OutgoingMessage(text, silent=True, reply_to=5))
    assert sent == 7
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"/bot{TOKEN}/sendMessage")
    assert json.loads(request.body) == {
        "chat_id": "42",
        "text": "🟢 <b>é",
        "entities": [{"type": "bold", "offset": 3, "length": 4}],
        "disable_notification": True,
        "reply_parameters": {"message_id": 5, "allow_sending_without_reply": True},
        "link_preview_options": {"is_disabled": True},
    }


def test_a_photo_is_posted_as_a_form_with_its_caption() -> None:
    with serving(lambda _: Reply(200, {"ok": True, "result": {"message_id": 8}})) as server:
        sent = TelegramMessenger(TOKEN, url=server.url).send("42", OutgoingMessage(plain_text("up", Style.CODE), b"\x89PNG"))
    assert sent == 8
    (request,) = server.requests
    assert request.path == f"/bot{TOKEN}/sendPhoto"
    for part in (b'name="caption"', b"\x89PNG", b'[{"type": "code", "offset": 0, "length": 2}]', b'filename="chart.png"'):
        assert part in request.body


PIECES = st.lists(st.tuples(st.text(st.sampled_from("a 🟢é\n"), min_size=1), st.sampled_from([None, *Style])), max_size=8)


@given(PIECES)
def test_entities_are_those_that_a_client_library_computes(pieces: list[tuple[str, Style | None]]) -> None:
    text = joined((plain_text(piece, style) for piece, style in pieces), "")
    by_code_points = [MessageEntity(one.style.value, one.start, one.end - one.start) for one in text.spans]
    expected = MessageEntity.adjust_message_entities_to_utf_16(text.text, by_code_points)
    assert entities(text) == [{"type": one.type, "offset": one.offset, "length": one.length} for one in expected]


def test_an_answer_without_an_id_is_a_message_all_the_same() -> None:
    with serving(lambda _: Reply(200, b"<html>")) as server:
        assert TelegramMessenger(TOKEN, url=server.url).send("42", HI) is None


def _answer_once_a_connection(server: socket.socket) -> None:
    """Answer as if the connection stayed, and drop it as soon as it is used again."""
    for _ in range(2):
        connection, _address = server.accept()
        with connection, connection.makefile("rb") as request:
            headers = list(iter(request.readline, b"\r\n"))
            request.read(next(int(line.partition(b":")[2]) for line in headers if line.lower().startswith(b"content-length")))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            if request.read(1):  # used again
                return


def test_a_server_that_closes_without_saying_so_fails_no_later_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once_a_connection, args=(server,), daemon=True)
        thread.start()
        messenger = TelegramMessenger(TOKEN, url=f"http://127.0.0.1:{server.getsockname()[1]}")
        for _ in range(2):
            messenger.send("42", HI)
        thread.join(10)


def test_429_says_how_long_to_wait() -> None:
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 17}}
    with serving(lambda _: Reply(429, body)) as server, pytest.raises(MessengerBusyError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", HI)
    assert caught.value.retry_after == 17


UPGRADED = "Bad Request: group chat was upgraded to a supergroup chat"


def test_a_group_that_became_a_supergroup_says_where_it_is() -> None:
    body = {"ok": False, "error_code": 400, "description": UPGRADED, "parameters": {"migrate_to_chat_id": -1001234567890}}
    with serving(lambda _: Reply(400, body)) as server, pytest.raises(ChatMovedError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("-42", HI)
    assert caught.value.new_id == "-1001234567890"


@pytest.mark.parametrize("new_id", [None, "soon", True, 2**60, 1.5, [1], {}])
def test_a_move_to_what_is_no_chat_is_final(new_id: object) -> None:
    body = {"ok": False, "description": UPGRADED, "parameters": {"migrate_to_chat_id": new_id}}
    with serving(lambda _: Reply(400, body)) as server, pytest.raises(MessengerRefusedError, match="upgraded") as caught:
        TelegramMessenger(TOKEN, url=server.url).send("-42", HI)
    assert not isinstance(caught.value, ChatMovedError)


def test_an_answer_that_nobody_can_read_is_judged_by_its_status() -> None:
    deep = b"[" * 200_000
    with serving(lambda _: Reply(403, deep)) as server, pytest.raises(MessengerRefusedError, match="HTTP 403"):
        TelegramMessenger(TOKEN, url=server.url).send("42", HI)
    with serving(lambda _: Reply(502, deep)) as server, pytest.raises(MessengerUnconfirmedError, match="HTTP 502"):
        TelegramMessenger(TOKEN, url=server.url).send("42", HI)


def test_answer_that_unpacks_to_megabytes_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(40_000_000), 1)
    with serving(lambda _: Reply(403, bomb, headers={"Content-Encoding": "gzip"})) as server:
        tracemalloc.start()
        with pytest.raises(MessengerRefusedError, match="HTTP 403"):
            TelegramMessenger(TOKEN, url=server.url).send("42", HI)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("body", [b"<html>", {"ok": False}, {"parameters": {"retry_after": "soon"}}, [1]])
def test_429_without_a_usable_wait_falls_back(body: object) -> None:
    with serving(lambda _: Reply(429, body)) as server, pytest.raises(MessengerBusyError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", HI)
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_client_errors_are_final(status: int) -> None:
    body = {"ok": False, "description": "Forbidden: bot was blocked by the user"}
    with serving(lambda _: Reply(status, body)) as server, pytest.raises(MessengerRefusedError, match="blocked") as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", HI)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(500, {"ok": False, "description": "Internal Server Error"}), MessengerUnavailableError),
        (Reply(503, b"<html>"), MessengerUnavailableError),
        (Reply(502, b"<html>bad gateway</html>"), MessengerUnconfirmedError),
        (Reply(504, b""), MessengerUnconfirmedError),
        (Reply(hang=True), MessengerUnconfirmedError),
    ],
)
def test_only_what_the_api_says_it_did_not_send_may_be_sent_again(reply: Reply, error: type[Exception]) -> None:
    with serving(lambda _: reply) as server, pytest.raises(error) as caught:
        TelegramMessenger(TOKEN, url=server.url, timeout_seconds=0.3).send("42", HI)
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_connection_is_unavailable() -> None:
    with pytest.raises(MessengerUnavailableError):
        TelegramMessenger(TOKEN, url="http://127.0.0.1:9", timeout_seconds=0.3).send("42", HI)
