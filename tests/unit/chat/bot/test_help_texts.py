"""Help in each language: every command, with the names as they are typed."""

from __future__ import annotations

import pytest

from signalbox.access import Role
from signalbox.chat.bot.help_texts import ENGLISH, TRANSLATED, help_of, help_text, known_language, texts_in
from signalbox.chat.bot.registry import COMMANDS
from tests.unit.chat.bot.test_bot import ANNA, World, text_of


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_language_has_every_command_and_nothing_else(language: str) -> None:
    texts = texts_in(language)
    assert texts.keys() == {"help.headline", *(f"command.{one.name}" for one in COMMANDS)}
    assert all(0 < len(text) <= 256 for text in texts.values())  # as a menu's entry may have
    assert len(set(texts.values())) == len(texts)
    assert not [one.name for one in COMMANDS if help_of(one, language) == one.help]
    assert "{role}" in texts["help.headline"]


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


def test_the_bot_answers_help_in_the_language_of_the_messenger() -> None:
    world = World()
    world.bot.language = "cs"
    assert text_of(world.type("/help", user=ANNA)).startswith("Jste operator. Příkazy:\n/start: ")
