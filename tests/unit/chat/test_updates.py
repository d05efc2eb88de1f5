"""What the webhook reads of an update: from whom, and nothing it has no business with. No body makes it fail otherwise."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.adapters.telegram.client import TelegramClient
from signalbox.application.telegram_bot import IncomingUpdate
from signalbox.chat.updates import MAX_UPDATE, UpdateFrom, code_in, update_from
from signalbox.wire import WireError

USER = {"id": 7, "is_bot": False, "first_name": "Ada"}
PRIVATE = {"id": 7, "type": "private"}
GROUP = {"id": -100123, "type": "supergroup", "title": "desk", "is_forum": True}
CODE = "ABCD-EFGH-JKLM-NPQR"


def message(**changed: Any) -> dict[str, Any]:
    return {"message_id": 1, "date": 1, "chat": PRIVATE, "from": USER, "text": "/status"} | changed


def read_by_library(body: str) -> IncomingUpdate | None:
    with closing(TelegramClient("1:a")) as client:
        return client.read(body)


def read(**update: Any) -> UpdateFrom | None:
    return update_from(json.dumps({"update_id": 5, **update}))


def test_a_message_and_a_press_say_who_and_where() -> None:
    assert read(message=message()) == UpdateFrom(5, 7, 7, is_private=True)
    assert read(message=message(chat=GROUP)) == UpdateFrom(5, 7, -100123, is_private=False)
    press = {"id": "q", "from": USER, "chat_instance": "1", "data": "y:1", "message": message(chat=GROUP)}
    assert read(callback_query=press) == UpdateFrom(5, 7, -100123, is_private=False)
    gone = {"chat": PRIVATE, "message_id": 3, "date": 0}  # a message that is not accessible any more
    assert read(callback_query={**press, "message": gone}) == UpdateFrom(5, 7, 7, is_private=True)


@pytest.mark.parametrize(
    "update",
    [
        {"edited_message": message()},
        {"channel_post": message(chat={"id": -100, "type": "channel"})},
        {"edited_channel_post": message()},
        {"inline_query": {"id": "1", "from": USER, "query": "/halt", "offset": ""}},
        {"callback_query": {"id": "q", "from": USER, "chat_instance": "1", "inline_message_id": "x", "data": "y:1"}},
        {"my_chat_member": {}},
        {"message": message(sender_chat={"id": -100, "type": "channel"})},  # an anonymous admin
        {"message": message(**{"from": {**USER, "is_bot": True}})},
        {"message": {"message_id": 1, "date": 1, "chat": PRIVATE}},
        {},
    ],
)
def test_other_kinds_are_nobodys(update: dict[str, Any]) -> None:
    assert read(**update) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b'{"update_id":"5"}', b'{"update_id":-1}', b'{"update_id":true}', b"\xff\xfe", b"[" * 200_000,
        json.dumps({"update_id": 5, "message": message(chat={"id": "7", "type": "private"})}).encode(),
        json.dumps({"update_id": 5, "message": message(**{"from": {**USER, "id": 2**70}})}).encode(),
        json.dumps({"update_id": 5, "message": message(text="x" * MAX_UPDATE)}).encode(),
        json.dumps({"update_id": 5, "message": message(text="a\x00b")}).encode(),
        b'{"update_id":5,"update_id":6}',
    ],
)  # fmt: skip
def test_what_is_no_update_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        update_from(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*USER, *message(), "message"]), inner),
    max_leaves=12,
)


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(["update_id", "message", "callback_query"]), JSON).map(
    lambda found: json.dumps(found).encode()
))  # fmt: skip
@example(b'{"update_id":1,"callback_query":[]}')
@example(b'{"update_id":1,"message":{"from":[],"chat":3}}')
def test_any_body_is_read_ignored_or_refused(body: bytes) -> None:
    try:
        found = update_from(body)
    except WireError:
        return
    assert found is None or (found.user > 0 and found.chat != 0)


def test_a_code_is_one_alone_and_only_in_the_persons_own_chat() -> None:
    assert code_in(f" /start {CODE}\n") == CODE == code_in(CODE)
    assert code_in(f"{CODE} please") is None is code_in("/start")
    assert code_in(CODE.lower()) is None
    found, grouped = read(message=message(text=CODE)), read(message=message(text=CODE, chat=GROUP))
    assert found is not None
    assert grouped is not None
    assert (found.code, grouped.code) == (CODE, None)


@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
@pytest.mark.parametrize("text", ["/status", "ü\u202e", "x" * 4096])
def test_the_library_reads_the_same_sender(chat: dict[str, Any], text: str) -> None:
    body = json.dumps({"update_id": 5, "message": message(chat=chat, text=text, is_topic_message=True, message_thread_id=9)})
    ours, theirs = update_from(body), read_by_library(body)
    assert ours is not None
    assert theirs is not None
    assert (ours.user, ours.chat, ours.is_private) == (theirs.user, theirs.chat, theirs.is_private)
    assert (theirs.text, theirs.thread, theirs.is_forwarded) == (text, 9, False)


def test_a_forwarded_message_is_known_as_one() -> None:
    origin = {"type": "user", "date": 1, "sender_user": {"id": 8, "is_bot": False, "first_name": "Eve"}}
    found = read_by_library(json.dumps({"update_id": 5, "message": message(forward_origin=origin)}))
    assert found is not None
    assert found.is_forwarded
