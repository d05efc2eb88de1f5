"""The bot's ledger on this machine: the orders API of a stage in the operator's own name, and the ledger's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, cast

from typing_extensions import override

from local.cli.accounts.command import AccountsError, OrdersApi, UnansweredError
from local.settings import VENUE
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_snapshot import PostgresHistory
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError
from signalbox.ledger_errors import LedgerError
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.commands import AnyCommand, CancelOrder, ConfirmAccount, HaltTrading, ResumeTrading, SubmitOrder
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, OrderDocument, ReadinessDocument
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade
from signalbox.trading.view import order_view

T = TypeVar("T")
_OF_PATH: Final = {"kind", "account", "requested_at"}  # of a command: its route and the gateway say these


class OperatorLedger(BotLedger):
    """The ledger as the operator of this terminal may see it."""

    def __init__(self, api: OrdersApi, source: ConnectionSource) -> None:
        self._api, self._source = api, source

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
    def symbols(self) -> Sequence[str]:
        now = datetime.now(UTC)
        return sorted({one.symbol for one in self.signals(now - timedelta(days=1), now)})

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
    def command(self, command: AnyCommand) -> AccountDocument:
        body = command.model_dump(mode="json", exclude=_OF_PATH, exclude_none=True)
        match command:
            case HaltTrading():
                found = self._guarded(lambda: self._api.halt(command.account, body))
            case ResumeTrading():
                found = self._call("POST", f"/accounts/{command.account}/resume", body)
            case CancelOrder(client_order_id=order):
                facts = {"account": command.account, "request_id": command.request_id}
                self._call("DELETE", f"/orders/{order}", facts)
                found = self._call("GET", f"/accounts/{command.account}")
            case ConfirmAccount():
                found = self._call("POST", f"/accounts/{command.account}/confirm", body)
            case SubmitOrder():
                self._call("POST", "/orders", command.model_dump(mode="json", exclude={"kind"}, exclude_none=True))
                found = self._call("GET", f"/accounts/{command.account}")
            case _:
                raise BotLedgerError(f"the bot cannot send commands of kind {command.kind}")
        if "sent_by" in found:  # by the kill switch's queue: it stops within seconds, and nobody has seen it yet
            raise BotLedgerError(f"The halt was sent by {found['sent_by']}; it stops within seconds. See /status.")
        return cast("AccountDocument", found)

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
