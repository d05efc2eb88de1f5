"""The messenger as the domain sees it, and what to do with its answers.

Busy and unavailable pass: the message is tried again later, in order. Refused is final: the alert is handed back as
undeliverable with its text, so that nothing is lost and nothing blocks the ones behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from signalbox.chat.alerts import Alert
from signalbox.errors import SignalboxError
from signalbox.events import AlertUndeliverable


class MessengerError(SignalboxError):
    """MessengerError > MessengerBusyError | MessengerUnavailableError | MessengerRefusedError."""


class MessengerBusyError(MessengerError):
    """Too many messages; `retry_after` seconds are asked for."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"asked to wait {retry_after} s")
        self.retry_after = retry_after


class MessengerUnavailableError(MessengerError):
    """No usable answer: a timeout, a broken connection, a server error."""


class MessengerRefusedError(MessengerError):
    """The messenger will never take this message: a blocked bot, an unknown chat, a wrong token."""


class Messenger(Protocol):
    """Sends text to one chat."""

    def send(self, chat_id: str, text: str) -> None:
        """Deliver or raise a MessengerError."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one alert."""

    sent: int
    duplicates: int
    undeliverable: tuple[AlertUndeliverable, ...]


class DeliveryLog(Protocol):
    """Remembers deliveries, so that the same alert goes to the same chat once."""

    def once(self, alert_id: str, chat_id: str, deliver: Callable[[], None]) -> bool:
        """Run `deliver` unless it succeeded before; False when it had. An error of `deliver` is not remembered."""


def deliver_alert(alert: Alert, chat_ids: Sequence[str], *, messenger: Messenger, log: DeliveryLog) -> DeliveryReport:
    """Send one alert to every chat that has not had it. Raises MessengerBusyError or MessengerUnavailableError."""
    sent = duplicates = 0
    undeliverable = []
    for chat_id in chat_ids:
        try:
            if log.once(alert.alert_id, chat_id, lambda chat=chat_id: messenger.send(chat, alert.text)):  # type: ignore[misc]
                sent += 1
            else:
                duplicates += 1
        except MessengerRefusedError as error:
            undeliverable.append(AlertUndeliverable(alert_id=alert.alert_id, chat_id=chat_id, reason=str(error), text=alert.text))
    return DeliveryReport(sent, duplicates, tuple(undeliverable))
