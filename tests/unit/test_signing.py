"""A seal holds through every way of writing the same JSON, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.signing_keys import KEPT_SECONDS, SecretKeys
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
    strange = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just([]) | st.just({"a": "b"})
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


def test_a_key_that_was_read_goes_on_while_secrets_manager_is_away_and_an_unknown_one_is_not_refused(
    secret: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier, late = secret.keys(), secret.keys(), secret.keys()
    key = signer.current()
    assert verifier.find(key.key_id) == key

    def away(**_asked: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://secretsmanager")

    monkeypatch.setattr(secret.client, "get_secret_value", away)
    secret.seconds = 10 * KEPT_SECONDS
    assert signer.current() == key
    assert verifier.find(key.key_id) == key
    for asks in (late.current, lambda: late.find(key.key_id), lambda: verifier.find("0" * 16)):
        with pytest.raises(KeyUnavailableError):
            asks()
