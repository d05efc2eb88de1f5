"""Text with styles. Styles are ranges beside the text, so no character of a value has to be escaped.

Telegram counts a message in UTF-16 code units after its entities were read, so limits here are in these units. Entities may not
lie inside `code`, so ranges never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from signalbox.frozen import FrozenModel

MESSAGE_UNITS: Final = 4096  # of a message, as Telegram limits it
CAPTION_UNITS: Final = 1024  # of a photo's caption


class Style(StrEnum):
    """How a part of a text looks; the values are Telegram's types of entities."""

    BOLD = "bold"
    ITALIC = "italic"
    CODE = "code"


class StyledSpan(FrozenModel):
    """A styled range of a text: code points, `end` not included."""

    style: Style
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]


class StyledText(FrozenModel):
    """A text and its styled ranges, in order and apart."""

    text: str = ""
    spans: tuple[StyledSpan, ...] = ()

    def __add__(self, other: StyledText) -> StyledText:
        shift = len(self.text)
        moved = (StyledSpan(style=one.style, start=one.start + shift, end=one.end + shift) for one in other.spans)
        return StyledText(text=self.text + other.text, spans=(*self.spans, *moved))

    def cut(self, start: int, end: int) -> StyledText:
        """Return a part of the text with what its styles cover there."""
        kept = (
            StyledSpan(style=one.style, start=max(one.start, start) - start, end=min(one.end, end) - start)
            for one in self.spans
            if one.start < end and one.end > start
        )
        return StyledText(text=self.text[start:end], spans=tuple(kept))

    def stripped(self) -> StyledText:
        """Return the text without white space at either end, which Telegram would remove."""
        start = len(self.text) - len(self.text.lstrip())
        return self.cut(start, max(len(self.text.rstrip()), start))


def plain_text(text: str, style: Style | None = None) -> StyledText:
    """Return a text in one style."""
    spans = (StyledSpan(style=style, start=0, end=len(text)),) if style is not None and text else ()
    return StyledText(text=text, spans=spans)


def joined(texts: Iterable[StyledText], between: str = "\n") -> StyledText:
    """Return the texts that are not empty, one after the other."""
    found = StyledText()
    for one in texts:
        if one.text:
            found = found + plain_text(between if found.text else "") + one
    return found


def units(text: str) -> int:
    """Return how many UTF-16 code units a text has."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(whole: StyledText, *, first: int = MESSAGE_UNITS, limit: int = MESSAGE_UNITS) -> tuple[StyledText, ...]:
    """Return a text in parts of at most `limit` units, the first of at most `first`, cut at line ends where there are any.

    White space at a cut is dropped, and a part never consists of it alone. An empty text has no parts.
    """
    parts: list[StyledText] = []
    rest = whole.stripped()
    while rest.text:
        room = limit if parts else first
        end = _fitting(rest.text, room)
        if end < len(rest.text):
            line_end = rest.text.rfind("\n", 1, end + 1)
            end = end if line_end == -1 else line_end
        parts.append(rest.cut(0, end).stripped())
        rest = rest.cut(end, len(rest.text)).stripped()
    return tuple(parts)


def _fitting(text: str, room: int) -> int:
    """Return how many characters fit into `room` units; at least one."""
    if units(text) <= room:
        return len(text)
    used = 0
    for place, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > room:
            return max(place, 1)
    return len(text)
