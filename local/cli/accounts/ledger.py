"""Reads an account's history from the ledger: trades, orders, equity, compliance record and open lots. It only reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
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
_ORDER: Final = {
    **{name: f"terms.{name}" for name in ("decided_at", "symbol")},
    **{name: f"terms.{name}.value" for name in ("leg", "side", "type")},
    "quantity": "terms.quantity",
    **{name: name for name in ("filled", "average_price")},
    "state": "state.value",
    "client_order_id": "client_order_id",
}
_EQUITY: Final = {name: name for name in ("at", "cash", "balance", "equity")}
_RISK_EVENT: Final = {"at": "at", "what": "kind.value"} | {
    name: name for name in ("code", "symbol", "limit", "value", "who", "detail")
}
_LOT: Final = {name: name for name in ("symbol", "opened_at", "quantity", "price", "cost", "fee")} | {"lot": "lot_id"}


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
    reader = _reader(source, account)
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
    return _rows(_reader(source, account).orders(account, start, end), _ORDER)


def equity(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the equity snapshots in (start, end]. Raises AccountError."""
    found = _reader(source, account).equity(account, start, end)
    profits = [{"profit": _minus(one.equity, one.transfers), "fees": one.fees} for one in found]
    return [{**row, **profit} for row, profit in zip(_rows(found, _EQUITY), profits, strict=True)]


def history(source: ConnectionSource, account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the compliance record of (start, end]: halts, resumes, refusals, limits, commands. Raises AccountError."""
    return _rows(_reader(source, account).risk_events(account, start, end), _RISK_EVENT)


def lots(source: ConnectionSource, account: str, now: datetime) -> tuple[str, list[dict[str, Any]]]:
    """Return the lot method in force and the open lots, computed from the account's entries. Raises AccountError."""
    reader = _reader(source, account)
    orders_given = reader.standing_orders(account)
    books = book(account, reader.entries(account, _BEGINNING, now), orders_given).books
    open_lots = [lot for lots_of in books.lots.values() for lot in lots_of]
    return method_at(orders_given, now).value, _rows(open_lots, _LOT)


def _reader(source: ConnectionSource, account: str) -> TradingReader:
    """Return a reader of the ledger after a look-up of the account. Raises AccountError."""
    reader = TradingReader(source)
    reader.overview(account)
    return reader


def _rows(found: Iterable[object], columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one row per object. columns: attribute paths by column name."""
    readers = {name: attrgetter(path) for name, path in columns.items()}
    return [{name: read(one) for name, read in readers.items()} for one in found]


@exactly
def _minus(one: Decimal, other: Decimal) -> Decimal:
    return one - other
