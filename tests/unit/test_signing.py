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
from signalbox.adapters.aws.signing_keys import SecretKeys, key_client
from signalbox.contracts import SIGNED_REPORTS, SIGNED_REQUESTS
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
    detail_of,
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
    """A secret in (emulated) Secrets Manager, and a clock."""

    def __init__(self) -> None:
        self.client, self.seconds = boto3.client("secretsmanager"), 0.0
        self.client.create_secret(Name="key", SecretString="a" * 64)

    def keys(self) -> SecretKeys:
        return SecretKeys(self.client, "key", lambda: self.seconds)

    def both_sides(self) -> tuple[SecretKeys, SecretKeys, SigningKey]:
        """Return a signer and a verifier that have read the key, and the key."""
        signer, verifier = self.keys(), self.keys()
        key = signer.current()
        assert verifier.find(key.key_id) == key
        return signer, verifier, key

    def put(self, letter: str) -> str:
        self.client.put_secret_value(SecretId="key", SecretString=letter * 64)
        return SigningKey.of(letter * 64).key_id


@pytest.fixture
def secret(aws: None) -> Iterator[Rotated]:
    with mock_aws():
        yield Rotated()


def test_a_rotation_is_followed_at_once_by_who_verifies_and_soon_by_who_signs(secret: Rotated) -> None:
    signer, verifier = secret.keys(), secret.keys()
    first = signer.current().key_id
    assert verifier.find(first) == SigningKey.of("a" * 64)
    second = secret.put("b")
    assert signer.current().key_id == first  # still kept, and still accepted
    assert verifier.find(first) is not None
    assert verifier.find(second) is not None  # unknown so far, so it was looked for
    secret.seconds = KEPT_SECONDS
    assert signer.current().key_id == second
    assert verifier.find(first) is not None  # what was sealed before the rotation and arrives now
    third = secret.put("c")
    assert verifier.find(third) is not None
    assert verifier.find(first) is None  # two rotations ago
    assert verifier.find("0" * 16) is None


def test_a_cached_key_serves_while_secrets_manager_is_down_others_are_unavailable(
    secret: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier, key = secret.both_sides()
    late = secret.keys()

    def away(**_asked: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://secretsmanager")

    monkeypatch.setattr(secret.client, "get_secret_value", away)
    secret.seconds = 10 * KEPT_SECONDS
    assert signer.current() == key
    assert verifier.find(key.key_id) == key
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id), lambda: verifier.find("0" * 16))
    for asks in questions:
        with pytest.raises(KeyUnavailableError):
            asks()


def counted(secret: Rotated, monkeypatch: pytest.MonkeyPatch, *unreachable: str) -> list[str]:
    """Count what is asked for from now on; those labels cannot be reached."""
    asked: list[str] = []
    real = secret.client.get_secret_value

    def get(**wanted: str) -> Any:
        asked.append(wanted["VersionStage"])
        if wanted["VersionStage"] in unreachable:
            raise EndpointConnectionError(endpoint_url="https://secretsmanager")
        return real(**wanted)

    monkeypatch.setattr(secret.client, "get_secret_value", get)
    return asked


def test_secrets_manager_that_is_away_is_asked_once_in_a_while_and_not_at_every_seal(
    secret: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier, key = secret.both_sides()
    late = secret.keys()
    asked = counted(secret, monkeypatch, "AWSCURRENT", "AWSPREVIOUS")
    secret.seconds = KEPT_SECONDS
    for _ in range(100):
        assert signer.current() == key
    assert asked == ["AWSCURRENT"]
    asked.clear()
    for _ in range(100):
        assert verifier.find(key.key_id) == key
        with pytest.raises(KeyUnavailableError):
            verifier.find("0" * 16)
    assert asked == ["AWSPREVIOUS", "AWSCURRENT"]
    asked.clear()
    secret.seconds += RETRY_SECONDS
    assert (signer.current(), verifier.find(key.key_id)) == (key, key)
    assert asked == ["AWSCURRENT", "AWSPREVIOUS", "AWSCURRENT"]
    asked.clear()
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id))
    for asks in questions:  # who never read one asks each time, and each label once
        with pytest.raises(KeyUnavailableError):
            asks()
    assert sorted(asked) == ["AWSCURRENT", "AWSCURRENT", "AWSPREVIOUS", "AWSPREVIOUS"]


