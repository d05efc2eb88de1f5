"""Answers questions about the ledger with what the asking person may see. It only reads: it takes no lock and writes nothing.

A person without a role on an account is told the same as about an account that does not exist. A refusal is returned with its
access record, so that the function can log and count it; the database role of this function may not write one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, assert_never

from pydantic import ValidationError
from typing_extensions import override

from signalbox.access import Refusal
from signalbox.orders.order import Order
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.access import SHOW, AccessControl
from signalbox.trading.account import TradingAccount
from signalbox.trading.errors import AccessRefusedError, AccountError, OrderUnknownError
from signalbox.trading.questions import (
    BARS,
    EQUITY,
    QUESTIONS,
    SIGNALS,
    TRADES,
    AskAccount,
    AskAccounts,
    AskBars,
    AskEquity,
    AskOrder,
    AskPermission,
    AskReadiness,
    AskSignals,
    AskTrades,
    BarRow,
    LedgerAnswer,
    LedgerQuestion,
    QuestionError,
)
from signalbox.trading.service import ReadinessReport
from signalbox.trading.state import AccountState, Trade
from signalbox.trading.view import account_view, configuration_view, order_view, readiness_view


class AccountStates(Protocol):
    """The current states of accounts, read without a lock. Implemented by trading.service.TradingService."""

    def query(self, account: str, at: datetime) -> AccountState:
        """Return the current state of an account. Raises AccountError."""

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, sorted by name."""

    def readiness_report(self, account: str, at: datetime) -> ReadinessReport:
        """Return whether an account may trade live. Raises AccountError."""


class LedgerHistory(Protocol):
    """Reads the ledger's records of a period (start, end]."""

    def order(self, account: str, client_order_id: str) -> Order | None:
        """Return one order of an account in its current state."""

    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        """Return the trades decided in the period."""

    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        """Return the equity snapshots of the period."""

    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        """Return the signals decided in the period."""

    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        """Return the recorded bars with start <= open_time < end, oldest first."""


class ReadingAccess(AccessControl):
    """The access control of a database role that may not write: a refusal is raised but not recorded."""

    @override
    def _refuse(self, refusal: Refusal) -> None:
        raise AccessRefusedError(refusal)


@dataclass
class QueryLedger:
    """Answers one question at a time. gate: decides what each person may see."""

    states: AccountStates
    history: LedgerHistory
    gate: ReadingAccess
    _denied: list[Refusal] = field(default_factory=list)

    def take_denied(self) -> tuple[Refusal, ...]:
        """Return the questions that were refused for lack of access since the last call."""
        found, self._denied = tuple(self._denied), []
        return found

    def answer(self, asked: Any, now: datetime) -> LedgerAnswer:
        """Return the answer to a question in JSON's types. Raises QuestionError if it is no valid question, LedgerError."""
        try:
            question: LedgerQuestion = QUESTIONS.validate_python(asked)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise QuestionError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        try:
            return LedgerAnswer(found=self._found(question, now))
        except AccessRefusedError as error:
            self._denied.append(error.refusal)
            return LedgerAnswer(refused=str(error))
        except (AccountError, OrderUnknownError) as error:
            return LedgerAnswer(refused=str(error))

    def _found(self, asked: LedgerQuestion, now: datetime) -> Any:  # noqa: C901, PLR0911 - a question a line
        match asked:
            case AskAccounts():
                seen = self.gate.visible(asked.who)
                return [configuration_view(one) for one in self.states.accounts() if one.account in seen]
            case AskAccount():
                return account_view(self._seen(asked, lambda: self.states.query(asked.account, now)))
            case AskReadiness():
                return readiness_view(self._seen(asked, lambda: self.states.readiness_report(asked.account, now)))
            case AskOrder():
                order = self._seen(asked, lambda: self.history.order(asked.account, asked.client_order_id))
                if order is None:
                    raise OrderUnknownError(f"account {asked.account} has no order {asked.client_order_id}")
                return order_view(order)
            case AskPermission():
                self.gate.require(asked.who, asked.account, asked.action)
                return True
            case AskTrades():
                rows = self._seen(asked, lambda: self.history.trades(asked.account, asked.start, asked.end))
                return TRADES.dump_python(tuple(rows), mode="json")
            case AskEquity():
                points = self._seen(asked, lambda: self.history.equity(asked.account, asked.start, asked.end))
                return EQUITY.dump_python(tuple(replace(one, marks=dict(one.marks)) for one in points), mode="json")
            case AskSignals():
                return SIGNALS.dump_python(tuple(self.history.signals(asked.start, asked.end)), mode="json")
            case AskBars():
                return BARS.dump_python(tuple(self.history.bars(asked.symbol, asked.start, asked.end)), mode="json")
            case _:
                assert_never(asked)

    def _seen(self, asked: AskAccount | AskReadiness | AskOrder | AskTrades | AskEquity, ask: Callable[[], Any]) -> Any:
        self.gate.require(asked.who, asked.account, SHOW)
        return ask()
