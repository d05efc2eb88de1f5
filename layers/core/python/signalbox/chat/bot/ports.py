"""What the bot needs of the outside: the ledger as its caller may see it, and a place for commands that wait for a button."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from signalbox.errors import SignalboxError
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.commands import AnyCommand
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, OrderDocument, ReadinessDocument
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade


class BotLedgerError(SignalboxError):
    """The ledger refused a question or command, or did not answer. BotLedgerError > BotLedgerSilentError. Its text is shown."""


class BotLedgerSilentError(BotLedgerError):
    """The ledger did not answer in time. Whether a command was carried out is unknown; it is safe to give it again."""


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

    def command(self, command: AnyCommand) -> AccountDocument:
        """Carry out a command once for its request id; return the account after it."""


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A command that waits for its button. token: names it; it is pressed by the same person in the same chat, once."""

    token: str
    user: int
    chat: int
    command: AnyCommand
    expires_at: datetime


class PendingCommands(Protocol):
    """Keeps commands that wait for their button."""

    def put(self, pending: PendingCommand) -> None:
        """Keep a command."""

    def take(self, token: str, user: int, chat: int, update: int) -> PendingCommand | None:
        """Take a command for a press. None if it is not there, was taken by another press, or is another person's, which stays.

        update: the press; when it is delivered again, because its answer was lost, it gets the command again.
        """
