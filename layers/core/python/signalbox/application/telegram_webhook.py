"""Queues the messenger's updates that are verified, small, readable and from a listed person. Others get no answer from the bot.

It answers within milliseconds, because the messenger waits: what an update asks for is done by the worker behind the queue.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from signalbox.chat.bot.people import People, may_speak
from signalbox.chat.updates import update_from
from signalbox.wire import WireError


class Entry(StrEnum):
    """How a call of the webhook ended."""

    ACCEPTED = "accepted"
    FORGED = "forged"  # without the secret: not the messenger
    UNREADABLE = "unreadable"
    NOT_HANDLED = "not handled"  # an edit, a channel, an inline query
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Received:
    """The outcome of a call, with the sender if known."""

    entry: Entry
    update_id: int | None = None
    user: int | None = None
    chat: int | None = None
    reason: str = ""


class UpdateQueue(Protocol):
    """The queue of updates, with one message group per chat."""

    def put(self, update_id: int, chat: int, body: str) -> None:
        """Queue an update; queueing the same one again within minutes has no effect."""


@dataclass
class TelegramWebhook:
    """Handles one call at a time. secret: the text that the messenger sends with each call."""

    secret: Callable[[], str]
    people: People
    queue: UpdateQueue

    def receive(self, given: str | None, body: bytes) -> Received:
        """Queue an update if it is accepted. Errors of `people` and `queue` are raised, and the messenger then calls again."""
        if not hmac.compare_digest((given or "").encode(), self.secret().encode()):
            return Received(Entry.FORGED)
        try:
            sent = update_from(body)
        except WireError as error:
            return Received(Entry.UNREADABLE, reason=str(error))
        if sent is None:
            return Received(Entry.NOT_HANDLED)
        known = may_speak(self.people, sent.user, sent.chat, is_private=sent.is_private)
        if known is None and sent.code is None:
            return Received(Entry.STRANGER, sent.update_id, sent.user, sent.chat)
        self.queue.put(sent.update_id, sent.chat, body.decode())
        return Received(Entry.ACCEPTED, sent.update_id, sent.user, sent.chat)
