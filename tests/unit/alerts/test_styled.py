import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.alerts.folding import fold, folded
from signalbox.chat.styled import Style, StyledSpan, StyledText, joined, plain_text, split, units

WORDS = st.text(st.sampled_from("ab \n\n🟢žé\u00a0"), max_size=60)


@st.composite
def styled_texts(draw: st.DrawFn) -> StyledText:
    pieces = draw(st.lists(st.tuples(WORDS, st.sampled_from([None, *Style])), max_size=12))
    found = StyledText()
    for text, style in pieces:
        found = found + plain_text(text, style)
    return found


def visible(text: str) -> str:
    return "".join(text.split())


def styles_of(text: StyledText) -> list[tuple[str, Style | None]]:
    """Each visible character with its style."""
    found: list[tuple[str, Style | None]] = [(character, None) for character in text.text]
    for span in text.spans:
        for place in range(span.start, span.end):
            assert found[place][1] is None, "styles overlap"
            found[place] = (text.text[place], span.style)
    return [one for one in found if not one[0].isspace()]


@given(text=styled_texts(), first=st.integers(2, 40), limit=st.integers(2, 60))
def test_splitting_is_never_over_the_limit_and_loses_no_character_and_no_style(text: StyledText, first: int, limit: int) -> None:
    parts = split(text, first=first, limit=limit)
    assert all(units(part.text) <= (limit if place else first) for place, part in enumerate(parts))
    assert all(part.text == part.text.strip() != "" for part in parts)
    assert [one for part in parts for one in styles_of(part)] == styles_of(text)
    for part in parts:
        assert all(0 <= span.start < span.end <= len(part.text) for span in part.spans)


@given(lines=st.lists(st.text(st.sampled_from("abc🟢"), min_size=1, max_size=10), min_size=1, max_size=30))
def test_lines_that_fit_are_never_broken(lines: list[str]) -> None:
    parts = split(plain_text("\n".join(lines)), first=20, limit=20)
    assert [line for part in parts for line in part.text.split("\n")] == lines


@pytest.mark.parametrize(("length", "parts"), [(0, 0), (1, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3)])
def test_a_line_longer_than_a_message_is_broken_where_it_must(length: int, parts: int) -> None:
    assert len(split(plain_text("x" * length))) == parts


def test_a_caption_is_shorter_than_the_messages_after_it() -> None:
    found = split(plain_text("y" * 3000), first=1024)
    assert [len(part.text) for part in found] == [1024, 1976]


def test_characters_outside_the_basic_plane_count_twice_as_telegram_counts_them() -> None:
    assert units("a🟢") == 3
    assert [len(part.text) for part in split(plain_text("🟢" * 2049))] == [2048, 1]


def test_joined_texts_keep_their_styles_and_leave_out_the_empty_ones() -> None:
    found = joined([plain_text("a", Style.BOLD), StyledText(), plain_text("b", Style.CODE)])
    assert found == StyledText(
        text="a\nb", spans=(StyledSpan(style=Style.BOLD, start=0, end=1), StyledSpan(style=Style.CODE, start=2, end=3))
    )


@given(
    texts=st.lists(st.text(st.sampled_from("ab🟢"), min_size=1, max_size=60).map(plain_text), min_size=1, max_size=10),
    fold_from=st.integers(2, 10),
)
def test_folding_keeps_every_alert_once_and_in_order_within_the_limit(texts: list[StyledText], fold_from: int) -> None:
    headline = plain_text("many")
    groups = fold(texts, headline, fold_from=fold_from, limit=100)
    assert [place for group in groups for place in group] == list(range(len(texts)))
    for group in groups:
        whole = folded([texts[place] for place in group], headline)
        assert len(group) == 1 or units(whole.text) <= 100
        assert visible(whole.text).endswith("".join(visible(texts[place].text) for place in group))
    if len(texts) < fold_from:
        assert all(len(group) == 1 for group in groups)
    elif sum(units(one.text) + 2 for one in texts) + 4 <= 100:
        assert len(groups) == 1
