"""Accounts as the trading functions treat them: who may, one turn an account, what is tried again, what is published after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from signalbox.access import Refusal, Role
from signalbox.application.retries import retried
from signalbox.events import BusEvent, CycleDecided, SignalGenerated
from signalbox.ledger_errors import LedgerRefusedError, LedgerUnavailableError
from signalbox.orders.errors import OrderError
from signalbox.portfolio.errors import PortfolioError
from signalbox.risk.errors import RiskError
from signalbox.signals.ports import EventPublisher, Outbox
from signalbox.signals.publishing import publish_pending
from signalbox.signing import AcceptedKeys
from signalbox.trading.access import LOOK, Access, AccessControl, GrantAccess, Nobody, RevokeAccess
from signalbox.trading.account import TradingAccount
from signalbox.trading.commands import AnyCommand, HaltTrading, OpenAccount
from signalbox.trading.errors import (
    AccessRefusedError,
    AccountError,
    AccountUnreadableError,
    RowRefusedError,
    TradingError,
    UnpricedError,
)
from signalbox.trading.events import TurnMissed
from signalbox.trading.service import AccountOutcome, ReadinessReport, TradingService, instant_of
from signalbox.trading.state import AccountState

T = TypeVar("T")
OPENED_BY: Final = "deployment"  # as `who` of the accounts that the stage configures
_FINAL: Final = (TradingError, OrderError, PortfolioError, RiskError, LedgerRefusedError)  # the same the next time


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MissedTurn:
    """An account that could not take what concerned every account, and whether it gets it again."""

    account: str
    error: Exception
    is_final: bool


@dataclass
class ManageOrders:
    """One message or request at a time; whatever it commits is published afterwards, by `publish`.

    A lost connection is tried again here: every step is idempotent by natural keys. What concerns every account is brought to
    one after the other: one that cannot take it now gets it again alone, in its own message group, and the message is done.
    """

    service: TradingService
    outbox: Outbox
    bus: EventPublisher
    accounts: tuple[str, ...] = ()
    gate: AccessControl = field(default_factory=lambda: AccessControl(Nobody()))  # who may do what; by default nobody anything
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], datetime] = _now
    refused: dict[str, str] = field(default_factory=dict)  # configured accounts whose row in the ledger says something else
    kill_switch_arn: str = ""  # of the queue that takes halts alone
    report_keys: AcceptedKeys | None = None  # of the executor; without them no report is believed
    _missed: list[MissedTurn] = field(default_factory=list)
    _denied: list[Refusal] = field(default_factory=list)
    _opened: bool = False

    def take_missed(self) -> tuple[MissedTurn, ...]:
        """Return the turns that were missed since the last call."""
        found, self._missed = tuple(self._missed), []
        return found

    def take_denied(self) -> tuple[Refusal, ...]:
        """Return what was asked without the right to it since the last call."""
        found, self._denied = tuple(self._denied), []
        return found

    def handle(self, event: BusEvent) -> tuple[AccountOutcome, ...]:
        """Bring an event to the accounts it concerns. Raises TradingError when it never can be, LedgerError, UnpricedError."""
        at = instant_of(event)
        self._open_accounts(at)
        if not isinstance(event, SignalGenerated | CycleDecided):
            return self._alone(lambda: self.service.on_event(event))
        concerned = retried(partial(self.service.concerned, event), self.pause)
        handled, missed = self._turns(concerned, lambda account: self.service.on_market(account, event))
        for one in missed:
            if not one.is_final:
                turn = TurnMissed(account=one.account, missed=event, why=f"{type(one.error).__name__}: {one.error}")
                retried(partial(self.outbox.put, turn, at), self.pause)
        return handled

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        """Carry out a command of somebody who may. Raises TradingError when it never can be, LedgerError, UnpricedError."""
        self._judged(lambda: self.gate.require_command(who, command))
        self._open_accounts(self.clock())
        return self._carried_out(command, who)

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        """Halt an account by the kill switch's queue. The right to send to it (IAM) is the authority, and no role is asked for.

        Stopping never fails closed: the function that carries out orders halts an account whose agent is silent, and it has no
        role. `who` is what the record keeps. Raises TradingError when it never can be, LedgerError, UnpricedError.
        """
        self._open_accounts(self.clock())
        return self._carried_out(command, who)

    def _carried_out(self, command: AnyCommand, who: str) -> AccountOutcome:
        handled = self._alone(lambda: self.service.on_command(command, who))
        if isinstance(command, OpenAccount):
            retried(lambda: self.gate.book.name_owners(self.gate.owners, command.requested_at), self.pause)
        return handled

    def change_access(self, command: GrantAccess | RevokeAccess, who: str) -> tuple[Access, ...]:
        """Give somebody a role or take it away, and return who has one. Raises TradingError, LedgerError."""
        self._judged(lambda: self.gate.require_command(who, command))
        self._open_accounts(self.clock())
        role: Role | None = command.role if isinstance(command, GrantAccess) else None
        change = Access(command.principal, role, who, command.requested_at, command.request_id)
        self._alone(lambda: self.gate.book.change(command.account, change))
        return tuple(retried(lambda: self.gate.book.access(command.account), self.pause))

    def access(self, account: str, at: datetime, who: str) -> tuple[Access, ...]:  # noqa: ARG002 - of the port
        """Return who has a role on an account."""
        self._may_look(account, who)
        return tuple(retried(lambda: self.gate.book.access(account), self.pause))

    def _may_look(self, account: str, who: str) -> None:
        self._judged(lambda: self.gate.require(who, account, LOOK))
        self._open_accounts(self.clock())

    def _judged(self, judge: Callable[[], T]) -> T:
        """Ask the gate; what it refuses is counted by whoever takes what was denied."""
        try:
            return retried(judge, self.pause)
        except AccessRefusedError as error:
            self._denied.append(error.refusal)
            raise

    def _alone(self, unit: Callable[[], T]) -> T:
        """Run a unit of work of one account. A row that the ledger refuses is refused for good, whoever asks again."""
        try:
            return retried(unit, self.pause)
        except LedgerRefusedError as error:
            raise RowRefusedError(str(error)) from error

    def _turns(
        self, accounts: Sequence[TradingAccount], turn: Callable[[TradingAccount], AccountOutcome]
    ) -> tuple[tuple[AccountOutcome, ...], list[MissedTurn]]:
        """Give each account its turn; return what they made of it and who missed it. Raises LedgerUnavailableError."""
        handled: list[AccountOutcome] = []
        missed: list[MissedTurn] = []
        for account in accounts:
            try:
                # a busy account is not waited for here: the others stand behind it
                handled.append(retried(partial(turn, account), self.pause, (LedgerUnavailableError,)))
            except LedgerUnavailableError:
                raise  # everybody's trouble
            except Exception as error:  # noqa: BLE001 - told by whoever takes the missed turns; it keeps no other account from its turn
                is_final = isinstance(error, _FINAL) and not isinstance(error, UnpricedError)
                missed.append(MissedTurn(account.account, error, is_final))
        self._missed += missed
        return tuple(handled), missed

    def query(self, account: str, at: datetime, who: str) -> AccountState:
        """Return an account as it is."""
        self._may_look(account, who)
        return retried(lambda: self.service.query(account, at), self.pause)

    def readiness_report(self, account: str, at: datetime, who: str) -> ReadinessReport:
        """Return whether an account may trade live."""
        self._may_look(account, who)
        return retried(lambda: self.service.readiness_report(account, at), self.pause)

    def listed(self, at: datetime, who: str) -> tuple[TradingAccount, ...]:  # noqa: ARG002 - of the port
        """Return every account that somebody may see, by name."""
        visible = self._judged(lambda: self.gate.visible(who))
        if self._open_accounts(self.clock()):
            visible = self.gate.visible(who)  # of whoever was just named owner
        return tuple(one for one in retried(self.service.accounts, self.pause) if one.account in visible)

    def on_minute(self, at: datetime) -> tuple[AccountOutcome, ...]:
        """Watch every account at a scheduled instant; the next minute makes up for one that could not be.

        An account whose row cannot be read misses its turn, each minute, until somebody mends it: that alarms.
        """
        accounts, unreadable = retried(self.service.configured, self.pause)
        self._missed += [MissedTurn(name, AccountUnreadableError(why), is_final=True) for name, why in unreadable.items()]
        return self._turns(accounts, lambda account: self.service.monitor_account(account.account, at))[0]

    def _open_accounts(self, at: datetime) -> bool:
        """Open the configured accounts, once a process, and name their owners; False when that was done before.

        at: of an event of the bus, or this function's own clock; never what a caller says. An account that
        differs from its row stays as it is.
        """
        if self._opened:
            return False
        for name in self.accounts:
            try:
                retried(partial(self.service.open, name, at, OPENED_BY), self.pause)
            except AccountError as error:
                self.refused[name] = str(error)
        if self.gate.owners:
            retried(lambda: self.gate.book.name_owners(self.gate.owners, at), self.pause)
        self._opened = True
        return True

    def publish(self) -> int:
        """Publish what is committed; what this misses is the relay's."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)
