"""A seal holds through every way of writing the same JSON, and for nothing else."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.secret_texts import KEPT_SECONDS, RETRY_SECONDS
from signalbox.adapters.aws.signing_keys import StoredKeys, key_client, make_key
from signalbox.contracts import SIGNED_REPORTS, SIGNED_REQUESTS, SealKey
from signalbox.events import _BY_TYPE, SEAL, BusEvent, UnreadableEventError
from signalbox.orders.sealing import REQUEST_LIFE, RequestSealer
from signalbox.signing import (
    ForgedError,
    KeyUnavailableError,
    OverdueError,
    SealError,
    SigningKey,
    UnknownKeyError,
    UnsealedError,
    open_message,
    require_in_time,
)
from signalbox.wire import WireError
from tests.fakes.keys import (
    REPORT_KEY,
    REPORT_KEYS,
    REQUEST_KEY,
    REQUEST_KEYS,
    REQUEST_TEXT,
    FixedKeys,
    change_key,
    detail_of,
    made_keys,
    message_of,
    sealed,
)
from tests.fuzz_wire import samples

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNED = {*SIGNED_REQUESTS, *SIGNED_REPORTS}
EVENTS = [event for event in samples() if event.type in SIGNED]
BOTH = FixedKeys(REQUEST_KEY, REPORT_KEY)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*path, name)
        yield from places(one, (*path, name))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_what_was_sealed_opens_however_its_json_is_written(event: BusEvent) -> None:
    whole = json.loads(message_of(event))
    for text in (
        json.dumps(whole),
        json.dumps(whole, indent=3, ensure_ascii=False),
        json.dumps(whole, sort_keys=True, separators=(",", ":")),
        json.dumps({**whole, "detail": dict(reversed(whole["detail"].items()))}),
    ):
        assert open_message(text, BOTH).event == event


@given(data=st.data())
def test_nothing_under_a_seal_can_be_changed_removed_or_added(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(EVENTS))
    detail = detail_of(event)
    path = data.draw(st.sampled_from(list(places(detail))))
    strange: st.SearchStrategy[object] = (
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just([]) | st.just({"a": "b"})
    )
    other = changed(detail, path, data.draw(strange))
    added = {**detail, data.draw(st.text("abc", min_size=1, max_size=9)): "1"}
    removed = {key: value for key, value in detail.items() if key != path[0]}
    for forged in (other, added, removed):
        if forged != detail:
            with pytest.raises((SealError, UnreadableEventError, WireError)):
                open_message(message_of(event, forged), BOTH)


def test_every_type_that_is_signed_has_a_sample_and_no_fraction() -> None:
    assert {event.type for event in EVENTS} == SIGNED
    for kind in SIGNED:
        assert "'type': 'float'" not in repr(_BY_TYPE[kind].__pydantic_core_schema__), kind


def test_the_seal_of_one_type_is_none_of_another() -> None:
    request, report = EVENTS[0], EVENTS[1]
    with pytest.raises(ForgedError):
        open_message(message_of(report, detail_of(request)), BOTH)
    with pytest.raises(UnknownKeyError):
        open_message(message_of(report), REQUEST_KEYS)
    with pytest.raises(UnknownKeyError):
        open_message(message_of(request), REPORT_KEYS)


@pytest.mark.parametrize("seal", [None, {}, "x", [], {"signature": "0" * 64}, {"key": 1}])
def test_without_a_seal_nothing_opens(seal: object) -> None:
    event = EVENTS[0]
    with pytest.raises(UnsealedError):
        open_message(message_of(event, {**event.to_detail(), SEAL: seal}), BOTH)
    with pytest.raises(UnsealedError):
        open_message(message_of(event, event.to_detail()), BOTH)


def test_a_key_of_somebody_else_under_our_keys_name_is_a_forgery() -> None:
    event = EVENTS[0]
    theirs = SigningKey(REQUEST_KEY.key_id, b"x" * 64)
    with pytest.raises(ForgedError):
        open_message(message_of(event, sealed(event.type, event.to_detail(), theirs)), BOTH)


@pytest.mark.parametrize("source", ["somebody", None, [], "aws.events"])
def test_a_sealed_event_of_another_source_is_none_of_ours(source: object) -> None:
    with pytest.raises(UnreadableEventError, match="signalbox"):
        open_message(message_of(EVENTS[0], source=source), BOTH)


def test_a_request_is_good_until_its_end_and_one_without_an_end_never_is() -> None:
    request = EVENTS[0]
    text = RequestSealer(lambda: REQUEST_KEY, lambda: NOW).detail(request, 7)
    seal = open_message(message_of(request, json.loads(text)), REQUEST_KEYS).seal
    assert (seal.sequence, seal.expires_at) == (7, NOW + REQUEST_LIFE)
    require_in_time(seal, NOW + REQUEST_LIFE - timedelta.resolution)
    endless = open_message(message_of(request, sealed(request.type, request.to_detail(), REQUEST_KEY)), REQUEST_KEYS).seal
    for late in (seal, endless):
        with pytest.raises(OverdueError):
            require_in_time(late, NOW + REQUEST_LIFE)


def test_a_key_is_shown_nowhere_and_a_short_one_is_none() -> None:
    assert REQUEST_TEXT not in f"{REQUEST_KEY} {REQUEST_KEY!r}"
    with pytest.raises(KeyUnavailableError):
        SigningKey.of("x" * 31)


class Rotated:
    """The requests' key in an (emulated) table, and a clock."""

    def __init__(self) -> None:
        self.client, self.seconds = boto3.client("dynamodb"), 0.0
        made_keys(self.client, "keys", {SealKey.REQUESTS: "a" * 64})

    def keys(self) -> StoredKeys:
        return StoredKeys(self.client, "keys", SealKey.REQUESTS, lambda: self.seconds)

    def both_sides(self) -> tuple[StoredKeys, StoredKeys, SigningKey]:
        """Return a signer and a verifier that have read the key, and the key."""
        signer, verifier = self.keys(), self.keys()
        key = signer.current()
        assert verifier.find(key.key_id) == key
        return signer, verifier, key

    def put(self, text: str) -> str:
        """Change the key to that text, or to the letter 64 times."""
        whole = text * 64 if len(text) == 1 and text.isalpha() else text
        change_key(self.client, "keys", SealKey.REQUESTS, whole)
        return SigningKey.of(whole).key_id if len(whole) >= 32 else ""


