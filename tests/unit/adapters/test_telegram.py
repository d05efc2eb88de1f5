import gzip
import json
import tracemalloc

import pytest

from signalbox.adapters.telegram.bot_api import TelegramMessenger
from signalbox.chat.messenger import ChatMovedError, MessengerBusyError, MessengerRefusedError, MessengerUnavailableError
from tests.fakes.http_server import Reply, serving

TOKEN = "123:secret"


def test_a_message_is_posted_as_plain_text_and_cut_to_what_telegram_takes() -> None:
    with serving(lambda _: Reply(200, {"ok": True})) as server:
        TelegramMessenger(TOKEN, url=server.url).send("42", "x" * 5000)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"/bot{TOKEN}/sendMessage")
    sent = json.loads(request.body)
    assert sent["chat_id"] == "42"
    assert len(sent["text"]) == 4096


def test_429_says_how_long_to_wait() -> None:
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 17}}
    with serving(lambda _: Reply(429, body)) as server, pytest.raises(MessengerBusyError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", "hi")
    assert caught.value.retry_after == 17


UPGRADED = "Bad Request: group chat was upgraded to a supergroup chat"


def test_a_group_that_became_a_supergroup_says_where_it_is() -> None:
    body = {"ok": False, "error_code": 400, "description": UPGRADED, "parameters": {"migrate_to_chat_id": -1001234567890}}
    with serving(lambda _: Reply(400, body)) as server, pytest.raises(ChatMovedError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("-42", "hi")
    assert caught.value.new_id == "-1001234567890"


@pytest.mark.parametrize("new_id", [None, "soon", True, 2**60, 1.5, [1], {}])
def test_a_move_to_what_is_no_chat_is_final(new_id: object) -> None:
    body = {"ok": False, "description": UPGRADED, "parameters": {"migrate_to_chat_id": new_id}}
    with serving(lambda _: Reply(400, body)) as server, pytest.raises(MessengerRefusedError, match="upgraded") as caught:
        TelegramMessenger(TOKEN, url=server.url).send("-42", "hi")
    assert not isinstance(caught.value, ChatMovedError)


def test_an_answer_that_nobody_can_read_is_judged_by_its_status() -> None:
    deep = b"[" * 200_000
    with serving(lambda _: Reply(403, deep)) as server, pytest.raises(MessengerRefusedError, match="HTTP 403"):
        TelegramMessenger(TOKEN, url=server.url).send("42", "hi")
    with serving(lambda _: Reply(502, deep)) as server, pytest.raises(MessengerUnavailableError, match="HTTP 502"):
        TelegramMessenger(TOKEN, url=server.url).send("42", "hi")


def test_answer_that_unpacks_to_megabytes_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(40_000_000), 1)
    with serving(lambda _: Reply(403, bomb, headers={"Content-Encoding": "gzip"})) as server:
        tracemalloc.start()
        with pytest.raises(MessengerRefusedError, match="HTTP 403"):
            TelegramMessenger(TOKEN, url=server.url).send("42", "hi")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("body", [b"<html>", {"ok": False}, {"parameters": {"retry_after": "soon"}}, [1]])
def test_429_without_a_usable_wait_falls_back(body: object) -> None:
    with serving(lambda _: Reply(429, body)) as server, pytest.raises(MessengerBusyError) as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", "hi")
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_client_errors_are_final(status: int) -> None:
    body = {"ok": False, "description": "Forbidden: bot was blocked by the user"}
    with serving(lambda _: Reply(status, body)) as server, pytest.raises(MessengerRefusedError, match="blocked") as caught:
        TelegramMessenger(TOKEN, url=server.url).send("42", "hi")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("reply", [Reply(500, {"ok": False}), Reply(502, b"<html>bad gateway</html>"), Reply(hang=True)])
def test_server_errors_and_silence_are_unavailable_and_keep_the_token_to_themselves(reply: Reply) -> None:
    with serving(lambda _: reply) as server, pytest.raises(MessengerUnavailableError) as caught:
        TelegramMessenger(TOKEN, url=server.url, timeout_seconds=0.3).send("42", "hi")
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_connection_is_unavailable() -> None:
    with pytest.raises(MessengerUnavailableError):
        TelegramMessenger(TOKEN, url="http://127.0.0.1:9", timeout_seconds=0.3).send("42", "hi")
