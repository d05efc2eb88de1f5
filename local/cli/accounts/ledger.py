"""What an account did, read from the ledger: trades, orders, equity, compliance record and open lots. It only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from local.cli.ledger import connection_source, require_reachable
from local.errors import DataError
from local.settings import Settings
from signalbox.adapters.postgres.connection import ConnectionSource, LedgerUnavailableError
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.exact import exactly
from signalbox.portfolio.account import book
from signalbox.portfolio.lots import method_at

READ_TIMEOUT_MS: Final = 60_000
_BEGINNING: Final = datetime(2009, 1, 1, tzinfo=UTC)  # before any entry


@contextmanager
def ledger(stage: str | None, database: str | None, settings: Settings) -> Iterator[ConnectionSource]:
    """Open the ledger of the local cloud, or the one given by --database. Raises DataError if it does not answer."""
    require_reachable(stage, database, settings)
    try:
        with connection_source(database, settings, name="signalbox accounts", timeout_ms=READ_TIMEOUT_MS) as source:
            yield source
    except LedgerUnavailableError as error:
        raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error


def trades(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the trades decided in (start, end], oldest first. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    orders = {order.client_order_id: order for order in reader.orders(account, start, end)}
    found = []
    for trade in reader.trades(account, start, end):
        entry = orders.get(trade.entry)
        leave = None if trade.exit is None else orders.get(trade.exit)
        found.append(
            {
                "opened_at": trade.opened_at,
                "symbol": trade.symbol,
                "side": trade.side.value,
                "state": trade.state.value,
                "quantity": None if entry is None else entry.filled,
                "entry_price": None if entry is None else entry.average_price,
                "exit_price": None if leave is None else leave.average_price,
                "closed_at": trade.closed_at,
                "exit": None if trade.exit_leg is None else trade.exit_leg.value,
                "realised_after_fees": trade.realised,
            }
        )
    return found


def orders(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the orders decided in (start, end] in their current state. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    return [
        {
            "decided_at": order.terms.decided_at,
            "symbol": order.terms.symbol,
            "leg": order.terms.leg.value,
            "side": order.terms.side.value,
            "type": order.terms.type.value,
            "quantity": order.terms.quantity,
            "filled": order.filled,
            "average_price": order.average_price,
            "state": order.state.value,
            "client_order_id": order.client_order_id,
        }
        for order in reader.orders(account, start, end)
    ]


def equity(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the equity snapshots in (start, end]. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    return [
        {
            "at": one.at,
            "cash": one.cash,
            "balance": one.balance,
            "equity": one.equity,
            "profit": _minus(one.equity, one.transfers),
            "fees": one.fees,
        }
        for one in reader.equity(account, start, end)
    ]


def history(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the compliance record of (start, end]: halts, resumes, refusals, limits, commands. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    return [
        {
            "at": event.at,
            "what": event.kind.value,
            "code": event.code,
            "symbol": event.symbol,
            "limit": event.limit,
            "value": event.value,
            "who": event.who,
            "detail": event.detail,
        }
        for event in reader.risk_events(account, start, end)
    ]


def lots(source: ConnectionSource, account: str, now: datetime) -> tuple[str, list[dict[str, Any]]]:
    """Return the lot method in force and the open lots, computed from the account's entries. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    orders_given = reader.standing_orders(account)
    books = book(account, reader.entries(account, _BEGINNING, now), orders_given).books
    found = [
        {
            "symbol": lot.symbol,
            "opened_at": lot.opened_at,
            "quantity": lot.quantity,
            "price": lot.price,
            "cost": lot.cost,
            "fee": lot.fee,
            "lot": lot.lot_id,
        }
        for lots_of in books.lots.values()
        for lot in lots_of
    ]
    return method_at(orders_given, now).value, found


@exactly
def _minus(one: Decimal, other: Decimal) -> Decimal:
    return one - other
