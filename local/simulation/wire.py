"""Messages as they travel between two functions: written as the bus's text and parsed again."""

from __future__ import annotations

import json
from typing import TypeVar

from signalbox.contracts import EVENT_SOURCE
from signalbox.events import BusEvent, read_event
from signalbox.trading.commands import COMMANDS, AnyCommand

Message = TypeVar("Message", bound=BusEvent)


def carried(event: Message) -> Message:
    """Return an event as its receiver on the bus parses it."""
    read = read_event(json.dumps({"source": EVENT_SOURCE, "detail-type": event.type, "detail": event.to_detail()}))
    if type(read) is not type(event) or read != event:
        raise ValueError(f"the event changed in transit: sent {event!r}, received {read!r}")
    return read


def carried_command(command: AnyCommand) -> AnyCommand:
    """Return a command as the reader of its queue parses it."""
    read = COMMANDS.validate_json(command.model_dump_json())
    if read != command:
        raise ValueError(f"the command changed in transit: sent {command!r}, received {read!r}")
    return read
