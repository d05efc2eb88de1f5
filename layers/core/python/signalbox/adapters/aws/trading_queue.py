"""The queue side of the trading room: a message is an event of the bus in its envelope, or a command as JSON.

What can never succeed is told apart from what may succeed later: the first is out of the way at once, because in a FIFO group it
would hold back every message behind it for nothing. A position without a price is of the second kind: its next bar brings one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from signalbox.events import BusEvent, parse_event
from signalbox.orders.errors import OrderError
from signalbox.trading.commands import COMMANDS, AnyCommand, check_clock
from signalbox.trading.errors import CommandError, TradingError, UnpricedError
from signalbox.trading.room import Handled


class MessageRefusedError(TradingError):
    """A message that no account takes, today or tomorrow."""


class Room(Protocol):
    """What the queue needs of the application."""

    def handle(self, event: BusEvent) -> tuple[Handled, ...]:
        """Bring an event to the accounts it concerns."""

    def command(self, command: AnyCommand, who: str) -> Handled:
        """Carry out a command."""


def handle_message(room: Room, body: str, *, sender: str, sent_ms: str) -> tuple[Handled, ...]:
    """Bring one message to the accounts.

    Raises MessageRefusedError; when it may come again UnpricedError, or what the ledger raises.
    """
    try:
        work = _parsed(body, sent_ms)
    except (ValueError, KeyError, TypeError, CommandError) as error:
        raise MessageRefusedError(f"{type(error).__name__}: {error}") from error
    try:
        return room.handle(work) if isinstance(work, BusEvent) else (room.command(work, sender),)
    except UnpricedError:
        raise
    except (TradingError, OrderError, ValidationError) as error:
        raise MessageRefusedError(f"{type(error).__name__}: {error}") from error


def _parsed(body: str, sent_ms: str) -> BusEvent | AnyCommand:
    message = json.loads(body)
    if "detail-type" in message:
        return parse_event(message["detail-type"], message["detail"])
    command = COMMANDS.validate_python(message)
    check_clock(command, datetime.fromtimestamp(int(sent_ms) / 1000, UTC), behind=None)
    return command
