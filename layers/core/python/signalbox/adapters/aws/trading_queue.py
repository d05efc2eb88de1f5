"""The queue side of the trading service: a message is an event of the bus in its envelope, or a command as JSON.

What can never succeed is told apart from what may succeed later: the first is out of the way at once, because in a FIFO group it
would hold back every message behind it for nothing. A position without a price is of the second kind: its next bar brings one.
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
    """A message that no account takes, today or tomorrow."""


class ReportRefusedError(MessageRefusedError):
    """What says that it is a report of a venue, and is not the executor's word."""


class QueueTradingService(Protocol):
    """What the queue needs of the application."""

    def handle(self, event: BusEvent) -> tuple[AccountOutcome, ...]:
        """Bring an event to the accounts it concerns."""

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        """Carry out a command of somebody who may."""

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        """Halt an account, whoever asks."""


class Follows(Protocol):
    """Is told what a message is, once it is read."""

    def event(self, event: BusEvent) -> None:
        """Take an event of the bus."""

    def command(self, request_id: str, at: datetime) -> None:
        """Take a command."""


class Door(StrEnum):
    """By which queue a message came."""

    TRADING = "trading"
    KILL_SWITCH = (
        "kill-switch"  # halts alone, of whoever IAM lets send: it can stop an account and never start one, so no role is asked
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
    """Bring one message to the accounts. keys: of the executor, whose seal a report has to have.

    Raises MessageRefusedError, ReportRefusedError for what only looks like a report; when it may come again UnpricedError,
    AccountUnreadableError, KeyUnavailableError, or what the ledger raises.
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
            return service.handle(work)
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
        raise CommandError(f"expected a halt by the kill switch's queue, was {str(message.get('kind'))[:40]!r}")
    sent_at = datetime.fromtimestamp(int(sent_ms) / 1000, UTC)
    if "detail-type" in message and door is Door.TRADING:
        kind = message["detail-type"]
        if isinstance(kind, str) and kind in MAY_REPORT:
            if keys is None:
                raise UnsealedError("expected to know the executor's keys, was without: no report is believed here")
            return _not_ahead(open_envelope(message, keys).event, sent_at)
        event = read_event(body)
        require_not_ahead(event.event_id, instant_of(event), sent_at)
        return event
    command = COMMANDS.validate_python(message)
    if isinstance(command, HaltTrading) and command.requested_at > sent_at:
        return command.model_copy(update={"requested_at": sent_at})  # no stop waits for a clock that runs ahead
    check_clock(command, sent_at, behind=None)
    return command


def _not_ahead(event: BusEvent, sent_at: datetime) -> BusEvent:
    """Return a report as of when it was sent at the latest: a clock that runs ahead must not take an account into the future.

    An account's time never runs back, so one report stamped hours ahead would end its deadlines and make its prices old.
    It is not refused as any other event would be: the executor sealed it, and what it tells of an order must not be lost.
    The same holds for each trade and transfer in it, whose instant is the venue's: whatever is decided after a booking is
    stamped no earlier than it, and a loss counts on its day. No event is named by its instant. A part of a view stays as it
    is, for its digest is of the whole; the adapter of a venue has bounded it.
    """
    if isinstance(event, ExecutionReported):
        events = tuple(one if one.at <= sent_at else one.model_copy(update={"at": sent_at}) for one in event.events)
        return event.model_copy(update={"reported_at": min(event.reported_at, sent_at), "events": events})
    if isinstance(event, VenueViewReported) and event.parts == 1:
        trades = tuple(
            one if one.executed_at <= sent_at else one.model_copy(update={"executed_at": sent_at}) for one in event.trades
        )
        transfers = tuple(one if one.at <= sent_at else one.model_copy(update={"at": sent_at}) for one in event.transfers)
        asked_at = min(event.asked_at, sent_at)
        return event.model_copy(update={"asked_at": asked_at, "trades": trades, "transfers": transfers})
    if isinstance(event, VenueViewReported) and event.asked_at > sent_at:
        return event.model_copy(update={"asked_at": sent_at})
    return event
