"""Messages as they travel: written to the text of the bus and read again, as between two functions."""

from __future__ import annotations

import json
from typing import TypeVar

from signalbox.contracts import EVENT_SOURCE
from signalbox.events import BusEvent, read_event
from signalbox.trading.commands import COMMANDS, AnyCommand

Message = TypeVar("Message", bound=BusEvent)


def carried(event: Message) -> Message:
    """Return an event as whoever is at the other end of the bus reads it."""
    read = read_event(json.dumps({"source": EVENT_SOURCE, "detail-type": event.type, "detail": event.to_detail()}))
    if type(read) is not type(event) or read != event:
        raise ValueError(f"expected {event!r} as it was sent, was {read!r}")
    return read


def carried_command(command: AnyCommand) -> AnyCommand:
    """Return a command as it comes out of its queue."""
    read = COMMANDS.validate_json(command.model_dump_json())
    if read != command:
        raise ValueError(f"expected {command!r} as it was sent, was {read!r}")
    return read
