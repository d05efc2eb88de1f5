"""Sends the deliveries to one chat in order, several in one message.

Each is recorded as begun before it is sent, and sent once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from signalbox.alerts.delivery import LEASE, Begun, ChartPainter, ChatMoves, Delivery, DeliveryLog, Move
from signalbox.alerts.folding import fold, folded
from signalbox.alerts.settings import ChatSettings, Telling
from signalbox.chat.messenger import (
    ChatMovedError,
    Messenger,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    MessengerUnconfirmedError,
    OutgoingMessage,
)
from signalbox.chat.styled import CAPTION_UNITS, MESSAGE_UNITS, StyledText, joined, split
from signalbox.events import AlertUndeliverable

MAX_MOVES: Final = 3  # most changes of a chat's id that one message follows
WORK_WITHIN: Final = timedelta(seconds=25)  # after it nothing is begun that may take a picture and two timeouts
UNKNOWN: Final = "whether it arrived is unknown, and it is not sent to the chat twice"


class DeliveryState(StrEnum):
    """How an attempt at one delivery ended."""

    SENT = "SENT"
    DUPLICATE = "DUPLICATE"  # it was sent before
    UNDELIVERABLE = "UNDELIVERABLE"
    HELD = "HELD"  # quiet hours
    POSTPONED = "POSTPONED"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """How an attempt at one delivery ended. seconds: until the next attempt; None if the messenger asked for no pause."""

    state: DeliveryState
    seconds: int | None = None
    reason: str = ""
    lost: AlertUndeliverable | None = None
    chart_missing: bool = False

    @property
    def comes_again(self) -> bool:
        """Whether the delivery stays in its queue."""
        return self.state in {DeliveryState.HELD, DeliveryState.POSTPONED}


DUPLICATE: Final = DeliveryResult(DeliveryState.DUPLICATE)
SENT: Final = DeliveryResult(DeliveryState.SENT)
BUSY: Final = DeliveryResult(DeliveryState.POSTPONED, int(LEASE.total_seconds()), "another invocation is sending it")


@dataclass(frozen=True, slots=True)
class _Key:
    """What a message is begun and remembered by: the alert's id, or that of a later part of its text."""

    delivery: Delivery
    name: str
    thread: str | None


