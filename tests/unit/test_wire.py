"""What comes from outside is read or refused, whatever it is: examples, a corpus that is kept, properties and a fuzzer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox import wire
from signalbox.events import UnreadableEventError, parse_event, read_event
from signalbox.wire import MAX_BYTES, MAX_DEPTH, WireError, checked, in_one_line, one_line, parse, parse_object, readable
from tests.fuzz_wire import CORPUS, doors, fuzz, samples

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
JSON = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


@given(st.text())
def test_any_text_has_a_form_on_one_line(text: str) -> None:
    shown = in_one_line(text)
    assert one_line(shown) == shown
    try:
        assert shown == one_line(text)
    except ValueError:
        assert "\\u" in shown


@given(JSON)
def test_what_is_within_the_limits_comes_through_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value).encode()) == value
    assert checked(value) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "nul", "[1,]", "'a'", "\ufeff{}",
        "[" * 200_000, '{"a":' * 100_000, nested(MAX_DEPTH + 2), '{"a":[' * 13 + "]}" * 13,
        '"\\u0000"', '"a\\u0007b"', '{"\\u0000": 1}', '["\\ud800"]', '"\x7f"', '"\x9b31m"', '"\ud800"', '"a\nb"',
        "NaN", "-Infinity", "1e999", "9" * 65, "9" * 5000, '{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}',
        '"' + "x" * MAX_BYTES + '"',
    ],
)  # fmt: skip
def test_what_is_outside_the_limits_is_refused_with_one_error_that_quotes_little(text: str) -> None:
    with pytest.raises(WireError) as caught:
        parse(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", [b"\xff", b'"\xc3\x28"', b"\x00", b"[" * 200_000])
def test_bytes_that_are_no_text_are_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        parse(text)


def test_the_deepest_that_is_taken_is_taken() -> None:
    assert json.dumps(parse(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(WireError, match="deeper"):
        checked(json.loads(nested(MAX_DEPTH + 2)))


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "für Ωmega 🚀", "\u200d"])
def test_words_of_people_pass(text: str) -> None:
    assert parse(json.dumps(text)) == parse(json.dumps(text, ensure_ascii=False).encode()) == text


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null"])
def test_an_object_is_an_object(text: str) -> None:
    with pytest.raises(WireError, match="expected a JSON object"):
        parse_object(text)


def test_a_number_is_kept_as_it_was_written_where_that_is_asked_for() -> None:
    assert parse('{"a": 0.10, "b": 1e400, "c": 3}', numbers=str) == {"a": "0.10", "b": "1e400", "c": 3}


@given(st.text(max_size=200))
def test_made_readable_a_text_passes_and_is_no_longer(text: str) -> None:
    assert parse(json.dumps(readable(text))) == readable(text)
    assert len(readable(text)) == len(text)


@given(st.text(max_size=50))
def test_one_line_has_no_break_no_control_and_no_turn_of_direction(text: str) -> None:
    try:
        assert one_line(text) == text
    except ValueError:
        return
    assert text.splitlines() in ([], [text])
    assert not set(text) & set("\x00\x1b\x7f\u2028\u202e\u2066")


@pytest.mark.parametrize("kind", [None, 1, [], {}, "", "Nothing", "CycleDecided "])
@pytest.mark.parametrize("detail", [None, 1, "x", [], {}])
def test_an_event_of_an_unknown_type_is_unreadable(kind: object, detail: object) -> None:
    with pytest.raises(UnreadableEventError):
        parse_event(kind, detail)


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.type)
def test_every_event_is_read_back_and_with_any_one_part_exchanged_read_or_unreadable(event: Any) -> None:
    detail = event.to_detail()
    assert read_event(json.dumps({"source": "signalbox", "detail-type": event.type, "detail": detail})) == event
    for key in detail:
        values: tuple[Any, ...] = (None, [], {}, "", 10**40, "9999-12-31T23:59:59-23:59", "\x00", "NaN", [[]] * 3, True)
        for strange in values:
            try:
                parse_event(event.type, detail | {key: strange})
            except UnreadableEventError:
                continue
            except WireError:
                continue


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_stays_refused_or_read(path: Any) -> None:
    for door in doors().values():
        door(path.read_bytes())


def test_twenty_thousand_strange_messages_are_read_or_refused() -> None:
    found = fuzz(20_000, np.random.default_rng(11))
    assert found.escaped == []
    assert found.refused > 10_000
    assert found.read > 100  # it also gets past the door, so the inside is reached


def test_no_reader_of_the_library_goes_round_the_door() -> None:
    """json.loads of what came from outside is in `wire` alone; what is left reads our own rows, files and answers."""
    root = CORPUS.parents[2]
    allowed = {
        "layers/core/python/signalbox/adapters/postgres", "layers/core/python/signalbox/library",
        "layers/core/python/signalbox/features",
        "layers/core/python/signalbox/adapters/lake", "layers/core/python/signalbox/bootstrap/prepare_database.py",
        "layers/core/python/signalbox/bootstrap/training_container.py", "layers/core/python/signalbox/wire.py",
    }  # fmt: skip
    found = {
        str(path.relative_to(root))
        for top in ("layers/core/python/signalbox", "lambdas")
        for path in (root / top).rglob("*.py")
        if "json.loads(" in path.read_text()
    }
    assert {path for path in found if not any(path.startswith(one) for one in allowed)} == set()
    assert wire.MAX_BYTES >= 262_144
