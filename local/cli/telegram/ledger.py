"""The bot's ledger on this machine: it calls a stage's APIs in the operator's own name, and reads the ledger's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from typing_extensions import override

from local.cli.accounts.command import AccountsError, OrdersApi, UnansweredError
from local.cli.library.command import LibraryClient
from local.settings import VENUE
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_snapshot import PostgresHistory
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError
from signalbox.chat.bot.requests import request_of
from signalbox.ledger_errors import LedgerError
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.commands import AnyCommand, HaltTrading
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, OrderDocument, ReadinessDocument
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade
from signalbox.trading.view import order_view

T = TypeVar("T")


class OperatorLedger(BotLedger):
    """The bot's ledger in the name of this terminal's operator."""

    def __init__(self, api: OrdersApi, source: ConnectionSource, library: Callable[[], LibraryClient]) -> None:
        self._api, self._source, self._library = api, source, library

    @override
    def accounts(self) -> Sequence[ConfigurationDocument]:
        return cast("list[ConfigurationDocument]", self._call("GET", "/accounts")["accounts"])

    @override
    def account(self, name: str) -> AccountDocument:
        return cast("AccountDocument", self._call("GET", f"/accounts/{name}"))

    @override
    def readiness(self, name: str) -> ReadinessDocument:
        return cast("ReadinessDocument", self._call("GET", f"/accounts/{name}/readiness"))

    @override
    def order(self, account: str, order: str) -> OrderDocument:
        found = _asked(lambda: PostgresHistory(self._source, VENUE).order(account, order))
        if found is None:
            raise BotLedgerError(f"account {account} has no order {order}")
        return order_view(found)

    @override
    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        return _asked(lambda: PostgresHistory(self._source, VENUE).bars(symbol, start, end))

    @override
    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return _asked(lambda: LedgerReader(self._source).signals(start, end))

    @override
    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        return _asked(lambda: TradingReader(self._source).trades(account, start, end))

    @override
    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        return _asked(lambda: TradingReader(self._source).equity(account, start, end))

    @override
    def require(self, account: str, action: str) -> None:
        raise BotLedgerError(f"A terminal has one person: nobody can approve {action} on {account} here.")

    @override
    def command(self, command: AnyCommand) -> AccountDocument:
        request = request_of(command)
        if isinstance(command, HaltTrading):  # which has another way if the API does not answer
            found = self._guarded(lambda: self._api.halt(command.account, request.body))
        else:
            found = self._call(request.method, request.path, request.body)
        if "sent_by" in found:  # by the kill switch's queue: it stops within seconds, and nobody has seen it yet
            raise BotLedgerError(f"The halt was sent by {found['sent_by']}; it stops within seconds. See /status.")
        return cast("AccountDocument", found) if request.answers_account else self.account(command.account)

    @override
    def library(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        return self._guarded(lambda: cast("dict[str, Any]", self._library().ask(verb, facts)))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._guarded(lambda: self._api.call(method, path, body))

    @staticmethod
    def _guarded(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return call()
        except UnansweredError as error:
            raise BotLedgerSilentError(str(error)) from error
        except AccountsError as error:
            raise BotLedgerError(str(error)) from error


def _asked(read: Callable[[], T]) -> T:
    try:
        return read()
    except LedgerError as error:
        raise BotLedgerSilentError(f"The ledger does not answer: {error}") from error
