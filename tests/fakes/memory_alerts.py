"""In-memory twins of the ports of send_alerts, with a messenger that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from signalbox.alerts.alert import AlertChart
from signalbox.alerts.delivery import LEASE, Begun, Delivery
from signalbox.alerts.settings import SettingsBook, read_settings
from signalbox.chat.messenger import Messenger, OutgoingMessage
from signalbox.events import Event


@dataclass
class MemoryDeliveryLog:
    """DeliveryLog."""

    states: dict[tuple[str, str], tuple[Begun, datetime]] = field(default_factory=dict)
    threads: dict[tuple[str, str], int] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, alert_id: str, chat_id: str, at: datetime) -> Begun:
        with self.mutex:
            state, until = self.states.setdefault((alert_id, chat_id), (Begun.NEW, at + LEASE))
            if state is Begun.NEW:
                self.states[alert_id, chat_id] = (Begun.BUSY, until)
                return Begun.NEW
            return Begun.UNCONFIRMED if state is Begun.BUSY and until <= at else state

    def sent(self, alert_id: str, chat_id: str, at: datetime) -> None:
        self.states[alert_id, chat_id] = (Begun.SENT, at)

    def not_sent(self, alert_id: str, chat_id: str) -> None:
        del self.states[alert_id, chat_id]

    def unconfirmed(self, alert_id: str, chat_id: str, at: datetime) -> None:
        self.states[alert_id, chat_id] = (Begun.UNCONFIRMED, at)

    def remember(self, thread: str, chat_id: str, message_id: int, at: datetime) -> None:
        self.threads[thread, chat_id] = message_id

    def message_of(self, thread: str, chat_id: str) -> int | None:
        return self.threads.get((thread, chat_id))


@dataclass
class MemoryChatMoves:
    """ChatMoves."""

    moved: dict[str, str] = field(default_factory=dict)

    def newest(self, chat_id: str) -> str:
        return self.moved.get(chat_id, chat_id)

    def remember(self, chat_id: str, new_id: str) -> None:
        self.moved[chat_id] = new_id


@dataclass
class MemoryQueue:
    """DeliveryQueue and Announcer: everything that was queued or announced, in order."""

    deliveries: list[Delivery] = field(default_factory=list)
    announced: list[Event] = field(default_factory=list)

    def put(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def announce(self, events: Sequence[Event]) -> None:
        self.announced.extend(events)


@dataclass
class ScriptedMessenger:
    """Messenger: keeps what arrived. faults: the next error of a chat, taken before the message arrives.

    lost_answers: chats whose next messages arrive although the sender gets an error.
    """

    arrived: list[tuple[str, OutgoingMessage]] = field(default_factory=list)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    lost_answers: dict[str, list[Exception]] = field(default_factory=dict)
    on_send: Callable[[str], None] = field(default=lambda _: None)

    def send(self, chat_id: str, message: OutgoingMessage) -> int | None:
        self.on_send(chat_id)
        if self.faults.get(chat_id):
            raise self.faults[chat_id].pop(0)
        self.arrived.append((chat_id, message))
        if self.lost_answers.get(chat_id):
            raise self.lost_answers[chat_id].pop(0)
        return len(self.arrived)

    def texts(self, chat_id: str) -> list[str]:
        return [message.text.text for chat, message in self.arrived if chat == chat_id]


@dataclass
class MemoryChats:
    """Chats."""

    ids: tuple[str, ...] = ("1",)
    content: object = None
    bot: Messenger = field(default_factory=ScriptedMessenger)
    broken: Exception | None = None

    def chat_ids(self) -> tuple[str, ...]:
        if self.broken is not None:
            raise self.broken
        return self.ids

    def book(self) -> SettingsBook:
        return read_settings(self.content)

    def messenger(self) -> Messenger:
        return self.bot


@dataclass
class PlainPainter:
    """ChartPainter: a few bytes, or an error."""

    error: Exception | None = None

    def paint(self, chart: AlertChart) -> bytes:
        if self.error is not None:
            raise self.error
        return b"png " + chart.title.encode()


@dataclass
class MemoryMailer:
    """Mailer."""

    mails: list[tuple[str, str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def mail(self, subject: str, text: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.mails.append((subject, text))


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def forward(self, span: timedelta) -> None:
        self.now += span
