"""An update of the messenger as the webhook reads it: from whom, in which chat, and whether the bot has business with it.

It reads as little as the webhook needs to let somebody in, because the types of python-telegram-bot take seconds to import. The
worker behind the queue reads the same update with them. An update of a kind that the bot does not handle (an edit, a channel, an
inline query, somebody who speaks in the name of a chat) is nobody's: it is answered with silence. Pure.
Source: core.telegram.org/bots/api, Update, Message, CallbackQuery.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox.wire import WireError, parse_object

MAX_UPDATE: Final = 100_000  # bytes; a message of 4,096 characters with its entities has a third of that
HANDLED: Final = ("message", "callback_query")  # what the webhook asks Telegram for
_LARGEST: Final = 2**63
_CODE: Final = re.compile(r"(?:/start(?:@\w{3,64})?\s+)?([A-HJ-NP-Z2-9]{4}(?:-[A-HJ-NP-Z2-9]{4}){3})")


class UpdateUnreadableError(WireError):
    """A body is no update of the messenger."""


@dataclass(frozen=True, slots=True)
class UpdateFrom:
    """An update with its sender. is_private: the chat is the person's own. code: the pairing code that is its text."""

    update_id: int
    user: int
    chat: int
    is_private: bool
    code: str | None = None


def code_in(text: str) -> str | None:
    """Return the pairing code that a text consists of, with or without /start before it."""
    match = _CODE.fullmatch(text.strip())
    return None if match is None else match[1]


def update_from(body: bytes | str) -> UpdateFrom | None:
    """Return who sent an update, None if it is of a kind that is not handled. Raises UpdateUnreadableError, WireError."""
    found = parse_object(body, max_bytes=MAX_UPDATE)
    update_id = _number(found.get("update_id"))
    if update_id is None or update_id < 0:
        raise UpdateUnreadableError("expected an update with an update_id")
    pressed = found.get("callback_query")
    message = found.get("message") if pressed is None else _object(pressed).get("message")
    sender = _object(message if pressed is None else pressed).get("from")
    if not isinstance(message, Mapping) or not isinstance(sender, Mapping):
        return None
    chat = _object(message.get("chat"))
    user, chat_id = _number(sender.get("id")), _number(chat.get("id"))
    if user is None or chat_id is None or user <= 0 or chat_id == 0:
        raise UpdateUnreadableError("expected numbers of a user and a chat")
    if sender.get("is_bot") is not False or (pressed is None and "sender_chat" in message):
        return None
    text = message.get("text") if pressed is None else None
    is_private = chat.get("type") == "private" and chat_id == user
    return UpdateFrom(update_id, user, chat_id, is_private, code_in(text) if isinstance(text, str) and is_private else None)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST else None
