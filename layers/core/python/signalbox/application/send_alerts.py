"""Sends an event to people: one delivery for each chat that wants it, and an e-mail if it is critical or reached no chat.

Chats do not wait for each other, and a chat's critical alerts wait for nothing. Waiting alerts of a chat come in one message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from signalbox.alerts.delivery import (
    EMAIL,
    NO_CHAT,
    Begun,
    ChartPainter,
    ChatMoves,
    Delivery,
    DeliveryLog,
    Mailer,
    Move,
    deliveries_of,
    mail_of,
    second_try,
    undelivered,
)
from signalbox.alerts.rendering import alert_of
from signalbox.alerts.settings import SettingsBook
from signalbox.application.chat_deliveries import BUSY, DUPLICATE, SENT, ChatDeliveries, DeliveryResult, DeliveryState
from signalbox.chat.messenger import Messenger, OutgoingMessage
from signalbox.events import AlertUndeliverable, Event
from signalbox.market.collection import Announcer

MAX_CHATS_AT_ONCE: Final = 10  # as many as a batch has deliveries


class DeliveryQueue(Protocol):
    """Queue of deliveries, each in its message group."""

    def put(self, delivery: Delivery) -> None:
        """Queue a delivery; queueing the same one again within minutes has no effect."""


class Chats(Protocol):
    """The configured chats, what they want to be told, and the messenger that reaches them."""

    def chat_ids(self) -> tuple[str, ...]:
        """Return the ids of the configured chats."""

    def book(self) -> SettingsBook:
        """Return the settings of the chats."""

    def messenger(self) -> Messenger:
        """Return the messenger that reaches the chats."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """The result for one event: the deliveries queued for chats and e-mail, why no chat gets it, and wrong chat settings."""

    queued: int = 0
    mailed: int = 0
    undeliverable: AlertUndeliverable | None = None
    problems: tuple[str, ...] = ()


@dataclass
class SendAlerts:
    """Turns an event into deliveries and carries them out. Different message groups are sent at the same time."""

    log: DeliveryLog
    moves: ChatMoves
    bus: Announcer
    queue: DeliveryQueue
    chats: Chats
    painter: ChartPainter
    mailer: Mailer
    retry_in: Callable[[str, str, int], None]  # makes a message visible again; arguments: receipt handle, queue, seconds
    clock: Callable[[], datetime]

    def fan_out(self, event: Event) -> FanOut:
        """Queue the alert of an event.

        A critical one is queued for e-mail first, which needs neither the Telegram secret nor the bot.
        """
        alert = alert_of(event)
        if alert is None:
            return FanOut()
        mail = mail_of(alert, at=self.clock(), correlation_id=event.correlation_id)
        if alert.is_critical:
            self.queue.put(mail)
        chat_ids = self.chats.chat_ids()
        if not chat_ids:
            reason = "no chat is configured: chat_ids of the Telegram secret is empty"
            lost = undelivered(mail.model_copy(update={"chat_id": NO_CHAT}), reason)
            self.queue.put(mail)
            self.bus.announce((lost,))
            return FanOut(mailed=1, undeliverable=lost)
        book = self.chats.book()
        newest = {self.moves.newest(chat): chat for chat in reversed(chat_ids)}  # a chat's old and new id are one
        chats = tuple(reversed(newest.values()))
        deliveries = deliveries_of(alert, chats, book, at=self.clock(), correlation_id=event.correlation_id)
        for delivery in deliveries:
            self.queue.put(delivery)
        return FanOut(len(deliveries), int(alert.is_critical), problems=book.problems)

    def deliver(self, batch: Sequence[Delivery], on_move: Callable[[Move], None]) -> list[DeliveryResult]:
        """Carry out deliveries and return their results in the same order.

        A failure stops the rest of its message group but no other group.

        on_move: called at the end for each change of a chat's id, which is stored by then.
        """
        groups: dict[str, list[int]] = {}
        for place, delivery in enumerate(batch):
            groups.setdefault(delivery.group, []).append(place)
        found: dict[int, DeliveryResult] = {}
        moved: list[Move] = []
        with ThreadPoolExecutor(max_workers=MAX_CHATS_AT_ONCE) as pool:
            results = pool.map(lambda places: self._group([batch[place] for place in places], moved), groups.values())
            for places, of_group in zip(groups.values(), results, strict=True):
                found |= dict(zip(places, of_group, strict=True))
        for move in moved:
            on_move(move)
        return [found[place] for place in range(len(batch))]

    def report_move(self, move: Move) -> None:
        """Send the new id of a moved chat to that chat, so that the operator can enter it in the secret.

        Raises MessengerError.
        """
        text = self.chats.book().of(move.chat_id).words().say("chat.moved", new=move.new_id, old=move.chat_id)
        self.chats.messenger().send(move.new_id, OutgoingMessage(text))

    def _group(self, batch: Sequence[Delivery], moved: list[Move]) -> list[DeliveryResult]:
        """Carry out the deliveries of one group, which share a chat. Whatever fails, what was decided before stays decided."""
        found: dict[int, DeliveryResult] = {}
        reason = "it waits for an earlier message to the same chat"
        try:
            if batch[0].chat_id == EMAIL:
                for place, delivery in enumerate(batch):
                    found[place] = self._mail(delivery)
            else:
                self._chat(batch[0].chat_id, moved).carry_out(batch, found)
        except Exception as error:  # noqa: BLE001 - of this chat alone: the others of the batch are not sent again for it
            reason = f"{type(error).__name__}: {str(error)[:300]}"
        again = next((one for one in found.values() if one.comes_again), DeliveryResult(DeliveryState.POSTPONED, reason=reason))
        return [found.get(place, again) for place in range(len(batch))]

    def _chat(self, chat_id: str, moved: list[Move]) -> ChatDeliveries:
        return ChatDeliveries(
            log=self.log,
            moves=self.moves,
            painter=self.painter,
            clock=self.clock,
            lose=self._lose,
            settings=self.chats.book().of(chat_id),
            messenger=self.chats.messenger(),
            moved=moved,
        )

    def _mail(self, delivery: Delivery) -> DeliveryResult:
        """Send an e-mail unless it was sent before. One begun and not finished is sent again: twice is better than never."""
        begun = self.log.begin(delivery.alert_id, EMAIL, self.clock())
        if begun is Begun.SENT:
            return DUPLICATE
        if begun is Begun.BUSY:
            return BUSY
        try:
            subject = delivery.text.partition("\n")[0]
            self.mailer.mail(f"Signalbox: {subject}", delivery.text)
        except Exception:
            self.log.unconfirmed(delivery.alert_id, EMAIL, self.clock())
            raise
        self.log.sent(delivery.alert_id, EMAIL, self.clock())
        return SENT

    def _lose(self, delivery: Delivery, reason: str) -> DeliveryResult:
        """Announce an alert that did not reach its chat, and send it by e-mail."""
        lost = undelivered(delivery, reason)
        self.queue.put(second_try(delivery, reason))
        self.bus.announce((lost,))
        return DeliveryResult(DeliveryState.UNDELIVERABLE, reason=reason, lost=lost)
