"""The comparison of `signalbox bench orders`: the rows of a batched save, each with its own statement and round trip."""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.adapters.postgres.connection import Connection
from signalbox.adapters.postgres.outbox import insert_event
from signalbox.adapters.postgres.trading_rows import (
    disposal_rows,
    event_rows,
    fill_row,
    lot_row,
    order_row,
    position_row,
    trade_ids,
)
from signalbox.adapters.postgres.trading_tables import (
    DISPOSALS,
    FILLS,
    LOTS,
    ORDER_EVENTS,
    ORDERS,
    POSITIONS,
    LedgerTable,
    Row,
)
from signalbox.portfolio.entries import Fill
from signalbox.trading.changes import ChangeSet
from signalbox.trading.state import AccountState


def save_row_by_row(connection: Connection, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
    """Write the changes of a submitting step: events, orders, fills, positions, lots, disposals, cash and outbox."""
    account = after.account.account
    traded = trade_ids(changes.order_events)
    _insert(connection, ORDER_EVENTS, (row for event in changes.order_events for row in event_rows([event], account)))
    fills = (fill_row(e, traded.get((e.symbol, e.key))) for e in changes.entries if isinstance(e, Fill))
    _insert(connection, FILLS, fills)
    moved = (order for key, order in after.orders.items() if before.orders.get(key) != order)
    _insert(connection, ORDERS, (order_row(order) for order in moved))
    held = (p for symbol, p in after.books.positions.items() if before.books.positions.get(symbol) != p)
    _insert(connection, POSITIONS, (position_row(account, position) for position in held))
    old = {lot.lot_id: lot for lots in before.books.lots.values() for lot in lots}
    new = {lot.lot_id: lot for lots in after.books.lots.values() for lot in lots}
    for key in old.keys() - new.keys():
        connection.execute("DELETE FROM lots WHERE account = %s AND lot_id = %s", (account, key))
    _insert(connection, LOTS, (lot_row(account, lot) for key, lot in new.items() if old.get(key) != lot))
    _insert(connection, DISPOSALS, disposal_rows(account, changes.disposals))
    newest = after.books.newest
    connection.execute(
        "UPDATE accounts SET cash = %s::numeric, newest_entry = %s, stepped_at = %s WHERE account = %s",
        (str(after.books.cash), None if newest is None else newest.model_dump_json(), after.at, account),
    )
    if after.at is not None:
        for event in changes.events:
            insert_event(connection, event, after.at)


def _insert(connection: Connection, table: LedgerTable, rows: Iterable[Row]) -> None:
    for row in rows:
        connection.execute(table.insert, table.parameters([row]), prepare=False)
