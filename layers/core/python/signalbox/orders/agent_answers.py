"""What an agent that carries out commands beside a terminal answers to each, and what is kept until it does (decision 0076)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AwareDatetime, Field

from signalbox.frozen import FrozenModel
from signalbox.orders.messages import AccountName
from signalbox.wire import cut

CommandSequence: TypeAlias = Annotated[int, Field(ge=1)]  # of one account; it only goes up


class CommandRefusal(StrEnum):
    """Why an agent does not carry a command out."""

    COMMAND_TOO_OLD = "COMMAND_TOO_OLD"
    COMMAND_AHEAD = "COMMAND_AHEAD"  # signed for a time that has not come: one of the two clocks is wrong
    COMMAND_REPLAYED = "COMMAND_REPLAYED"  # a newer one was taken before


class CommandTaken(FrozenModel):
    """The agent's answer: it has the command of this sequence on its disk, and carries it out or reports why not."""

    command: CommandSequence
    at: AwareDatetime


class CommandRefused(FrozenModel):
    """The agent's answer: it does not carry the command out. What became of an order in it comes in a report beside this."""

    command: CommandSequence
    at: AwareDatetime
    reason: CommandRefusal
    detail: Annotated[str, cut(200), Field(max_length=200)] = ""


AgentAnswer: TypeAlias = CommandTaken | CommandRefused


class ExpectedAnswer(FrozenModel):
    """A forwarded command whose answer is still expected."""

    account: AccountName
    command: CommandSequence
    event_id: str
    handed_on_at: AwareDatetime
