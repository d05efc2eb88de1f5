"""The answers of an agent that runs beside a terminal: one per command, and what is stored until it arrives (decision 0076)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AwareDatetime, Field

from signalbox.frozen import FrozenModel
from signalbox.orders.messages import AccountName
from signalbox.wire import cut

CommandSequence: TypeAlias = Annotated[int, Field(ge=1)]  # counts up per account


class CommandRefusal(StrEnum):
    """Why an agent refuses a command."""

    COMMAND_TOO_OLD = "COMMAND_TOO_OLD"
    COMMAND_AHEAD = "COMMAND_AHEAD"  # signed for a future time: one of the two clocks is wrong
    COMMAND_REPLAYED = "COMMAND_REPLAYED"  # the agent already accepted a newer command


class CommandTaken(FrozenModel):
    """The agent confirms that this command is on its disk, and that it will carry it out or report why it did not."""

    command: CommandSequence
    at: AwareDatetime


class CommandRefused(FrozenModel):
    """The agent refuses this command. If it concerns an order, a separate report has the order's outcome."""

    command: CommandSequence
    at: AwareDatetime
    reason: CommandRefusal
    detail: Annotated[str, cut(200), Field(max_length=200)] = ""


AgentAnswer: TypeAlias = CommandTaken | CommandRefused


class ExpectedAnswer(FrozenModel):
    """A forwarded command that the agent has not answered yet."""

    account: AccountName
    command: CommandSequence
    event_id: str
    handed_on_at: AwareDatetime
