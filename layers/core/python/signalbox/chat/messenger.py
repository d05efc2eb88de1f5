"""The messenger port, and what follows from its answers.

An alert becomes one delivery for each chat, and no chat waits for another. If the messenger is busy or unavailable, the delivery
is retried later, before others to the same chat. A refusal is final: the alert is returned as undeliverable with its text, so
that nothing is lost and later alerts are not blocked. If a chat got a new id, the alert goes there and the new id is remembered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from signalbox.chat.alerts import Alert
from signalbox.errors import SignalboxError
from signalbox.events import AlertUndeliverable
from signalbox.frozen import FrozenModel

NO_CHAT: Final = "(none)"  # chat id of an alert for which no chat was configured
MAX_MOVES: Final = 3  # most changes of a chat's id that one delivery follows


class MessengerError(SignalboxError):
    """MessengerError > MessengerBusyError | MessengerUnavailableError | MessengerRefusedError > ChatMovedError."""


class MessengerBusyError(MessengerError):
    """The messenger got too many messages and asks to wait `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the messenger asked to wait {retry_after} s")
        self.retry_after = retry_after


class MessengerUnavailableError(MessengerError):
    """The messenger gave no usable answer: a timeout, a broken connection or a server error."""


class MessengerRefusedError(MessengerError):
    """The messenger will never accept this message: the bot is blocked, the chat is unknown, or the token is wrong."""


class ChatMovedError(MessengerRefusedError):
    """The chat now has another id, under which it accepts the message."""

    def __init__(self, new_id: str) -> None:
        super().__init__(f"the chat has the new id {new_id}")
        self.new_id = new_id


class Messenger(Protocol):
    """Sends text to one chat."""

    def send(self, chat_id: str, text: str) -> None:
        """Deliver the text, or raise a MessengerError."""


class Delivery(FrozenModel):
    """One alert to one configured chat. It waits in the queue of deliveries, in the chat's own message group."""

    alert_id: str
    chat_id: str
    text: str
    correlation_id: str | None = None  # of the alert's event; used in logs only

    @property
    def key(self) -> str:
        """The queue's deduplication id: 64 characters."""
        return hashlib.sha256(json.dumps([self.alert_id, self.chat_id]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Move:
    """A chat whose id changed."""

    chat_id: str
    new_id: str


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """The result of one delivery."""

    is_duplicate: bool = False
    undeliverable: AlertUndeliverable | None = None


class DeliveryLog(Protocol):
    """Remembers deliveries, so that the same alert goes to the same chat once."""

    def once(self, alert_id: str, chat_id: str, deliver: Callable[[], None]) -> bool:
        """Run `deliver` unless it succeeded before; then return False. A failed `deliver` is not remembered and may run again."""


class ChatMoves(Protocol):
    """Remembers the new ids of chats permanently."""

    def newest(self, chat_id: str) -> str:
        """Return the current id of a configured chat; its own id if it never changed."""

    def remember(self, chat_id: str, new_id: str) -> None:
        """Store the new id of a configured chat."""


def deliveries_of(alert: Alert, chat_ids: Sequence[str], correlation_id: str | None = None) -> tuple[Delivery, ...]:
    """Return one delivery for each configured chat, without duplicates, in the configured order."""
    return tuple(
        Delivery(alert_id=alert.alert_id, chat_id=chat, text=alert.text, correlation_id=correlation_id)
        for chat in dict.fromkeys(chat_ids)
    )


def undelivered(alert: Alert, reason: str) -> AlertUndeliverable:
    """Return the event that says that an alert could be sent to nobody."""
    return AlertUndeliverable(alert_id=alert.alert_id, chat_id=NO_CHAT, reason=reason, text=alert.text)


def deliver(
    delivery: Delivery, *, messenger: Messenger, log: DeliveryLog, moves: ChatMoves, on_move: Callable[[Move], None]
) -> DeliveryReport:
    """Send an alert to its chat unless it was sent before. After MessengerBusyError or MessengerUnavailableError, retry later.

    on_move: called for each change of the chat's id, after the new id was stored.
    """

    def send() -> None:
        chat = moves.newest(delivery.chat_id)
        for _ in range(MAX_MOVES):
            try:
                return messenger.send(chat, delivery.text)
            except ChatMovedError as moved:
                moves.remember(delivery.chat_id, moved.new_id)
                on_move(Move(chat, moved.new_id))
                chat = moved.new_id
        raise MessengerRefusedError(f"the chat moved {MAX_MOVES} times in a row, the last time to {chat}")

    try:
        is_new = log.once(delivery.alert_id, delivery.chat_id, send)
    except MessengerRefusedError as error:
        lost = AlertUndeliverable(alert_id=delivery.alert_id, chat_id=delivery.chat_id, reason=str(error), text=delivery.text)
        return DeliveryReport(undeliverable=lost)
    return DeliveryReport(is_duplicate=not is_new)
