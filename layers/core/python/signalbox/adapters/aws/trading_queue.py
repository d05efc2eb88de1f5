"""The trading service behind queues: a message is an event of the bus in its envelope, or a command as JSON.

A message that can never succeed is refused at once, because in a FIFO group it would block every message behind it for nothing. A
message that may succeed later is retried; a position without a price is such a case, because the next bar brings a price.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from pydantic import ValidationError

from signalbox.events import BusEvent, read_event, require_not_ahead
from signalbox.orders.errors import OrderError
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.orders.sealing import MAY_REPORT
from signalbox.signing import AcceptedKeys, SealError, UnsealedError, open_envelope
from signalbox.trading.commands import COMMANDS, HALT, AnyCommand, HaltTrading, check_clock
from signalbox.trading.errors import AccountUnreadableError, CommandError, TradingError, UnpricedError
from signalbox.trading.service import AccountOutcome, instant_of
from signalbox.wire import parse_object


class MessageRefusedError(TradingError):
    """A message can never be carried out for any account, however often it is delivered."""


class ReportRefusedError(MessageRefusedError):
    """A message claims to be a venue's report, but the executor did not send it."""


class QueueTradingService(Protocol):
    """The part of the application that the queue uses."""

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        """Give an event to the accounts that it concerns. sent_at: when the queue got it."""

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        """Carry out a command if `who` may give it."""

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        """Halt an account, whoever asks."""


class Follows(Protocol):
    """Learns what a message is once it has been read, for the log lines that follow."""

    def event(self, event: BusEvent) -> None:
        """Note that the message is an event of the bus."""

    def command(self, request_id: str, at: datetime) -> None:
        """Note that the message is a command."""


class Door(StrEnum):
    """The queue through which a message came."""

    TRADING = "trading"
    KILL_SWITCH = (
        "kill-switch"  # halts only, from anybody whom IAM lets send: they stop accounts and start none, so no role is needed
    )


def handle_message(
    service: QueueTradingService,
    body: str,
    *,
    sender: str,
    sent_ms: str,
    keys: AcceptedKeys | None,
    door: Door = Door.TRADING,
    follow: Follows | None = None,
) -> tuple[AccountOutcome, ...]:
    """Give one message to the accounts. keys: the executor's, with which reports must be sealed.

    MessageRefusedError is final, and so is ReportRefusedError for a forged report. After UnpricedError, AccountUnreadableError,
    KeyUnavailableError or an error of the ledger, the message may be delivered again.
    """
    try:
        work = _parsed(body, sent_ms, door, keys)
    except SealError as error:
        raise ReportRefusedError(f"{type(error).__name__}: {error}") from error
    except (ValueError, TradingError, OverflowError) as error:
        raise MessageRefusedError(f"{type(error).__name__}: {error}") from error
    if follow is not None:
        if isinstance(work, BusEvent):
            follow.event(work)
        else:
            follow.command(work.request_id, work.requested_at)
    try:
        if isinstance(work, BusEvent):
            return service.handle(work, _instant(sent_ms))
        if door is Door.KILL_SWITCH and isinstance(work, HaltTrading):
            return (service.kill(work, sender),)
        return (service.command(work, sender),)
    except (UnpricedError, AccountUnreadableError):
        raise
    except (TradingError, OrderError, ValidationError) as error:
        raise MessageRefusedError(f"{type(error).__name__}: {error}") from error


def _parsed(body: str, sent_ms: str, door: Door, keys: AcceptedKeys | None) -> BusEvent | AnyCommand:
    message = parse_object(body, numbers=str)
    if door is Door.KILL_SWITCH and message.get("kind") != HALT:
        raise CommandError(f"the kill switch's queue takes only halts, got {str(message.get('kind'))[:40]!r}")
    sent_at = _instant(sent_ms)
    if "detail-type" in message and door is Door.TRADING:
        kind = message["detail-type"]
        if isinstance(kind, str) and kind in MAY_REPORT:
            if keys is None:
                raise UnsealedError("this function has no keys of execute_orders, so it accepts no report")
            return _not_ahead(open_envelope(message, keys).event, sent_at)
        event = read_event(body)
        require_not_ahead(event.event_id, instant_of(event), sent_at)
        return event
    command = COMMANDS.validate_python(message)
    if isinstance(command, HaltTrading) and command.requested_at > sent_at:
        return command.model_copy(update={"requested_at": sent_at})  # a halt must not wait for a clock that runs ahead
    check_clock(command, sent_at, behind=None)
    return command


def _instant(sent_ms: str) -> datetime:
    return datetime.fromtimestamp(int(sent_ms) / 1000, UTC)


def _not_ahead(event: BusEvent, sent_at: datetime) -> BusEvent:
    """Return a report dated at the latest when it was sent: a clock that runs ahead must not move an account into the future.

    An account's time never runs backwards, so a report dated hours ahead would end its deadlines and make its prices old. It is
    not refused like other events, because the executor sealed it and what it reports of an order must not be lost. The same
    holds for each trade and transfer in it, which carry the venue's time: nothing decided after a booking is dated before it,
    and a loss counts on its day. No event is identified by its time. A part of a view stays as it is, because its digest covers
    the whole view: the service dates the view when all parts are there.
    """
    if isinstance(event, ExecutionReported):
        events = tuple(one if one.at <= sent_at else one.model_copy(update={"at": sent_at}) for one in event.events)
        return event.model_copy(update={"reported_at": min(event.reported_at, sent_at), "events": events})
    if isinstance(event, VenueViewReported) and event.parts == 1:
        return event.dated_by(sent_at)
    return event