@pytest.fixture
def stored(aws: None) -> Iterator[Rotated]:
    with mock_aws():
        yield Rotated()


def test_a_key_is_made_once_and_long_enough(stored: Rotated) -> None:
    assert [make_key(stored.client, "keys", name) for name in (*SealKey, *SealKey)] == [False, True, True, False, False, False]
    assert stored.keys().current() == SigningKey.of("a" * 64)  # the one that was there stays
    made = StoredKeys(stored.client, "keys", SealKey.REPORTS).current()
    assert len(made.secret) == 64
    assert made.key_id != stored.keys().current().key_id


def test_a_rotation_is_followed_at_once_by_who_verifies_and_soon_by_who_signs(stored: Rotated) -> None:
    signer, verifier = stored.keys(), stored.keys()
    first = signer.current().key_id
    assert verifier.find(first) == SigningKey.of("a" * 64)
    second = stored.put("b")
    assert signer.current().key_id == first  # still kept, and still accepted
    assert verifier.find(first) is not None
    assert verifier.find(second) is not None  # unknown so far, so it was looked for
    stored.seconds = KEPT_SECONDS
    assert signer.current().key_id == second
    assert verifier.find(first) is not None  # what was sealed before the rotation and arrives now
    third = stored.put("c")
    assert verifier.find(third) is not None
    assert verifier.find(first) is None  # two rotations ago
    assert verifier.find("0" * 16) is None