@dataclass
class ChatDeliveries:
    """The deliveries of one group of one chat. lose: announces an alert that does not reach the chat, and returns the result."""

    log: DeliveryLog
    moves: ChatMoves
    painter: ChartPainter
    clock: Callable[[], datetime]
    lose: Callable[[Delivery, str], DeliveryResult]
    settings: ChatSettings
    messenger: Messenger
    moved: list[Move] = field(default_factory=list)  # chats whose new id was met

    def carry_out(self, batch: Sequence[Delivery], found: dict[int, DeliveryResult]) -> None:
        """Carry out deliveries to the same chat, and add their results to `found` by place.

        Those without a result are delivered again.
        """
        began = self.clock()
        ready, held = self._released(batch, began)
        first = {one.alert_id: place for place, one in reversed(list(enumerate(ready)))}
        due = []
        for place, delivery in enumerate(ready):
            if self._is_over(delivery, began):
                found[place] = self._expired(delivery)
            elif first[delivery.alert_id] == place:
                due.append(place)
        texts = [ready[place].styled for place in due]
        for group in fold(texts, self._headline(len(due)), fold_from=self.settings.fold_from):
            together = [due[one] for one in group]
            sent = self._message([ready[place] for place in together])
            found.update(zip(together, sent, strict=True))
            if any(one.comes_again or one.reason.startswith(UNKNOWN) for one in sent) or self.clock() - began > WORK_WITHIN:
                break  # the rest comes again: better than being killed while it is sent
        for place, delivery in enumerate(ready):
            result = found.get(first[delivery.alert_id])
            if place not in found and result is not None:  # the same alert twice in a batch
                found[place] = result if result.comes_again else DUPLICATE
        if held is not None:
            found.update(dict.fromkeys(range(len(ready), len(batch)), held))

    def _released(self, batch: Sequence[Delivery], now: datetime) -> tuple[Sequence[Delivery], DeliveryResult | None]:
        """Return the deliveries before the first that quiet hours hold back, and the result of that one."""
        for place, delivery in enumerate(batch):
            release = delivery.released_at(self.settings)
            if release is not None and release > now:
                seconds = max(int((release - now).total_seconds()), 1)
                return batch[:place], DeliveryResult(DeliveryState.HELD, seconds, "quiet hours")
        return batch, None

    def _is_over(self, delivery: Delivery, now: datetime) -> bool:
        expires = delivery.expires_at(self.settings)
        return expires is not None and now >= expires

    def _expired(self, delivery: Delivery) -> DeliveryResult:
        """Return the result of a delivery that is not worth sending any more, unless it was sent before."""
        begun = self.log.begin(delivery.alert_id, delivery.chat_id, self.clock())
        if begun is not Begun.NEW:
            return self._standing(delivery, begun)
        self.log.not_sent(delivery.alert_id, delivery.chat_id)
        return self.lose(delivery, f"it could not be sent before {delivery.expires_at(self.settings)}")

    def _headline(self, count: int) -> StyledText:
        return self.settings.words().headline("📚", "fold.headline", count=str(count))

    def _message(self, group: Sequence[Delivery]) -> list[DeliveryResult]:
        """Send one message of one or more deliveries and return a result for each."""
        if len(group) == 1:
            return [self._alone(group[0])]
        text = folded([one.styled for one in group], self._headline(len(group)))
        message = OutgoingMessage(text, silent=all(self._is_silent(one) for one in group))
        return self._send([_Key(one, one.alert_id, one.thread) for one in group], message)

    def _alone(self, delivery: Delivery) -> DeliveryResult:
        """Send one delivery, with its chart if it has one, in as many messages as its text needs."""
        photo, text, missing = self._picture(delivery)
        first = MESSAGE_UNITS if delivery.chart is None else CAPTION_UNITS  # also where it could not be drawn: the same parts
        reply_to = None if delivery.reply_to is None else self.log.message_of(delivery.reply_to, delivery.chat_id)
        result = DUPLICATE
        for number, part in enumerate(split(text, first=first)):
            if number == 0:
                key = _Key(delivery, delivery.alert_id, delivery.thread)
                message = OutgoingMessage(part, photo, self._is_silent(delivery), reply_to)
            else:
                key = _Key(delivery, f"{delivery.alert_id}#part{number + 1}", None)
                message = OutgoingMessage(part, silent=self._is_silent(delivery))
            (sent,) = self._send([key], message)
            if sent.state is not DeliveryState.DUPLICATE:
                result = sent
            if sent.state not in {DeliveryState.SENT, DeliveryState.DUPLICATE}:
                break
        return replace(result, chart_missing=missing)

    def _send(self, keys: Sequence[_Key], message: OutgoingMessage) -> list[DeliveryResult]:
        """Begin a message for each key, send it once, and note how it ended.

        If one of several was begun before, none is sent: the others come again and are folded without it.
        """
        chat = keys[0].delivery.chat_id
        begun = self._begin(keys)
        if any(one is not Begun.NEW for one in begun):
            self._give_back([key for key, one in zip(keys, begun, strict=True) if one is Begun.NEW])
            return [self._standing(key.delivery, one) for key, one in zip(keys, begun, strict=True)]
        try:
            message_id = self._follow(chat, message)
        except (MessengerBusyError, MessengerUnavailableError) as error:
            self._give_back(keys)
            return [self._later(key.delivery, error) for key in keys]
        except MessengerUnconfirmedError as error:
            for key in keys:
                self.log.unconfirmed(key.name, chat, self.clock())
            return [self.lose(key.delivery, f"{UNKNOWN}: {error}") for key in keys]
        except MessengerRefusedError as error:
            self._give_back(keys)
            return [self.lose(key.delivery, str(error)) for key in keys]
        for key in keys:
            self.log.sent(key.name, chat, self.clock())
        for key in keys:
            if key.thread is not None and message_id is not None:
                self.log.remember(key.thread, chat, message_id, self.clock())
        return [SENT] * len(keys)

    def _begin(self, keys: Sequence[_Key]) -> list[Begun]:
        """Begin all messages; if that fails midway, none stays begun, because nothing was sent."""
        begun: list[Begun] = []
        try:
            for key in keys:
                one = self.log.begin(key.name, key.delivery.chat_id, self.clock())
                begun.append(one)
        except Exception:
            self._give_back([key for key, one in zip(keys, begun, strict=False) if one is Begun.NEW])
            raise
        return begun

    def _give_back(self, keys: Sequence[_Key]) -> None:
        for key in keys:
            self.log.not_sent(key.name, key.delivery.chat_id)

    def _follow(self, configured: str, message: OutgoingMessage) -> int | None:
        """Send to a chat under its current id, and remember a new one. A photo that is refused goes out as its text alone."""
        chat = self.moves.newest(configured)
        for _ in range(MAX_MOVES):
            try:
                return self.messenger.send(chat, message)
            except ChatMovedError as moved:
                self.moves.remember(configured, moved.new_id)
                self.moved.append(Move(chat, moved.new_id))
                chat = moved.new_id
                message = replace(message, reply_to=None)  # ids of messages were the old chat's
            except MessengerRefusedError:
                if message.photo is None:
                    raise
                message = replace(message, text=self._without_chart(message.text), photo=None)
        raise MessengerRefusedError(f"the chat moved {MAX_MOVES} times in a row, the last time to {chat}")

    def _picture(self, delivery: Delivery) -> tuple[bytes | None, StyledText, bool]:
        """Return the chart if it can be drawn, and the text, which says so if it cannot."""
        if delivery.chart is None:
            return None, delivery.styled, False
        try:
            return self.painter.paint(delivery.chart), delivery.styled, False
        except Exception:  # noqa: BLE001 - whatever is wrong with a picture, the text goes out
            return None, self._without_chart(delivery.styled), True

    def _without_chart(self, text: StyledText) -> StyledText:
        return joined((text, self.settings.words().say("signal.no_chart")))

    def _is_silent(self, delivery: Delivery) -> bool:
        return delivery.kind is not None and self.settings.telling(delivery.kind) is Telling.SILENT

    def _standing(self, delivery: Delivery, begun: Begun) -> DeliveryResult:
        match begun:
            case Begun.SENT:
                return DUPLICATE
            case Begun.UNCONFIRMED:
                return self.lose(delivery, UNKNOWN)
            case Begun.BUSY:
                return BUSY
            case _:
                return DeliveryResult(
                    DeliveryState.POSTPONED, 1, "it was put into one message with an alert whose sending began earlier"
                )

    def _later(self, delivery: Delivery, error: MessengerBusyError | MessengerUnavailableError) -> DeliveryResult:
        """Return the result of a delivery that comes again, unless it would expire before."""
        asked = error.retry_after if isinstance(error, MessengerBusyError) else None
        expires = delivery.expires_at(self.settings)
        if expires is not None and asked is not None and (expires - self.clock()).total_seconds() <= asked:
            return self.lose(delivery, f"it expires at {expires.isoformat()}: {error}")
        return DeliveryResult(DeliveryState.POSTPONED, asked, str(error))
