"""The bot's texts in the language of whoever asks. Numbers are written alike in all of them, and instants as `clock` writes them.

The language is the one that the person's messenger reports; one without texts gets English. What the ledger, a venue or a person
said in words of their own stays in the language it was written in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from signalbox.chat.catalogue import CatalogueError, require_fields, texts_in_file
from signalbox.chat.words import rule_name

ENGLISH: Final = "en"
TRANSLATED: Final = ("de", "cs")  # ISO 639-1
_TEXTS: Final = Path(__file__).with_name("texts")
_FORMS: Final = "|"  # between the forms of a counted thing: one, few (Czech alone), many


def known_language(reported: str) -> str:
    """Return the language to answer in, for one as messengers report it: `de`, `de-AT`, or empty."""
    code = reported.lower().partition("-")[0]
    return code if code in TRANSLATED else ENGLISH


@cache
def texts_in(language: str) -> Mapping[str, str]:
    """Return the texts of a language by `table.key`."""
    return texts_in_file(_TEXTS / f"{language}.toml")


@dataclass(frozen=True, slots=True)
class BotWords:
    """The texts of one language, of `known_language`."""

    language: str = ENGLISH

    def say(self, key: str, **values: str) -> str:
        """Return a text with its fields filled in; a value is shown as it is. Raises CatalogueError."""
        text = texts_in(self.language).get(key)
        if text is None:
            raise CatalogueError(f"{self.language}: expected a text for {key}, got none")
        require_fields(f"{self.language} {key}", text, values)
        return text.format_map(values)

    def counted(self, number: int, what: str) -> str:
        """Return a number of things, such as `2 trades`. what: a key of the table `count`."""
        forms = texts_in(self.language)[f"count.{what}"].split(_FORMS)
        place = 0 if number == 1 else 1 if 2 <= number <= 4 else len(forms) - 1
        return forms[place].format_map({"n": str(number)})

    def span(self, span: timedelta) -> str:
        """Return a span in whole minutes, hours or, from two days on, days."""
        minutes = int(span.total_seconds() // 60)
        if minutes < 60:
            return f"{minutes} min"
        return f"{minutes // 60} h" if minutes < 48 * 60 else self.counted(minutes // 1440, "day")

    def rule(self, rule: str) -> str:
        """Return the name of a loss rule; an unknown rule keeps its own."""
        return texts_in(self.language).get(f"rule.{rule}", rule_name(rule))


WORDS: Final = BotWords()  # English
