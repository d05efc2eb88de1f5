"""Lists in pages: every row is on one page, a button never exceeds its bytes, and a page of a changed list says so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.chat.bot.conversation import MAX_DATA
from signalbox.chat.bot.paging import PAGE, ROWS, TURNED_WITHIN, Listing, ListPage, data_of, page_answer, page_of
from tests.unit.chat.bot.test_bot import ANNA, World, decided, text_of
from tests.unit.trading.market import START


@pytest.fixture
def world() -> World:
    found = World()
    found.ledgers[ANNA].found = [decided(at=START - timedelta(minutes=5 * number)) for number in range(30, 0, -1)]
    return found


def button(answer: object, label: str) -> str:
    found: dict[str, str] = {one.label: one.data for one in answer.buttons}  # type: ignore[attr-defined]
    return found[label]


def test_pages_are_turned_in_place_there_and_back(world: World) -> None:
    first = world.type("/signals 24h")
    assert "30 issued signals of 30 decisions in 24 h (1 to 12, page 1 of 3)" in text_of(first)
    second = world.press(button(first, "Older"))
    assert second is not None
    assert second.replaces
    assert "(13 to 24, page 2 of 3)" in text_of(second)
    last = world.press(button(second, "Older"))
    assert "(25 to 30, page 3 of 3)" in text_of(last)
    assert [one.label for one in last.buttons] == ["Newer", "Refresh"]  # type: ignore[union-attr]
    assert world.press(button(second, "Newer")).parts == first.parts  # type: ignore[union-attr]
    rows = [row for answer in (first, second, last) for row in text_of(answer).splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 30


def test_a_page_of_a_list_that_changed_says_so(world: World) -> None:
    first = world.type("/signals 24h")
    world.ledgers[ANNA].found.insert(0, decided(at=START - timedelta(hours=3)))  # late, into the same period
    assert text_of(world.press(button(first, "Older"))).startswith("The list has changed since you opened it")


def test_what_was_decided_since_does_not_move_the_pages(world: World) -> None:
    first = world.type("/signals 24h")
    world.ledgers[ANNA].found.append(decided(at=START + timedelta(minutes=5)))
    later = world.press(button(first, "Older"), at=START + timedelta(minutes=6))
    assert text_of(later).startswith("30 issued signals of 30 decisions in 24 h (13 to 24")
    assert text_of(world.press(button(first, "Refresh"), at=START + timedelta(minutes=6))).startswith("31 issued signals")


def test_an_old_list_is_not_turned_and_can_be_asked_again(world: World) -> None:
    first = world.type("/signals 24h")
    late = START + TURNED_WITHIN + timedelta(seconds=1)
    old = world.press(button(first, "Older"), at=late)
    assert "is not turned any more" in text_of(old)
    assert "issued signal" in text_of(world.press(button(old, "Refresh"), at=late))


@pytest.mark.parametrize(
    "data",
    ["p:1:zzzzzzz:000000:/signals", "p:0:0:000000:/signals", "p:::", "p:1:abc:xyz123:/signals", "p:99999:a:000000:/signals",
     "p:1:sdz1f8:000000:/halt paper-25k x", "p:1:sdz1f8:000000:/risk paper-25k", "p:1:sdz1f8:000000:/signals DOGE"],
)  # fmt: skip
def test_a_forged_page_shows_nothing_that_could_not_be_asked(world: World, data: str) -> None:
    answer = world.press(data)
    assert answer is not None
    assert not any(one.label == "Yes" for one in answer.buttons)
    assert world.halt("paper-25k") is None


@given(
    st.lists(st.text(alphabet="abc\U0001f600", max_size=8), max_size=60),
    st.text(alphabet="abcdefghij-", max_size=70),
    st.integers(0, 9999),
)
def test_buttons_fit_and_each_row_is_shown_once(rows: list[str], account: str, page: int) -> None:
    found = Listing("rows", tuple(f"{number} {row}." for number, row in enumerate(rows)))
    typed = f"/trades {account}"
    shown = [page_answer(found, ListPage(typed, START, number)) for number in range(found.pages)]
    assert [row for one in shown for row in "\n".join(one.parts).splitlines() if row[:1].isdigit()] == list(found.rows)
    for one in (*shown, page_answer(found, ListPage(typed, START, page))):
        assert all(len(found_button.data.encode()) <= MAX_DATA for found_button in one.buttons)
        assert len([row for row in "\n".join(one.parts).splitlines() if row[:1].isdigit()]) <= ROWS
    place = ListPage(typed, START, page, found.mark)
    data = data_of(place)
    assert data is None or page_of(data.removeprefix(PAGE)) == place


@given(st.text(max_size=80))
def test_any_data_is_a_page_or_none(data: str) -> None:
    place = page_of(data)
    assert place is None or place.at.tzinfo is not None
