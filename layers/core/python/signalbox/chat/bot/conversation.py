"""What passes between a person and the bot: a message or a pressed button in, an answer with buttons out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.chat.styled import MESSAGE_UNITS, plain_text, split

MAX_DATA: Final = 64  # bytes of a button's data, as Telegram limits them


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A text that somebody sent. user, chat: Telegram's numbers."""

    user: int
    chat: int
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ButtonPress:
    """A pressed button. data: the button's data; untrusted, because a message can be forged."""

    user: int
    chat: int
    data: str
    at: datetime
    update: int = 0  # the messenger's number of this press, the same when it is delivered again


@dataclass(frozen=True, slots=True)
class Button:
    """A button below an answer."""

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A command that two people confirmed and that was sent to the ledger: who asked for it, and who approved it."""

    account: str
    kind: str
    request_id: str
    asked_by: int
    approved_by: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A text in parts that each fit a message, and the buttons below the last. replaces: the message whose button was pressed.

    picture: a PNG; then the text is its caption. approval: of a command that this answer is about.
    """

    parts: tuple[str, ...]
    buttons: tuple[Button, ...] = ()
    replaces: bool = False
    picture: bytes | None = None
    approval: Approval | None = None


def answer_of(text: str, *, buttons: tuple[Button, ...] = (), replaces: bool = False, approval: Approval | None = None) -> Answer:
    """Return an answer with this text."""
    return Answer(parts_of(text), buttons, replaces, approval=approval)


def parts_of(text: str, limit: int = MESSAGE_UNITS) -> tuple[str, ...]:
    """Return a text in messages of at most `limit` UTF-16 code units, cut at line ends where there are any."""
    return tuple(one.text for one in split(plain_text(text), first=limit, limit=limit))
