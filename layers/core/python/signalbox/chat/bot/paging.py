"""Lists in pages. A page is turned in place, and its button holds all that is needed to show it again.

The data of a button is a question that its presser could type: the list, the instant that it is of, the page, and a mark of the
rows that were shown. It is judged as a typed command is, so a forged one shows nothing else. When the rows changed in between,
the page says so; a list that is older than a day is not turned any more. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from signalbox.chat.bot.conversation import MAX_DATA, Answer, Button, answer_of
from signalbox.chat.bot.words import WORDS, BotWords
from signalbox.chat.words import clock

ROWS: Final = 12  # of a page
TURNED_WITHIN: Final = timedelta(days=1)
PAGE, RUN = "p:", "r:"
_DATA: Final = re.compile(r"([0-9]{1,4}):([0-9a-z]{1,7}):([0-9a-f]{6}):(/.{1,60})", re.ASCII)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as it is at an instant. title: what it is, with the number of its rows."""

    title: str
    rows: tuple[str, ...]

    @property
    def mark(self) -> str:
        """A mark of the rows: another one if any row changed."""
        return hashlib.sha256("\n".join(self.rows).encode(errors="surrogatepass")).hexdigest()[:6]

    @property
    def pages(self) -> int:
        """How many pages there are; at least one."""
        return max(1, -(-len(self.rows) // ROWS))


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list: the command that shows the list, the instant that it is of (whole seconds), the page from 0, the mark."""

    typed: str
    at: datetime
    page: int = 0
    mark: str = ""


def data_of(place: ListPage) -> str | None:
    """Return the data of a button for a page, None if it does not fit into one."""
    data = f"{PAGE}{place.page}:{_written(int(place.at.timestamp()))}:{place.mark}:{place.typed}"
    return data if len(data.encode(errors="surrogatepass")) <= MAX_DATA and page_of(data[len(PAGE) :]) is not None else None


def page_of(data: str) -> ListPage | None:
    """Return the page that the data of a button names, without its prefix; None for data that is none."""
    match = _DATA.fullmatch(data)
    if match is None:
        return None
    try:
        at = datetime.fromtimestamp(int(match[2], 36), UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return ListPage(match[4], at, int(match[1]), match[3])


def is_current(place: ListPage, now: datetime) -> bool:
    """Return whether a page may still be turned at an instant."""
    return now - TURNED_WITHIN <= place.at <= now


def page_answer(found: Listing, place: ListPage, words: BotWords = WORDS) -> Answer:
    """Return a page with the buttons to its neighbours; a page behind the last is the last.

    place.mark: of the rows that were shown before, empty if none were.
    """
    page = min(place.page, found.pages - 1)
    first = page * ROWS
    shown: Sequence[str] = found.rows[first : first + ROWS]
    title = found.title
    if found.pages > 1:
        facts = {"first": str(first + 1), "last": str(first + len(shown)), "page": str(page + 1), "pages": str(found.pages)}
        title += f" ({words.say('page.of', **facts)})"
    stale = place.mark not in {"", found.mark}
    note = [words.say("page.changed", time=clock(place.at))] if stale else []
    buttons = []
    for label, to in (("button.newer", page - 1), ("button.older", page + 1)):
        data = data_of(ListPage(place.typed, place.at, to, found.mark)) if 0 <= to < found.pages else None
        if data is not None:
            buttons.append(Button(words.say(label), data))
    refresh = RUN + place.typed
    if len(refresh.encode(errors="surrogatepass")) <= MAX_DATA:
        buttons.append(Button(words.say("button.refresh"), refresh))
    unturned = found.pages > 1 and not any(one.data.startswith(PAGE) for one in buttons)
    more = [words.say("page.rest")] if unturned else []
    return answer_of("\n".join([*note, title, *shown, *more]), buttons=tuple(buttons))


def too_old(place: ListPage, words: BotWords = WORDS) -> Answer:
    """Return what a button of an old list gets: the list can be asked for again."""
    button = Button(words.say("button.refresh"), RUN + place.typed)
    return answer_of(words.say("page.old", time=clock(place.at)), buttons=(button,))


def _written(number: int) -> str:
    """Return a number of 0 or more in base 36."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits
