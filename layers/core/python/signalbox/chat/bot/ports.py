"""What the bot needs of the outside: the ledger as its caller may see it, and a place for commands that wait for a button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

from pydantic import Field, TypeAdapter

from signalbox.access import Role
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import DeploymentStage, Signal
from signalbox.trading.commands import COMMANDS, AnyCommand
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, OrderDocument, ReadinessDocument
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade
from signalbox.wire import parse_object

SILENT: Final = "The ledger does not answer. Try again in a minute; trading goes on by itself."
_VERB: Final = "verb"  # a change of a model has one, a command of an account has a kind


class DeployModel(FrozenModel):
    """Deploys a version, such as dir60@3. The request of library.commands, which the bot cannot import: it loads models."""

    verb: Literal["deploy"] = "deploy"
    request_id: str
    why: str
    version: str
    stage: DeploymentStage


class RollBackModel(FrozenModel):
    """Goes back to an earlier deployment: the previous one, or the one with this number.

    may_start: no active model decides now, so what comes back may start trading. shown: the deployments that decided and were on
    their way when the effect was shown. Both are the bot's own, and not sent.
    """

    verb: Literal["rollback"] = "rollback"
    request_id: str
    why: str
    to: int | None = None
    may_start: bool = False
    shown: tuple[str, str] | None = None  # empty names: none


ModelChange: TypeAlias = DeployModel | RollBackModel
BotChange: TypeAlias = AnyCommand | ModelChange  # of an account, or of the model that decides
_MODEL_CHANGES: Final[TypeAdapter[ModelChange]] = TypeAdapter(Annotated[ModelChange, Field(discriminator=_VERB)])


def change_of(text: str) -> BotChange:
    """Read a change that was written as JSON. Raises pydantic.ValidationError, WireError."""
    return _MODEL_CHANGES.validate_json(text) if _VERB in parse_object(text) else COMMANDS.validate_json(text)


def role_for(change: ModelChange) -> Role:
    """Return the role that a change needs, as the library asks for it too: what makes a model active is an owner's."""
    is_active = isinstance(change, DeployModel) and change.stage is DeploymentStage.ACTIVE
    return Role.OWNER if is_active else Role.OPERATOR


class BotLedgerError(SignalboxError):
    """The ledger refused a question or command, or did not answer. BotLedgerError > BotLedgerSilentError. Its text is shown."""


class BotLedgerSilentError(BotLedgerError):
    """The ledger did not answer in time. Whether a command was carried out is unknown; it is safe to give it again."""

    def __init__(self, text: str = SILENT) -> None:
        super().__init__(text)


class ChartUnavailableError(SignalboxError):
    """A chart cannot be drawn; the text says why."""


@dataclass(frozen=True, slots=True)
class RecentPrices:
    """What the picture of a symbol's prices shows: one-minute bars, oldest first, at least one. zone: of the labels."""

    title: str
    zone: str
    bars: tuple[BarRow, ...]


class PaintPrices(Protocol):
    """Draws prices."""

    def __call__(self, chart: RecentPrices) -> bytes:
        """Return a PNG. Raises ChartUnavailableError."""


class BotLedger(Protocol):
    """The ledger, asked in the name of one person. Every method raises BotLedgerError."""

    def accounts(self) -> Sequence[ConfigurationDocument]:
        """Return the accounts that the person may see."""

    def account(self, name: str) -> AccountDocument:
        """Return an account as it is now."""

    def readiness(self, name: str) -> ReadinessDocument:
        """Return whether an account may trade live."""

    def order(self, account: str, order: str) -> OrderDocument:
        """Return one order in its current state."""

    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        """Return the recorded one-minute bars of [start, end), oldest first."""

    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        """Return the signals with start < decided_at <= end, oldest first."""

    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        """Return the trades decided in (start, end], oldest first."""

    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        """Return the equity snapshots of (start, end], oldest first."""

    def require(self, account: str, action: str) -> None:
        """Return if the person may give a command of this kind on an account."""

    def command(self, command: AnyCommand) -> AccountDocument:
        """Carry out a command once for its request id; return the account after it."""

    def library(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the library's answer to a question or a change (library.commands), in JSON's types."""


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A command that waits for a button. token: names it. user, chat: who asked for it, and where.

    waits_for_second: its asker confirmed it, and another person has to approve it. approved_by: who did; they alone may press
    again. was_sent: it was sent, and whether it was carried out is unknown.
    """

    token: str
    user: int
    chat: int
    command: BotChange
    expires_at: datetime
    waits_for_second: bool = False
    approved_by: int | None = None
    was_sent: bool = False

    def is_for(self, user: int, chat: int) -> bool:
        """Return whether a person may press its button in a chat, if their role allows it."""
        if self.approved_by is not None:
            return user == self.approved_by
        return user != self.user if self.waits_for_second else (user, chat) == (self.user, self.chat)


class PendingCommands(Protocol):
    """Keeps commands that wait for their button."""

    def put(self, pending: PendingCommand) -> None:
        """Keep a command. One that is there under its token stays as it is."""

    def put_again(self, pending: PendingCommand) -> None:
        """Keep a command that was taken, so that it can be taken by another press."""

    def get(self, token: str) -> PendingCommand | None:
        """Return a command, taken or not; None if it is not there."""

    def take(self, token: str, user: int, chat: int, update: int) -> PendingCommand | None:
        """Take a command for a press. None if it is not there, was taken by another press, or is not for this person.

        update: the press; when it is delivered again, because its answer was lost, it gets the command again.
        """
