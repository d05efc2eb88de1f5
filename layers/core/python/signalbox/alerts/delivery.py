"""One alert to one chat, and what is remembered of it, so that each chat gets one message per event.

A message is begun before it is sent. Of one that was begun and not finished nobody knows whether it arrived: it is
not sent to the chat again, but counted as undeliverable and sent by e-mail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Protocol

from pydantic import AwareDatetime, Field

from signalbox.alerts.alert import Alert, AlertChart
from signalbox.alerts.catalogue import Words
from signalbox.alerts.kinds import CRITICAL, LIFETIME, AlertKind
from signalbox.alerts.settings import ChatSettings, SettingsBook, Telling
from signalbox.chat.styled import StyledSpan, StyledText
from signalbox.events import AlertUndeliverable
from signalbox.frozen import FrozenModel

NO_CHAT: Final = "(none)"  # chat id of an alert for which no chat was configured
EMAIL: Final = "(e-mail)"  # chat id of the second channel
LEASE: Final = timedelta(seconds=75)  # the timeout of the function and 15 s; whoever began a message is gone after that


class Delivery(FrozenModel):
    """One alert to one configured chat, in its words. It waits in the queue of deliveries.

    kind: None in a delivery that a release before these fields queued, as is `at`, when it was queued: quiet hours and expiry
    count from there, not from the event, which a replay may take from another year. reply_to, thread: see alert.Alert.
    """

    alert_id: str
    chat_id: str
    text: str
    correlation_id: str | None = None  # of the alert's event; used in logs only
    spans: tuple[StyledSpan, ...] = ()
    kind: AlertKind | None = None
    at: AwareDatetime | None = None
    lifetime_seconds: Annotated[int, Field(ge=1)] = int(LIFETIME.total_seconds())
    thread: str | None = None
    reply_to: str | None = None
    chart: AlertChart | None = None

    @property
    def key(self) -> str:
        """The queue's deduplication id: 64 characters."""
        return hashlib.sha256(json.dumps([self.alert_id, self.chat_id]).encode()).hexdigest()

    @property
    def is_critical(self) -> bool:
        """Whether nothing may delay it."""
        return self.kind in CRITICAL

    @property
    def group(self) -> str:
        """The message group: of its chat, and another one for critical alerts, which wait behind no quiet hours."""
        return f"{self.chat_id}!" if self.is_critical else self.chat_id

    @property
    def styled(self) -> StyledText:
        """The text with its styles."""
        return StyledText(text=self.text, spans=self.spans)

    def released_at(self, settings: ChatSettings) -> datetime | None:
        """Return when it may be sent by the chat's quiet hours; None: at once."""
        if self.kind is None or self.at is None or self.chat_id == EMAIL:
            return None
        return settings.released_at(self.at, self.kind)

    def expires_at(self, settings: ChatSettings) -> datetime | None:
        """Return when it is given up; quiet hours do not count. None: never."""
        release = self.released_at(settings)
        return None if release is None else release + timedelta(seconds=self.lifetime_seconds)


@dataclass(frozen=True, slots=True)
class Move:
    """A chat whose id changed."""

    chat_id: str
    new_id: str


class Begun(StrEnum):
    """The answer to beginning a message."""

    NEW = "NEW"  # it is ours to send
    SENT = "SENT"
    BUSY = "BUSY"  # another invocation is sending it
    UNCONFIRMED = "UNCONFIRMED"  # whoever began it never said how it ended, or could not know


class DeliveryLog(Protocol):
    """Remembers messages by alert and chat, longer than any queue keeps a delivery."""

    def begin(self, alert_id: str, chat_id: str, at: datetime) -> Begun:
        """Begin a message. Of several callers at once, one gets NEW. A begun message becomes UNCONFIRMED after LEASE."""

    def sent(self, alert_id: str, chat_id: str, at: datetime) -> None:
        """Note that the message arrived."""

    def not_sent(self, alert_id: str, chat_id: str) -> None:
        """Note that the message surely did not arrive, so it may begin again."""

    def unconfirmed(self, alert_id: str, chat_id: str, at: datetime) -> None:
        """Note that nobody knows whether the message arrived."""

    def remember(self, thread: str, chat_id: str, message_id: int, at: datetime) -> None:
        """Store the message that later ones of a thread reply to."""

    def message_of(self, thread: str, chat_id: str) -> int | None:
        """Return the message of a thread in a chat, or None."""


class ChatMoves(Protocol):
    """Remembers the new ids of chats permanently."""

    def newest(self, chat_id: str) -> str:
        """Return the current id of a configured chat; its own id if it never changed."""

    def remember(self, chat_id: str, new_id: str) -> None:
        """Store the new id of a configured chat."""


class ChartPainter(Protocol):
    """Draws charts."""

    def paint(self, chart: AlertChart) -> bytes:
        """Return a PNG. Raises ChartError."""


class Mailer(Protocol):
    """The second channel."""

    def mail(self, subject: str, text: str) -> None:
        """Send an e-mail to the operators; an error means that it may not have been accepted."""


def deliveries_of(
    alert: Alert, chat_ids: Sequence[str], book: SettingsBook, *, at: datetime, correlation_id: str | None = None
) -> tuple[Delivery, ...]:
    """Return one delivery for each chat that wants the alert, in its language, in the configured order."""
    found = []
    for chat in dict.fromkeys(chat_ids):
        settings = book.of(chat)
        unwanted = alert.tier is not None and not settings.wants_tier(alert.tier)
        if settings.telling(alert.kind) is Telling.OFF or unwanted:
            continue
        found.append(_delivery(alert, chat, settings, at, correlation_id))
    return tuple(found)


def mail_of(alert: Alert, *, at: datetime, correlation_id: str | None = None) -> Delivery:
    """Return the delivery of an alert by e-mail, in English and UTC: it needs no settings, for they may be what is broken."""
    plain = _delivery(alert, EMAIL, ChatSettings(), at, correlation_id)
    return plain.model_copy(update={"chart": None, "spans": ()})


def second_try(lost: Delivery, reason: str) -> Delivery:
    """Return the delivery by e-mail of an alert that did not reach its chat."""
    text = f"{lost.text}\n\nNot delivered to chat {lost.chat_id}: {reason}"
    return Delivery(alert_id=lost.alert_id, chat_id=EMAIL, text=text, correlation_id=lost.correlation_id, kind=lost.kind)


def undelivered(lost: Delivery, reason: str) -> AlertUndeliverable:
    """Return the event that says that an alert did not reach a chat."""
    return AlertUndeliverable(alert_id=lost.alert_id, chat_id=lost.chat_id, reason=reason, text=lost.text)


def _delivery(alert: Alert, chat: str, settings: ChatSettings, at: datetime, correlation_id: str | None) -> Delivery:
    words: Words = settings.words()
    text = alert.write(words, settings)
    return Delivery(
        alert_id=alert.alert_id,
        chat_id=chat,
        text=text.text,
        spans=text.spans,
        correlation_id=correlation_id,
        kind=alert.kind,
        at=at,
        lifetime_seconds=int(alert.lifetime.total_seconds()),
        thread=alert.thread,
        reply_to=alert.reply_to,
        chart=None if alert.chart is None else alert.chart(words, settings),
    )
