"""Sends an event to people: one delivery for each configured chat, each carried out alone. Failed deliveries are announced."""

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
    """A delivery log whose locks expire with the invocation that took them."""

    def register(self, context: Any) -> None:
        """Note how much time this invocation has left. context: the Lambda context."""


class DeliveryQueue(Protocol):
    """Queue of deliveries, each in the message group of its chat."""

    def put(self, delivery: Delivery) -> None:
        """Queue a delivery; queueing the same one again within minutes has no effect."""


class Chats(Protocol):
    """The configured chats and the messenger that reaches them."""

    def chat_ids(self) -> tuple[str, ...]:
        """Return the ids of the configured chats."""

    def messenger(self) -> Messenger:
        """Return the messenger that reaches the chats."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """The result of fanning out one event: how many deliveries were queued, or why none can be delivered."""

    queued: int = 0
    undeliverable: AlertUndeliverable | None = None


@dataclass
class SendAlerts:
    """Turns an event into one delivery for each configured chat, and carries out one delivery at a time."""

    log: InvocationLog
    moves: ChatMoves
    bus: Announcer
    queue: DeliveryQueue
    chats: Chats
    retry_in: Callable[[str, str, int], None]  # makes a message visible again; arguments: receipt handle, queue, seconds

    def fan_out(self, event: Event) -> FanOut:
        """Render the event and queue it for every chat. If no chat is configured, announce it as undeliverable."""
        alert = render_alert(event)
        if alert is None:
            return FanOut()
        newest = {self.moves.newest(chat): chat for chat in reversed(self.chats.chat_ids())}  # a chat's old and new id are one
        deliveries = deliveries_of(alert, tuple(reversed(newest.values())), event.correlation_id)
        if not deliveries:
            lost = undelivered(alert, "no chat is configured: chat_ids of the Telegram secret is empty")
            self.bus.announce((lost,))
            return FanOut(undeliverable=lost)
        for delivery in deliveries:
            self.queue.put(delivery)
        return FanOut(queued=len(deliveries))

    def deliver(self, delivery: Delivery, on_move: Callable[[Move], None]) -> DeliveryReport:
        """Send a delivery; announce it if the messenger will never accept it. After MessengerError it is retried later."""
        messenger = self.chats.messenger()
        report = deliver(delivery, messenger=messenger, log=self.log, moves=self.moves, on_move=on_move)
        if report.undeliverable is not None:
            self.bus.announce((report.undeliverable,))
        return report

    def report_move(self, move: Move) -> None:
        """Tell a chat that moved which id belongs into the secret. Raises MessengerError."""
        text = f"The id of this chat is now {move.new_id}; it was {move.chat_id}. Put the new id into the Telegram secret."
        self.chats.messenger().send(move.new_id, text)
