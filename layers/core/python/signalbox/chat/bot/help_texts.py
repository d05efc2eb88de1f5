"""What each command does, in the language of whoever asks: for /help and for the menus. English is the registry's own.

The language is the one that the person's messenger reports; one without texts here gets English. Answers other than /help are
English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from signalbox.access import Role
from signalbox.chat.bot.registry import COMMANDS, BotCommand

ENGLISH: Final = "en"
TRANSLATED: Final = ("de", "cs")  # ISO 639-1
_TEXTS: Final = Path(__file__).with_name("texts")
_HEADLINE: Final = "You are {role}. Commands:"


def known_language(reported: str) -> str:
    """Return the language to answer in, for one as messengers report it: `de`, `de-AT`, or empty."""
    code = reported.lower().partition("-")[0]
    return code if code in TRANSLATED else ENGLISH


@cache
def texts_in(language: str) -> Mapping[str, str]:
    """Return the texts of a language other than English by `table.key`."""
    with (_TEXTS / f"{language}.toml").open("rb") as file:
        tables = tomllib.load(file)
    return MappingProxyType({f"{table}.{key}": text for table, entries in tables.items() for key, text in entries.items()})


def help_of(command: BotCommand, language: str) -> str:
    """Return what a command does."""
    return command.help if language == ENGLISH else texts_in(language)[f"command.{command.name}"]


def help_text(role: Role, language: str = ENGLISH) -> str:
    """Return the commands that a role may give. language: of `known_language`."""
    headline = _HEADLINE if language == ENGLISH else texts_in(language)["help.headline"]
    lines = [f"{one.usage}: {help_of(one, language)}" for one in COMMANDS if role.includes(one.role)]
    return "\n".join([headline.format(role=role.value), *lines])
