"""The bot's texts: every language has all of them, with the same fields, and every command its help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signalbox
from signalbox.access import Role
from signalbox.chat.bot.help_texts import help_of, help_text
from signalbox.chat.bot.registry import COMMANDS
from signalbox.chat.bot.words import ENGLISH, TRANSLATED, BotWords, known_language, texts_in
from signalbox.chat.catalogue import CatalogueError, fields_of
from tests.unit.chat.bot.test_bot import ANNA, World, text_of

TEXTS = texts_in(ENGLISH)
FORMS = {"en": 2, "de": 2, "cs": 3}
BY_CODE = {"effect.halt", "effect.reduceonly", "effect.flatten", "effect.resume"}  # found by a command's name


def own(language: str) -> dict[str, str]:
    """The texts but those of /help, which in English are the registry's."""
    return {key: text for key, text in texts_in(language).items() if not key.startswith("command.")}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_language_has_every_text_with_the_same_fields(language: str) -> None:
    texts = own(language)
    assert texts.keys() == TEXTS.keys()
    assert {key: fields_of(text) for key, text in texts.items()} == {key: fields_of(text) for key, text in TEXTS.items()}
    assert [key for key, text in texts.items() if not text.strip()] == []
    same = {key for key, text in texts.items() if text == TEXTS[key]}
    words = {key for key in same if re.sub(r"\{\w+\}", "", TEXTS[key]).strip(" .,:;()→")}
    assert words <= {
        "account.trades",
        "alerts.change",
        "costs.funding",
        "count.position",
        "models.title",
        "risk.halt",
        "risk.lock",
        "signal.model",
    } | {key for key in same if key.startswith("library.")}


@pytest.mark.parametrize("language", [ENGLISH, *TRANSLATED])
def test_counted_things_have_the_forms_of_their_language(language: str) -> None:
    counted = {key: text for key, text in texts_in(language).items() if key.startswith("count.")}
    assert {len(text.split("|")) for text in counted.values()} == {FORMS[language]}
    words = BotWords(language)
    for number in (0, 1, 2, 4, 5, 21):
        assert words.counted(number, "trade").startswith(f"{number} ")
    assert [BotWords("cs").counted(number, "trade") for number in (1, 3, 5)] == ["1 obchod", "3 obchody", "5 obchodů"]


@pytest.mark.parametrize("language", [ENGLISH, *TRANSLATED])
def test_no_sentence_has_to_agree_with_a_counted_thing(language: str) -> None:
    """`1 position stay open`, `in 7 Tage`: a count stands where neither its number nor its case changes the words around it."""
    verb_after = re.compile(r"\{(positions|orders|trades)\} (stay|bleib|zůst|are|is|sind|ist|je|jsou)")
    case_before = re.compile(r"\b([Ii]n|[Aa]us|[Vv]or|von|mit|seit) \{(positions|orders|trades|span|issued|minutes)\}")
    wrong = {key for key, text in own(language).items() if verb_after.search(text)}
    if language == "de":
        wrong |= {key for key, text in own(language).items() if case_before.search(text)}
    assert wrong <= {"health.decided", "price.line", "models.title"}  # of 24 hours at most: minutes or hours, as signs


def test_every_text_that_the_code_names_exists_and_every_text_is_used() -> None:
    library = Path(signalbox.__file__).parent
    places = [*(library / "chat/bot").glob("*.py"), library / "application/telegram_bot.py", library / "alerts/settings.py"]
    sources = "".join(path.read_text(encoding="utf-8") for path in places)
    tables = {key.partition(".")[0] for key in TEXTS}
    named = {key for key in re.findall(r"[\"']([a-z_]+\.[a-z_]+)[\"']", sources) if key.partition(".")[0] in tables}
    counted = {key for key in TEXTS if key.startswith("count.") and f'"{key.removeprefix("count.")}"' in sources}
    assert named - TEXTS.keys() == set()
    rules = {key for key in TEXTS if key.startswith("rule.")}
    assert TEXTS.keys() - named - counted - rules - BY_CODE == set()


@pytest.mark.parametrize("language", [ENGLISH, *TRANSLATED])
def test_a_wrong_field_is_an_error_and_not_a_gap(language: str) -> None:
    with pytest.raises(CatalogueError, match="expected the fields"):
        BotWords(language).say("zone.is")
    with pytest.raises(CatalogueError, match=r"expected a text for no\.such"):
        BotWords(language).say("no.such")


@given(value=st.text(max_size=40), language=st.sampled_from((ENGLISH, *TRANSLATED)))
def test_a_value_is_shown_as_it_is_whatever_it_holds(value: str, language: str) -> None:
    assert value in BotWords(language).say("zone.is", zone=value)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_language_has_the_help_of_every_command_and_no_other(language: str) -> None:
    helped = {key: text for key, text in texts_in(language).items() if key.startswith("command.")}
    assert helped.keys() == {f"command.{one.name}" for one in COMMANDS}
    assert all(0 < len(text) <= 256 for text in helped.values())  # as a menu's entry may have
    assert len(set(helped.values())) == len(helped)
    assert not [one.name for one in COMMANDS if help_of(one, language) == one.help]


@pytest.mark.parametrize("role", list(Role))
def test_help_has_the_same_commands_in_each_language(role: Role) -> None:
    shown = {tuple(row.partition(":")[0] for row in help_text(role, one).splitlines()[1:]) for one in (ENGLISH, *TRANSLATED)}
    assert shown == {tuple(one.usage for one in COMMANDS if role.includes(one.role))}


@pytest.mark.parametrize(
    ("reported", "language"),
    [("de", "de"), ("de-AT", "de"), ("CS", "cs"), ("en", "en"), ("fr", "en"), ("", "en"), ("../de", "en"), ("d", "en")],
)
def test_a_language_without_texts_gets_english(reported: str, language: str) -> None:
    assert known_language(reported) == language


def test_the_bot_answers_in_the_language_of_the_messenger() -> None:
    world = World()
    world.bot.language = "cs"
    assert text_of(world.type("/help", user=ANNA)).startswith("Jste operator. Příkazy:\n/start: ")


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_answer_to_any_command_is_english(language: str) -> None:
    """Every line of an answer that has words of ours reads otherwise than in English."""
    english, other = World(), World()
    other.bot.language = language
    for world in (english, other):
        world.roles[ANNA] = Role.OWNER
    for command in COMMANDS:
        typed = command.example
        if command.is_about_an_account:
            name, _, rest = typed.partition(" ")
            typed = f"{name} ftmo-2step-100k {rest}".strip()
        shown, translated = english.type(typed), other.type(typed)
        assert shown is not None
        assert translated is not None
        if command.name in {"symbols", "order"}:  # names, and the ledger's own refusal
            continue
        assert text_of(shown) != text_of(translated), command.name
        assert [one.data for one in shown.buttons] == [one.data for one in translated.buttons]
    for typed in ("/hlat", "hello /x", "/close", "/chart BTC 999", "/halt x"):
        shown, translated = english.type(typed), other.type(typed)
        assert (shown is None) == (translated is None)
        assert shown is None or text_of(shown) != text_of(translated), typed
