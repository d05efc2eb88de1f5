"""Rebuilds every projection of an account from its facts: order events, fills, funding, transfers.

`verify` compares and writes nothing; `rebuild` writes what the facts imply. Both lock the account, so they see one consistent
state. What a step decides (trades, locks, the halt in force, rule state) is no projection and stays unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from typing_extensions import override

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.trading import entries_of, locked_row
from signalbox.adapters.postgres.trading_load import STANDING_ORDERS_OF
from signalbox.adapters.postgres.trading_rows import (
    disposal_rows,
    lot_row,
    order_row,
    orders_and_events,
    position_row,
    standing_order_of,
    trade_ids,
)
from signalbox.adapters.postgres.trading_tables import DISPOSALS, LOTS, ORDERS, POSITIONS, LedgerTable, Row
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Fill, booking_order, parse_entry

_EVENTS: Final = "SELECT payload FROM order_events WHERE account = %s ORDER BY sequence"
_DELETE: Final = {
    POSITIONS.name: "DELETE FROM positions WHERE account = %s",
    LOTS.name: "DELETE FROM lots WHERE account = %s",
    DISPOSALS.name: "DELETE FROM disposals WHERE account = %s",
}
_PROJECTIONS: Final = (ORDERS, POSITIONS, LOTS, DISPOSALS)


@dataclass(frozen=True, slots=True)
class ProjectionDifference:
    """A value in a table that differs from the facts. None means there is no such row or value."""

    table: str
    key: str
    column: str
    found: str | None
    expected: str | None

    @override
    def __str__(self) -> str:
        return f"{self.table} {self.key} {self.column}: expected {self.expected}, got {self.found}"


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the facts imply: rows of each projection, and the account's own columns."""

    rows: dict[str, list[Row]]
    account: dict[str, Any]
    strays: tuple[ProjectionDifference, ...]  # facts that contradict each other


def verify(source: ConnectionSource, account: str) -> tuple[ProjectionDifference, ...]:
    """Return every value that differs from the facts; empty if all is well. Raises AccountError, LedgerError."""
    with source.transaction() as connection:
        row = locked_row(connection, account)
        expected = _expected(connection, account)
        found = [*expected.strays, *_account_differences(account, row, expected.account)]
        for table in _PROJECTIONS:
            found += _table_differences(table, _kept(connection, table, account), expected.rows[table.name])
    return tuple(found)


def rebuild(source: ConnectionSource, account: str) -> None:
    """Rewrite the projections from the facts, in one transaction. Raises AccountError, LedgerError."""
    with source.transaction() as connection:
        locked_row(connection, account)
        expected = _expected(connection, account)
        connection.execute(ORDERS.insert, ORDERS.parameters(expected.rows[ORDERS.name]))
        for table in (POSITIONS, LOTS, DISPOSALS):
            connection.execute(_DELETE[table.name], (account,))
            connection.execute(table.insert, table.parameters(expected.rows[table.name]))
        connection.execute(
            "UPDATE accounts SET cash = %s::numeric, transfers = %s::numeric, newest_entry = %s WHERE account = %s",
            (*(str(expected.account[name]) for name in ("cash", "transfers")), expected.account["newest_entry"], account),
        )


def _expected(connection: Connection, account: str) -> _Expected:
    payloads = (payload for (payload,) in connection.execute(_EVENTS, (account,)))
    orders, events = orders_and_events(payloads)
    entries = entries_of(connection, account)
    standing = tuple(standing_order_of(r) for r in connection.execute(STANDING_ORDERS_OF, (account,)))
    booked = book(account, entries, standing)
    traded = trade_ids(events)
    fills = {(entry.symbol, entry.key): entry for entry in entries if isinstance(entry, Fill)}
    books = booked.books
    newest = max(entries, key=booking_order, default=None)
    return _Expected(
        rows={
            ORDERS.name: [order_row(order) for order in orders.values()],
            POSITIONS.name: [position_row(account, position) for position in books.positions.values()],
            LOTS.name: [lot_row(account, lot) for lots in books.lots.values() for lot in lots],
            DISPOSALS.name: disposal_rows(account, booked.disposals),
        },
        account={
            "cash": books.cash,
            "transfers": books.transfers,
            "newest_entry": None if newest is None else newest.model_dump_json(),
        },
        strays=tuple(
            ProjectionDifference("fills", " ".join(key), "client_order_id", None, order)
            for key, order in sorted(traded.items())
            if key not in fills
        ),
    )


def _account_differences(account: str, row: tuple[Any, ...], expected: dict[str, Any]) -> list[ProjectionDifference]:
    _, cash, transfers, newest, *_ = row
    found = []
    for column, kept in (("cash", cash), ("transfers", transfers)):
        if kept != expected[column]:
            found.append(ProjectionDifference("accounts", account, column, str(kept), str(expected[column])))
    wanted = expected["newest_entry"]
    if (newest is None) != (wanted is None) or (newest is not None and parse_entry(newest) != parse_entry(wanted)):
        found.append(ProjectionDifference("accounts", account, "newest_entry", newest, wanted))
    return found


def _kept(connection: Connection, table: LedgerTable, account: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE account = %s".encode(), (account,))  # noqa: S608 - constants of trading_tables
    return [dict(zip(table.columns, row, strict=True)) for row in cursor]


def _table_differences(table: LedgerTable, kept: list[dict[str, Any]], expected: list[Row]) -> list[ProjectionDifference]:
    have = {_key(table, row): row for row in kept}
    want = {_key(table, row): row for row in expected}
    found = []
    for key in sorted(have.keys() | want.keys()):
        there, wanted = have.get(key), want.get(key)
        if there is None or wanted is None:
            found.append(
                ProjectionDifference(
                    table.name, key, "row", None if there is None else "there", None if wanted is None else "there"
                )
            )
            continue
        for column, kind in table.columns.items():
            if _comparable(kind, there[column]) != _comparable(kind, wanted[column]):
                found.append(ProjectionDifference(table.name, key, column, _text(there[column]), _text(wanted[column])))
    return found


def _key(table: LedgerTable, row: Row) -> str:
    return " ".join(_text(_comparable(table.columns[column], row[column])) or "" for column in table.key)


def _comparable(kind: str, value: object) -> object:
    """Return a value that is equal for equal facts. A column may hold text, or the type that it is read as."""
    if value is None:
        return None
    if kind == "numeric":
        return Decimal(str(value))
    if kind == "timestamptz":
        return (value if isinstance(value, datetime) else datetime.fromisoformat(str(value))).astimezone(UTC)
    if kind == "text" and str(value).startswith("{"):
        return json.dumps(json.loads(str(value)), sort_keys=True)
    return value


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