def counted(stored: Rotated, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what is asked for from now on; the table is out of reach."""
    asked: list[str] = []

    def away(**wanted: Any) -> None:
        asked.append(wanted["Key"]["name"]["S"])
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(stored.client, "get_item", away)
    return asked


def test_a_cached_key_serves_while_the_table_is_away_others_are_unavailable(
    stored: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier, key = stored.both_sides()
    late = stored.keys()
    counted(stored, monkeypatch)
    stored.seconds = 10 * KEPT_SECONDS
    assert signer.current() == key
    assert verifier.find(key.key_id) == key
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id), lambda: verifier.find("0" * 16))
    for asks in questions:
        with pytest.raises(KeyUnavailableError):
            asks()


def test_a_table_that_is_away_is_asked_once_in_a_while_and_not_at_every_seal(
    stored: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier, key = stored.both_sides()
    late = stored.keys()
    asked = counted(stored, monkeypatch)
    stored.seconds = KEPT_SECONDS
    for _ in range(100):
        assert signer.current() == key
    assert len(asked) == 1
    asked.clear()
    for _ in range(100):
        assert verifier.find(key.key_id) == key
        with pytest.raises(KeyUnavailableError):
            verifier.find("0" * 16)
    assert len(asked) == 1
    asked.clear()
    stored.seconds += RETRY_SECONDS
    assert (signer.current(), verifier.find(key.key_id)) == (key, key)
    assert len(asked) == 2
    asked.clear()
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id))
    for asks in questions:  # who never read one asks each time, and once
        with pytest.raises(KeyUnavailableError):
            asks()
    assert asked == [SealKey.REQUESTS] * 2


def test_a_key_is_followed_soon_after_the_table_is_back(stored: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    signer, verifier = stored.keys(), stored.keys()
    first = signer.current().key_id
    assert verifier.find(first) is not None
    stored.seconds = KEPT_SECONDS
    with monkeypatch.context() as away:
        counted(stored, away)
        assert signer.current().key_id == first
        assert verifier.find(first) is not None
    second = stored.put("b")
    stored.seconds += RETRY_SECONDS
    assert signer.current().key_id == second
    assert {verifier.find(first), verifier.find(second)} == {SigningKey.of("a" * 64), SigningKey.of("b" * 64)}


@pytest.mark.parametrize("bad", ["", " ", "short", "x" * 31])
def test_a_new_value_that_is_no_key_stops_nobody(stored: Rotated, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    warm_signer, warm_verifier = stored.keys(), stored.keys()
    key = warm_signer.current()
    assert warm_verifier.find(key.key_id) == key
    stored.put(bad)
    stored.seconds = KEPT_SECONDS
    for signer, verifier in ((stored.keys(), stored.keys()), (warm_signer, warm_verifier)):
        assert signer.current() == key
        assert verifier.find(key.key_id) == key
        assert verifier.find("0" * 16) is None  # a forgery is refused at once, as ever
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any("signing_key_unusable: keys, requests: current" in line for line in lines)
    assert key.secret.decode() not in caplog.text
    assert bad.strip() == "" or bad not in caplog.text
    repaired = stored.put("b")  # now the value that is no key is the one before
    stored.seconds += RETRY_SECONDS
    for signer, verifier in ((stored.keys(), stored.keys()), (warm_signer, warm_verifier)):
        assert signer.current().key_id == repaired
        assert verifier.find(repaired) is not None
    assert warm_verifier.find(key.key_id) == key  # what was sealed until now and arrives late


def test_two_values_that_are_no_keys_leave_who_has_read_one_before(stored: Rotated) -> None:
    signer, verifier = stored.keys(), stored.keys()
    key = signer.current()
    assert verifier.find(key.key_id) == key
    for bad in ("one", "two"):
        stored.put(bad)
    stored.seconds = KEPT_SECONDS
    assert (signer.current(), verifier.find(key.key_id)) == (key, key)
    late = stored.keys()
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id))
    for asks in questions:
        with pytest.raises(KeyUnavailableError, match=r"current.*previous"):
            asks()


def test_an_item_that_is_gone_leaves_who_has_read_it_and_is_unavailable_to_others(stored: Rotated) -> None:
    signer = stored.keys()
    key = signer.current()
    stored.client.delete_item(TableName="keys", Key={"name": {"S": SealKey.REQUESTS}})
    stored.seconds = KEPT_SECONDS
    assert (signer.current(), signer.find(key.key_id)) == (key, key)
    with pytest.raises(KeyUnavailableError, match="keys, requests"):
        stored.keys().find(key.key_id)


def test_a_table_that_does_not_answer_is_given_up_in_seconds(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        keys = StoredKeys(key_client(), "keys", SealKey.REQUESTS)
        begin = time.monotonic()
        with pytest.raises(KeyUnavailableError):
            keys.current()
        assert time.monotonic() - begin < 10  # of the 30 that manage_orders has; the defaults take minutes
