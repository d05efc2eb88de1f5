import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signalbox
from signalbox.alerts.catalogue import Language, Words, texts_of
from signalbox.chat.catalogue import CatalogueError, fields_of
from signalbox.chat.styled import Style
from signalbox.chat.words import BAR_BLOCKS

ENGLISH = texts_of(Language.ENGLISH)
AT = datetime(2024, 7, 1, 12, 5, tzinfo=UTC)
D = Decimal


def words(language: str = "en", zone: str = "UTC") -> Words:
    return Words(Language(language), ZoneInfo(zone))


@pytest.mark.parametrize("language", list(Language))
def test_every_language_has_every_text_with_the_same_fields(language: Language) -> None:
    texts = texts_of(language)
    assert texts.keys() == ENGLISH.keys()
    assert {key: fields_of(text) for key, text in texts.items()} == {key: fields_of(text) for key, text in ENGLISH.items()}
    assert [key for key, text in texts.items() if not text.strip() and key != "form.thousands"] == []


def test_every_text_that_the_code_names_exists_and_every_text_is_used() -> None:
    library = Path(signalbox.__file__).parent
    bots = {library / "application/telegram_bot.py", library / "alerts/settings.py"}  # whose texts are the bot's
    places = {path for room in ("alerts", "application") for path in (library / room).rglob("*.py")}
    sources = "".join(path.read_text() for path in places - bots)
    tables_of_texts = {key.split(".")[0] for key in ENGLISH}
    named = {key for key in re.findall(r'"([a-z_]+\.[a-z_]+)"', sources) if key.split(".")[0] in tables_of_texts}
    tables = {"form", "reason", "side", "stage", "closed_by", "level_of_halt", "rule"}  # found by a code or by the form
    assert named - {key for key in named if key in ENGLISH} == set()
    unused = {key for key in ENGLISH if key not in named and key.split(".")[0] not in tables}
    by_code = {"order.order", "order.cancel", "order.change", "level.entry", "level.stop", "level.target"}
    by_code |= {"risk.ALERT", "risk.BLOCK", "risk.FLATTEN"} | {key for key in unused if key.startswith("model.")}
    by_code |= {"deployment.healthy", "deployment.failed", "deployment.rolled_back", "summary.day", "summary.week"}
    assert unused - by_code == set()


@pytest.mark.parametrize("language", list(Language))
def test_a_wrong_field_is_an_error_and_not_a_gap(language: Language) -> None:
    found = Words(language, ZoneInfo("UTC"))
    with pytest.raises(CatalogueError, match="expected the fields"):
        found.say("order.at")
    with pytest.raises(CatalogueError, match="expected the fields"):
        found.say("order.at", time="x", more="y")
    with pytest.raises(CatalogueError, match=r"expected a text for no\.such"):
        found.say("no.such")


@given(value=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40))
def test_a_value_is_shown_as_it_is_whatever_it_holds(value: str) -> None:
    found = words().say("trade.levels", stop=value, target="{stop!c} **x** <b>")
    assert value in found.text
    assert "{stop!c} **x** <b>" in found.text
    assert [found.text[span.start : span.end] for span in found.spans if span.style is Style.CODE] == [
        value,
        "{stop!c} **x** <b>",
    ]


@pytest.mark.parametrize(
    ("language", "price", "money", "share", "time"),
    [
        ("en", "1,062,000.5", "-1,234.50", "61.5%", "2024-07-01 14:05 CEST"),
        ("de", "1.062.000,5", "-1.234,50", "61,5\u00a0%", "01.07.2024 14:05 CEST"),
        ("cs", "1\u00a0062\u00a0000,5", "-1\u00a0234,50", "61,5\u00a0%", "01.07.2024 14:05 CEST"),
    ],
)
def test_numbers_and_times_are_written_as_in_the_language_and_zone(
    language: str, price: str, money: str, share: str, time: str
) -> None:
    found = words(language, "Europe/Prague")
    assert found.price(D("1062000.50")) == price
    assert found.money(D("-1234.5")) == money
    assert found.percent(D("0.615"), 1) == share
    assert found.time(AT) == time


def test_winter_and_summer_have_their_own_hour() -> None:
    assert words(zone="Europe/Prague").time(AT.replace(month=1)) == "2024-01-01 13:05 CET"


@given(share=st.decimals(-1, 3, places=4))
def test_a_bar_has_its_blocks_and_never_shows_more_than_is_used(share: Decimal) -> None:
    bar = words().bar(share)
    assert len(bar) == BAR_BLOCKS
    assert bar.count("▓") <= max(share, Decimal(0)) * BAR_BLOCKS
    assert (bar.count("▓") == BAR_BLOCKS) == (share >= 1)
