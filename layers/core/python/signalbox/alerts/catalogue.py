"""The texts of alerts in each language, with numbers and times as people of that language write them, in the chat's zone.

A text is found by its key (`signal.headline`) in `texts/LANGUAGE.toml`. A field is filled in with a value as it is: nothing in a
value is read as a field or as a style. What the events carry in words of their own (a venue's refusal, an operator's reason, the
shortfalls of a model) stays in the language it was written in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Final
from zoneinfo import ZoneInfo

from signalbox.chat.catalogue import CatalogueError, require_fields, texts_in_file
from signalbox.chat.styled import Style, StyledText, joined, plain_text
from signalbox.chat.words import share_bar
from signalbox.exact import plain

_TEXTS: Final = Path(__file__).with_name("texts")
_CENT: Final = Decimal("0.01")
_STYLES: Final = {"c": Style.CODE, "b": Style.BOLD}


class Language(StrEnum):
    """The languages there are texts in; the values are ISO 639-1 codes."""

    ENGLISH = "en"
    GERMAN = "de"
    CZECH = "cs"


@cache
def texts_of(language: Language) -> Mapping[str, str]:
    """Return the texts of a language by key."""
    return texts_in_file(_TEXTS / f"{language.value}.toml")


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language, and how it writes numbers and the times of a zone."""

    language: Language
    zone: ZoneInfo

    def say(self, key: str, style: Style | None = None, **values: str) -> StyledText:
        """Return a text with its fields filled in. style: of the whole, then fields have none. Raises CatalogueError."""
        template = self._text(key)
        require_fields(f"{self.language} {key}", template, values)
        found = StyledText()
        for literal, name, _, conversion in Formatter().parse(template):
            found = found + plain_text(literal)
            if name:
                found = found + plain_text(values[name], None if style else _STYLES.get(conversion or ""))
        return plain_text(found.text, style) if style else found

    def headline(self, mark: str, key: str, **values: str) -> StyledText:
        """Return the first line of an alert: a mark, and what happened in bold."""
        return plain_text(f"{mark} ") + self.say(key, Style.BOLD, **values)

    def name(self, table: str, value: str) -> str:
        """Return the word for a code, such as ("side", "BUY"); a code without one stays as it is."""
        return texts_of(self.language).get(f"{table}.{value}", value)

    def price(self, value: Decimal) -> str:
        """Return a price with all its digits."""
        return self._number(f"{Decimal(plain(value)):,f}")

    def quantity(self, value: Decimal) -> str:
        """Return a quantity with all its digits."""
        return self._number(f"{value:,f}")

    def money(self, value: Decimal, *, signed: bool = False) -> str:
        """Return an amount rounded to cents, half to even, whatever the caller's decimal context."""
        rounded = _unsigned_zero(value.quantize(_CENT, rounding=ROUND_HALF_EVEN))
        return self._number(f"{rounded:+,f}" if signed else f"{rounded:,f}")

    def percent(self, share: Decimal, places: int = 0, *, signed: bool = False) -> str:
        """Return a share of one as a percentage, rounded half to even."""
        number = _unsigned_zero((share * 100).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN))
        return self._text("form.percent").replace("{number}", self._number(f"{number:+,f}" if signed else f"{number:,f}"))

    def time(self, instant: datetime) -> str:
        """Return an instant to the minute in the chat's zone, with the zone's name."""
        local = instant.astimezone(self.zone)
        return f"{local.strftime(self._text('form.date'))} {local:%H:%M} {local.tzname()}"

    def date(self, day: date) -> str:
        """Return a date."""
        return day.strftime(self._text("form.date"))

    @property
    def signs(self) -> tuple[str, str]:
        """The signs of decimals and of thousands."""
        return self._text("form.decimal"), self._text("form.thousands")

    def bar(self, share: Decimal) -> str:
        """Return how much of a limit is used as a row of blocks."""
        return share_bar(share)

    def _text(self, key: str) -> str:
        try:
            return texts_of(self.language)[key]
        except KeyError:
            raise CatalogueError(f"{self.language}: expected a text for {key}, got none") from None

    def _number(self, english: str) -> str:
        """Return a number written with `,` and `.` in the language's own signs."""
        point, comma = self.signs
        return english.translate({ord(","): comma, ord("."): point})


def _unsigned_zero(value: Decimal) -> Decimal:
    """Return a value, without the sign of a zero that something negative was rounded to."""
    return value or abs(value)


def bullets(facts: Iterable[str]) -> StyledText:
    """Return facts as a list, one a line."""
    return joined(plain_text(f"· {fact}") for fact in facts)
