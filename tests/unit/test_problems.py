"""Problem details as they are written and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.errors import SignalboxError
from signalbox.problems import InvalidValue, Problem, in_words, invalid_values, pointer_to, problem_of, read_problem, type_named
from signalbox.trading.commands import COMMANDS

TEXT = st.text(max_size=20)
PROBLEMS = st.builds(
    Problem,
    type=TEXT,
    title=TEXT,
    status=st.none() | st.integers(400, 599),
    detail=TEXT,
    instance=st.none() | TEXT,
    errors=st.lists(st.builds(InvalidValue, pointer=TEXT, detail=TEXT), max_size=3).map(tuple),
    remedy=st.none() | TEXT,
)


class LakeFileLostError(SignalboxError):
    """A file of the lake is gone.

    More words.
    """


@given(PROBLEMS)
def test_what_is_written_is_read_again(problem: Problem) -> None:
    assert read_problem(problem.to_json()) == problem
    assert read_problem({**problem.to_json(), "newer": 1}) == problem


@pytest.mark.parametrize("document", [None, [], "x", {}, {"message": "Forbidden"}, {"error": "INVALID", "wrong": []}])
def test_what_is_no_problem_is_read_as_none(document: object) -> None:
    assert read_problem(document) is None


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=4))
def test_a_pointer_says_each_place_in_words_again(places: list[str]) -> None:
    assert in_words([InvalidValue(pointer=pointer_to(*places), detail="wrong")]) == f"{'.'.join(places)}: wrong"


def test_the_whole_document_is_called_the_body() -> None:
    assert in_words([InvalidValue(pointer=pointer_to(), detail="wrong")]) == "body: wrong"


def test_an_error_of_ours_is_a_problem_of_its_class() -> None:
    assert problem_of(LakeFileLostError("day 3")) == Problem(
        type=type_named("lake-file-lost"), title="A file of the lake is gone", detail="day 3"
    )


def test_what_is_allowed_is_named_as_it_is_written_and_not_as_python_shows_it() -> None:
    about = {"account": "a", "request_id": "req-0001", "requested_at": "2024-03-01T12:00:00Z", "why": "news"}
    with pytest.raises(ValidationError) as caught:
        COMMANDS.validate_python({"kind": "halt", "level": "NONE", **about})
    (wrong,) = invalid_values(caught.value, skip=1)
    assert wrong.detail == "Input should be 'HALT', 'REDUCE_ONLY' or 'FLATTEN'"


@pytest.mark.parametrize(
    ("why", "detail"),
    [("ok", "expected at least 3 characters, got 2"), ("x" * 201, "expected at most 200 characters, got 201")],
)
def test_a_text_of_the_wrong_length_is_counted_in_characters(why: str, detail: str) -> None:
    about = {"account": "a", "request_id": "req-0001", "requested_at": "2024-03-01T12:00:00Z"}
    with pytest.raises(ValidationError) as caught:
        COMMANDS.validate_python({"kind": "resume", "why": why, **about})
    assert in_words(invalid_values(caught.value, skip=1)) == f"why: {detail}"
