"""The seal with which the bot names a person: for one request, for a minute, from whoever holds the key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.signing import ForgedError, OverdueError, SealError, SigningKey, UnknownKeyError, UnsealedError
from signalbox.trading.person_seal import AHEAD, VALID, SealedRequest, open_person, seal_person

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY, OTHER = SigningKey.of("k" * 32), SigningKey.of("o" * 32)
REQUEST = SealedRequest("POST", "/accounts/paper-25k/halt", b'{"why":"news"}')


class Keys:
    """One key."""

    def find(self, key_id: str) -> SigningKey | None:
        return KEY if key_id == KEY.key_id else None


def test_a_person_is_believed_for_the_request_and_a_minute() -> None:
    text = seal_person("telegram:7", REQUEST, KEY, NOW)
    assert open_person(text, REQUEST, Keys(), NOW) == "telegram:7"
    assert open_person(text, REQUEST, Keys(), NOW + VALID - timedelta(seconds=1)) == "telegram:7"
    for at in (NOW + VALID, NOW - AHEAD - timedelta(seconds=1)):
        with pytest.raises(OverdueError):
            open_person(text, REQUEST, Keys(), at)


@pytest.mark.parametrize(
    "other",
    [replace(REQUEST, method="PUT"), replace(REQUEST, path="/accounts/paper-9k/halt"), replace(REQUEST, body=b"")],
)
def test_it_is_worth_nothing_for_another_request(other: SealedRequest) -> None:
    with pytest.raises(ForgedError):
        open_person(seal_person("telegram:7", REQUEST, KEY, NOW), other, Keys(), NOW)


def test_another_key_another_person_and_another_text_are_refused() -> None:
    with pytest.raises(UnknownKeyError):
        open_person(seal_person("telegram:7", REQUEST, OTHER, NOW), REQUEST, Keys(), NOW)
    text = seal_person("telegram:7", REQUEST, KEY, NOW)
    with pytest.raises(ForgedError):
        open_person(text.replace("telegram:7", "telegram:8"), REQUEST, Keys(), NOW)
    for bad in ("", "telegram:7", f"{text} ", text.replace("telegram:7", "arn:aws:iam::1:root")):
        with pytest.raises(UnsealedError):
            open_person(bad, REQUEST, Keys(), NOW)


@given(st.text())
def test_any_text_is_a_seal_error(text: str) -> None:
    with pytest.raises(SealError):
        open_person(text, REQUEST, Keys(), NOW)
