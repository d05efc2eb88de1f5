"""Answers one update from the queue: checks its sender again, lets the bot decide, and sends the answer.

An update is finished when its answer was sent; one that fails before is handled again. That is safe: a question may be asked
twice, and a confirmed command has one request id, which the same update gets again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.conversation import Answer, Approval, Button, ButtonPress, ChatMessage
from signalbox.chat.bot.people import ChatPerson, PeopleBook, hash_of, may_speak
from signalbox.chat.bot.words import BotWords, known_language
from signalbox.chat.updates import code_in


@dataclass(frozen=True, slots=True)
class IncomingUpdate:
    """The parts of an update that the bot needs. press: the id of a pressed button's query; then `text` is the button's data.

    message_id: of the message, or of the one with the button. thread: of a forum's topic.
    """

    update_id: int
    user: int
    name: str
    chat: int
    is_private: bool
    text: str
    message_id: int
    press: str | None = None
    thread: int | None = None
    is_forwarded: bool = False
    language: str = ""  # of the sender's messenger, as it reports it


class ChatClient(Protocol):
    """Sends to the messenger. Raises MessengerError."""

    def read(self, body: str) -> IncomingUpdate | None:
        """Return an update, None for one that is not handled. Raises WireError."""

    def send(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        """Send a text to the chat of an update."""

    def send_picture(self, to: IncomingUpdate, picture: bytes, caption: str) -> None:
        """Send a PNG with a caption."""

    def replace(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        """Replace the message whose button was pressed."""

    def acknowledge(self, to: IncomingUpdate) -> None:
        """End the waiting indicator of a pressed button."""


class FinishedUpdates(Protocol):
    """A durable record of the updates that were answered."""

    def is_finished(self, update_id: int) -> bool:
        """Return whether an update was answered."""

    def finish(self, update_id: int, at: datetime) -> None:
        """Note that an update was answered."""


@dataclass(frozen=True, slots=True)
class Handled:
    """The result of an update. user: its sender; None if nobody was answered. approval: of a command of two people."""

    user: int | None = None
    is_duplicate: bool = False
    is_new_person: bool = False
    parts: int = 0
    approval: Approval | None = None


@dataclass
class TelegramBot:
    """Handles one update at a time."""

    bot_for: Callable[[ChatPerson], Bot]
    people: PeopleBook
    finished: FinishedUpdates
    client: Callable[[], ChatClient]
    retry_in: Callable[[str, str, int], None]  # makes an update visible again; arguments: receipt handle, queue, seconds

    def handle(self, body: str, sent_at: datetime, now: datetime) -> Handled:
        """Answer an update. sent_at: when the webhook queued it, which is when a button was pressed.

        WireError is final; after MessengerError, and whatever a table raises, the same update may be handled again.
        """
        client = self.client()
        update = client.read(body)
        if update is None:
            return Handled()
        if self.finished.is_finished(update.update_id):
            return Handled(update.user, is_duplicate=True)
        person = may_speak(self.people, update.user, update.chat, is_private=update.is_private)
        code = code_in(update.text) if update.is_private and update.press is None else None
        if code is not None:
            handled = self._welcomed(client, update, code, now, person)
        elif person is None:
            return Handled()
        else:
            handled = self._answered(client, update, person, sent_at, now)
        self.finished.finish(update.update_id, now)
        return handled

    def _welcomed(
        self, client: ChatClient, update: IncomingUpdate, code: str, now: datetime, known: ChatPerson | None
    ) -> Handled:
        """Let somebody in who has a code. A stranger with a wrong one gets no answer, as any stranger."""
        words = BotWords(known_language(update.language))
        person = self.people.redeem(hash_of(code), update.user, update.name, now)
        if person is None:
            if known is not None:
                client.send(update, words.say("chat.not_a_code"), ())
            return Handled(None if known is None else update.user)
        text = "\n".join(
            (
                words.say("chat.welcome", name=person.name, role=person.role.value),
                words.say("chat.grant", principal=person.principal),
                f"signalbox accounts access grant ACCOUNT {person.principal} {person.role.value}",
            )
        )
        client.send(update, text, ())
        return Handled(update.user, is_new_person=True, parts=1)

    def _answered(
        self, client: ChatClient, update: IncomingUpdate, person: ChatPerson, sent_at: datetime, now: datetime
    ) -> Handled:
        bot = self.bot_for(person)
        bot.language = known_language(update.language)
        if update.press is not None:
            client.acknowledge(update)
            press = ButtonPress(update.user, update.chat, update.text, min(sent_at, now), update.update_id)
            answer = bot.on_button(press)
        elif update.is_forwarded:
            answer = Answer((bot.words.say("chat.forwarded"),)) if update.text.startswith("/") else None
        else:
            answer = bot.on_message(ChatMessage(update.user, update.chat, update.text, now))
        if answer is None:
            return Handled(update.user)
        _send(client, update, answer)
        return Handled(update.user, parts=len(answer.parts), approval=answer.approval)


def _send(client: ChatClient, update: IncomingUpdate, answer: Answer) -> None:
    if answer.picture is not None:
        client.send_picture(update, answer.picture, answer.parts[0])
        return
    *before, last = answer.parts
    if answer.replaces and update.press is not None and not before:
        client.replace(update, last, answer.buttons)
        return
    for part in before:
        client.send(update, part, ())
    client.send(update, last, answer.buttons)