def test_a_key_is_followed_soon_after_secrets_manager_is_back(secret: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    signer, verifier = secret.keys(), secret.keys()
    first = signer.current().key_id
    assert verifier.find(first) is not None
    secret.seconds = KEPT_SECONDS
    with monkeypatch.context() as away:
        counted(secret, away, "AWSCURRENT", "AWSPREVIOUS")
        assert signer.current().key_id == first
        assert verifier.find(first) is not None
    second = secret.put("b")
    secret.seconds += RETRY_SECONDS
    assert signer.current().key_id == second
    assert {verifier.find(first), verifier.find(second)} == {SigningKey.of("a" * 64), SigningKey.of("b" * 64)}


@pytest.mark.parametrize("bad", ["", " ", "short", "x" * 31])
def test_a_new_value_that_is_no_key_stops_nobody(secret: Rotated, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    warm_signer, warm_verifier = secret.keys(), secret.keys()
    key = warm_signer.current()
    assert warm_verifier.find(key.key_id) == key
    secret.client.put_secret_value(SecretId="key", SecretString=bad or "\n")
    secret.seconds = KEPT_SECONDS
    for signer, verifier in ((secret.keys(), secret.keys()), (warm_signer, warm_verifier)):
        assert signer.current() == key
        assert verifier.find(key.key_id) == key
        assert verifier.find("0" * 16) is None  # a forgery is refused at once, as ever
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any("signing_key_unusable: key: AWSCURRENT" in line for line in lines)
    assert key.secret.decode() not in caplog.text
    assert bad.strip() == "" or bad not in caplog.text
    repaired = secret.put("b")  # now the value that is no key is the one before
    secret.seconds += RETRY_SECONDS
    for signer, verifier in ((secret.keys(), secret.keys()), (warm_signer, warm_verifier)):
        assert signer.current().key_id == repaired
        assert verifier.find(repaired) is not None
    assert warm_verifier.find(key.key_id) == key  # what was sealed until now and arrives late


def test_two_values_that_are_no_keys_leave_who_has_read_one_before(secret: Rotated) -> None:
    signer, verifier = secret.keys(), secret.keys()
    key = signer.current()
    assert verifier.find(key.key_id) == key
    for bad in ("one", "two"):
        secret.client.put_secret_value(SecretId="key", SecretString=bad)
    secret.seconds = KEPT_SECONDS
    assert (signer.current(), verifier.find(key.key_id)) == (key, key)
    late = secret.keys()
    questions: tuple[Callable[[], object], ...] = (late.current, lambda: late.find(key.key_id))
    for asks in questions:
        with pytest.raises(KeyUnavailableError, match=r"AWSCURRENT.*AWSPREVIOUS"):
            asks()


def test_one_label_that_cannot_be_read_hides_no_key_of_the_other(secret: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    first = secret.keys().current()
    second = SigningKey.of("b" * 64)
    secret.put("b")
    for away, seen, unseen in (("AWSCURRENT", first, second), ("AWSPREVIOUS", second, first)):
        with monkeypatch.context() as patch:
            counted(secret, patch, away)
            signer, verifier = secret.keys(), secret.keys()
            assert (signer.current(), verifier.find(seen.key_id)) == (seen, seen)
            with pytest.raises(KeyUnavailableError):
                verifier.find(unseen.key_id)


def test_a_secrets_manager_that_does_not_answer_is_given_up_in_seconds(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        keys = SecretKeys(key_client(), "key")
        begin = time.monotonic()
        with pytest.raises(KeyUnavailableError):
            keys.current()
        assert time.monotonic() - begin < 10  # of the 30 that manage_orders has; the defaults take minutes
