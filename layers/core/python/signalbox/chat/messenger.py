"""The messenger as the domain sees it, and what to do with its answers.

An alert becomes one delivery a chat, and each chat waits for itself. Busy and unavailable pass: the delivery is tried again
later, and those to the same chat come after it. Refused is final: the alert is handed back as undeliverable with its text, so
that nothing is lost and nothing blocks the ones behind it. A chat that moved is followed, and where it went is remembered.
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

NO_CHAT: Final = "(none)"  # as the chat of an alert that had nobody to go to
MAX_MOVES: Final = 3  # of a chat, followed in one delivery


class MessengerError(SignalboxError):
    """MessengerError > MessengerBusyError | MessengerUnavailableError | MessengerRefusedError > ChatMovedError."""


class MessengerBusyError(MessengerError):
    """Too many messages; `retry_after` seconds are asked for."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"asked to wait {retry_after} s")
        self.retry_after = retry_after


class MessengerUnavailableError(MessengerError):
    """No usable answer: a timeout, a broken connection, a server error."""


class MessengerRefusedError(MessengerError):
    """The messenger will never take this message: a blocked bot, an unknown chat, a wrong token."""


class ChatMovedError(MessengerRefusedError):
    """The chat has another id now, under which it takes the message."""

    def __init__(self, new_id: str) -> None:
        super().__init__(f"the chat has the id {new_id} now")
        self.new_id = new_id


class Messenger(Protocol):
    """Sends text to one chat."""

    def send(self, chat_id: str, text: str) -> None:
        """Deliver or raise a MessengerError."""


class Delivery(FrozenModel):
    """One alert to one configured chat, as it waits in the queue of deliveries: in the chat's own message group."""

    alert_id: str
    chat_id: str
    text: str
    correlation_id: str | None = None  # of its event, for the logs alone

    @property
    def key(self) -> str:
        """Name it for a queue's deduplication: 64 characters."""
        return hashlib.sha256(json.dumps([self.alert_id, self.chat_id]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Move:
    """A chat that has another id now."""

    chat_id: str
    new_id: str


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one delivery."""

    is_duplicate: bool = False
    undeliverable: AlertUndeliverable | None = None


class DeliveryLog(Protocol):
    """Remembers deliveries, so that the same alert goes to the same chat once."""

    def once(self, alert_id: str, chat_id: str, deliver: Callable[[], None]) -> bool:
        """Run `deliver` unless it succeeded before; False when it had. An error of `deliver` is not remembered."""


class ChatMoves(Protocol):
    """Remembers which chats moved where, for good."""

    def newest(self, chat_id: str) -> str:
        """Return the id under which a configured chat is reached now; its own when it never moved."""

    def remember(self, chat_id: str, new_id: str) -> None:
        """Keep where a configured chat moved."""


def deliveries_of(alert: Alert, chat_ids: Sequence[str], correlation_id: str | None = None) -> tuple[Delivery, ...]:
    """Return one delivery a configured chat, each chat once, in the order they are configured."""
    return tuple(
        Delivery(alert_id=alert.alert_id, chat_id=chat, text=alert.text, correlation_id=correlation_id)
        for chat in dict.fromkeys(chat_ids)
    )


def undelivered(alert: Alert, reason: str) -> AlertUndeliverable:
    """Return the word that an alert went to nobody."""
    return AlertUndeliverable(alert_id=alert.alert_id, chat_id=NO_CHAT, reason=reason, text=alert.text)


def deliver(
    delivery: Delivery, *, messenger: Messenger, log: DeliveryLog, moves: ChatMoves, on_move: Callable[[Move], None]
) -> DeliveryReport:
    """Send an alert to its chat unless that has had it. Raises MessengerBusyError or MessengerUnavailableError: again later.

    on_move: called for each move of the chat, once it is remembered.
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
