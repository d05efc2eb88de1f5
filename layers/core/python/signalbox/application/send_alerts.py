"""An event as messages to people: one delivery a configured chat, each carried out alone; what is undeliverable is announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from signalbox.chat.alerts import render_alert
from signalbox.chat.messenger import (
    ChatMoves,
    Delivery,
    DeliveryLog,
    DeliveryReport,
    Messenger,
    Move,
    deliver,
    deliveries_of,
    undelivered,
)
from signalbox.events import AlertUndeliverable, Event
from signalbox.market.collection import Announcer


class InvocationLog(DeliveryLog, Protocol):
    """A delivery log whose locks end with the invocation that took them."""

    def register(self, context: Any) -> None:
        """Learn how much time this invocation has left."""


class DeliveryQueue(Protocol):
    """Where deliveries wait, each in the message group of its chat."""

    def put(self, delivery: Delivery) -> None:
        """Queue a delivery; the same one again within minutes is one."""


class Chats(Protocol):
    """The configured chats and the way to them."""

    def chat_ids(self) -> tuple[str, ...]:
        """Return the configured chats."""

    def messenger(self) -> Messenger:
        """Return the messenger that reaches them."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """What became of one event."""

    queued: int = 0
    undeliverable: AlertUndeliverable | None = None


@dataclass
class SendAlerts:
    """Makes an event one delivery a configured chat, and carries out one delivery at a time."""

    log: InvocationLog
    moves: ChatMoves
    bus: Announcer
    queue: DeliveryQueue
    chats: Chats
    retry_in: Callable[[str, str, int], None]  # makes a message visible again: receipt handle, queue, seconds

    def fan_out(self, event: Event) -> FanOut:
        """Render the event and queue it for every chat; without a chat it is announced as undeliverable."""
        alert = render_alert(event)
        if alert is None:
            return FanOut()
        newest = {self.moves.newest(chat): chat for chat in reversed(self.chats.chat_ids())}  # old and new id: one chat
        deliveries = deliveries_of(alert, tuple(reversed(newest.values())), event.correlation_id)
        if not deliveries:
            lost = undelivered(alert, "chat_ids of the Telegram secret is empty")
            self.bus.announce((lost,))
            return FanOut(undeliverable=lost)
        for delivery in deliveries:
            self.queue.put(delivery)
        return FanOut(queued=len(deliveries))

    def deliver(self, delivery: Delivery, on_move: Callable[[Move], None]) -> DeliveryReport:
        """Send it; what the messenger will never take is announced and not tried again. Raises MessengerError: again later."""
        messenger = self.chats.messenger()
        report = deliver(delivery, messenger=messenger, log=self.log, moves=self.moves, on_move=on_move)
        if report.undeliverable is not None:
            self.bus.announce((report.undeliverable,))
        return report

    def report_move(self, move: Move) -> None:
        """Say in a chat that moved which id the secret needs. Raises MessengerError."""
        text = f"This chat has the id {move.new_id} now, it was {move.chat_id}. Put the new one into the Telegram secret."
        self.chats.messenger().send(move.new_id, text)
