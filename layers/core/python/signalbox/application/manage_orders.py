"""Trading on accounts: checks who may act, gives each account its turn, retries, and publishes after the commit."""

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
from signalbox.trading.access import SHOW, Access, AccessControl, GrantAccess, Nobody, RevokeAccess
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
OPENED_BY: Final = "deployment"  # recorded as `who` for the accounts that the stage configures
_FINAL: Final = (TradingError, OrderError, PortfolioError, RiskError, LedgerRefusedError)  # would fail again the next time


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MissedTurn:
    """An account that could not process an event meant for every account. is_final: it does not get the event again."""

    account: str
    error: Exception
    is_final: bool


@dataclass
class ManageOrders:
    """Processes one message or request at a time. `publish` publishes what it committed.

    A lost connection is retried here, because every step is idempotent by natural keys. An event that concerns every account is
    given to one account after the other. An account that cannot process it now gets it again later in its own message group,
    so that the original message is done.
    """

    service: TradingService
    outbox: Outbox
    bus: EventPublisher
    accounts: tuple[str, ...] = ()
    gate: AccessControl = field(default_factory=lambda: AccessControl(Nobody()))  # default: nobody may do anything
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], datetime] = _now
    refused: dict[str, str] = field(default_factory=dict)  # configured accounts that differ from the ledger, with the reason
    kill_switch_arn: str = ""  # ARN of the queue that takes only halts
    report_keys: AcceptedKeys | None = None  # the executor's keys; without them every report is refused
    person_keys: AcceptedKeys | None = None  # the bot's key; without it nobody of a chat is believed
    _missed: list[MissedTurn] = field(default_factory=list)
    _denied: list[Refusal] = field(default_factory=list)
    _opened: bool = False

    def take_missed(self) -> tuple[MissedTurn, ...]:
        """Return the turns that accounts missed since the last call."""
        found, self._missed = tuple(self._missed), []
        return found

    def take_denied(self) -> tuple[Refusal, ...]:
        """Return the requests that were refused for lack of access since the last call."""
        found, self._denied = tuple(self._denied), []
        return found

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        """Give an event to the accounts it concerns. TradingError is final; LedgerError and UnpricedError may be retried.

        sent_at: when the queue got it; None if it did not come by one.
        """
        at = instant_of(event) if sent_at is None else min(instant_of(event), sent_at)
        self._open_accounts(at)
        if not isinstance(event, SignalGenerated | CycleDecided):
            return self._alone(lambda: self.service.on_event(event, sent_at))
        concerned = retried(partial(self.service.concerned, event), self.pause)
        handled, missed = self._turns(concerned, lambda account: self.service.on_market(account, event))
        for one in missed:
            if not one.is_final:
                turn = TurnMissed(account=one.account, missed=event, why=f"{type(one.error).__name__}: {one.error}")
                retried(partial(self.outbox.put, turn, at), self.pause)
        return handled

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        """Carry out a command if `who` may give it. TradingError is final; LedgerError and UnpricedError may be retried."""
        self._judged(lambda: self.gate.require_command(who, command))
        self._open_accounts(self.clock())
        return self._carried_out(command, who)

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        """Halt an account on a message of the kill switch's queue.

        The IAM permission to send to that queue suffices; no role is needed.

        A halt must never be refused: the function that carries out orders halts an account whose agent is silent, and it has
        no role. who: the name to record. TradingError is final; LedgerError and UnpricedError may be retried.
        """
        self._open_accounts(self.clock())
        return self._carried_out(command, who)

    def _carried_out(self, command: AnyCommand, who: str) -> AccountOutcome:
        handled = self._alone(lambda: self.service.on_command(command, who))
        if isinstance(command, OpenAccount):
            retried(lambda: self.gate.book.name_owners(self.gate.owners, command.requested_at), self.pause)
        return handled

    def change_access(self, command: GrantAccess | RevokeAccess, who: str) -> tuple[Access, ...]:
        """Grant or revoke a role; return everybody who has one on the account. Raises TradingError, LedgerError."""
        self._judged(lambda: self.gate.require_command(who, command))
        self._open_accounts(self.clock())
        role: Role | None = command.role if isinstance(command, GrantAccess) else None
        change = Access(command.principal, role, who, command.requested_at, command.request_id)
        self._alone(lambda: self.gate.book.change(command.account, change))
        return tuple(retried(lambda: self.gate.book.access(command.account), self.pause))

    def access(self, account: str, at: datetime, who: str) -> tuple[Access, ...]:  # noqa: ARG002 - of the port
        """Return everybody who has a role on an account."""
        self._require_viewer(account, who)
        return tuple(retried(lambda: self.gate.book.access(account), self.pause))

    def _require_viewer(self, account: str, who: str) -> None:
        self._judged(lambda: self.gate.require(who, account, SHOW))
        self._open_accounts(self.clock())

    def _judged(self, judge: Callable[[], T]) -> T:
        """Ask the access control, and keep a refusal for `take_denied`."""
        try:
            return retried(judge, self.pause)
        except AccessRefusedError as error:
            self._denied.append(error.refusal)
            raise

    def _alone(self, unit: Callable[[], T]) -> T:
        """Run one account's unit of work. A row that the ledger refuses is refused for good, however often it is retried."""
        try:
            return retried(unit, self.pause)
        except LedgerRefusedError as error:
            raise RowRefusedError(str(error)) from error

    def _turns(
        self, accounts: Sequence[TradingAccount], turn: Callable[[TradingAccount], AccountOutcome]
    ) -> tuple[tuple[AccountOutcome, ...], list[MissedTurn]]:
        """Give each account its turn; return the outcomes and the missed turns. Raises LedgerUnavailableError."""
        handled: list[AccountOutcome] = []
        missed: list[MissedTurn] = []
        for account in accounts:
            try:
                # do not wait here for a busy account: the other accounts would have to wait too
                handled.append(retried(partial(turn, account), self.pause, (LedgerUnavailableError,)))
            except LedgerUnavailableError:
                raise  # every account is affected
            except Exception as error:  # noqa: BLE001 - one account's error must not stop the others; take_missed reports it
                is_final = isinstance(error, _FINAL) and not isinstance(error, UnpricedError)
                missed.append(MissedTurn(account.account, error, is_final))
        self._missed += missed
        return tuple(handled), missed

    def query(self, account: str, at: datetime, who: str) -> AccountState:
        """Return the current state of an account."""
        self._require_viewer(account, who)
        return retried(lambda: self.service.query(account, at), self.pause)

    def readiness_report(self, account: str, at: datetime, who: str) -> ReadinessReport:
        """Return whether an account may trade live, and what is missing."""
        self._require_viewer(account, who)
        return retried(lambda: self.service.readiness_report(account, at), self.pause)

    def listed(self, at: datetime, who: str) -> tuple[TradingAccount, ...]:  # noqa: ARG002 - of the port
        """Return the accounts that `who` may see, sorted by name."""
        visible = self._judged(lambda: self.gate.visible(who))
        if self._open_accounts(self.clock()):
            visible = self.gate.visible(who)  # again, because `who` may just have become an owner
        return tuple(one for one in retried(self.service.accounts, self.pause) if one.account in visible)

    def on_minute(self, at: datetime) -> tuple[AccountOutcome, ...]:
        """Monitor every account at a scheduled instant. If one fails, the next minute's run catches up on it.

        An account with an unreadable row misses its turn every minute, which alarms, until somebody repairs the row.
        """
        accounts, unreadable = retried(self.service.configured, self.pause)
        self._missed += [MissedTurn(name, AccountUnreadableError(why), is_final=True) for name, why in unreadable.items()]
        return self._turns(accounts, lambda account: self.service.monitor_account(account.account, at))[0]

    def _open_accounts(self, at: datetime) -> bool:
        """Open the configured accounts and name their owners, once per process. Return False if that was done before.

        at: the time of a bus event or this function's own clock, never a time that a caller claims. An account that differs
        from its row in the ledger is not changed.
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
        """Publish the committed events; return how many. Events that this misses are published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)
