"""What a step changed, written: facts appended, projections and state replaced where they differ. One statement.

A fact whose key is there already is left as it is; when it is there with other data the save is refused, for then two
different things were given one name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, LiteralString

from psycopg import Cursor, RawCursor

from signalbox.adapters.postgres.arrays import text_array
from signalbox.adapters.postgres.connection import Connection
from signalbox.adapters.postgres.errors import LedgerError, LedgerRefusedError
from signalbox.adapters.postgres.outbox import INSERT_EVENTS, event_columns, event_detail
from signalbox.adapters.postgres.trading_rows import (
    closings_text,
    confirmation_row,
    day_row,
    disposal_rows,
    entry_row,
    equity_row,
    event_row,
    fill_row,
    halt_row,
    halt_text,
    lock_rows,
    lot_row,
    order_row,
    position_row,
    risk_row,
    standing_order_row,
    trade_ids,
    trade_row,
)
from signalbox.adapters.postgres.trading_tables import (
    ACCOUNT_ENTRIES,
    CONFIRMATIONS,
    DAY_BASELINES,
    DISPOSALS,
    EQUITY_SNAPSHOTS,
    FILLS,
    HALTS,
    LOCKS,
    LOTS,
    ORDER_EVENTS,
    ORDERS,
    POSITIONS,
    RISK_EVENTS,
    STANDING_ORDERS,
    TRADES,
    Row,
    Table,
)
from signalbox.events import BusEvent
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.sealing import MAY_ASK
from signalbox.portfolio.account import Books
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.lots import Lot
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.changes import Changes
from signalbox.trading.state import Desk, Trade, TradeState

NOTHING_KNOWN: Final = AtVenue()
_ENDED: Final = (TradeState.CLOSED, TradeState.ABANDONED)
_DELETE_LOTS: Final = "DELETE FROM lots WHERE account = %s AND lot_id = ANY(%s::text[])"
_DELETE_DISPOSALS: Final = "DELETE FROM disposals WHERE account = %s"
_DELETE_LOCKS: Final = "DELETE FROM locks WHERE account = %s"
_UPDATE_ACCOUNT: Final = """
UPDATE accounts SET cash = %s::numeric, transfers = %s::numeric, newest_entry = %s, stepped_at = %s, watched_until = %s,
    loss_rules = %s, halt = %s, warned = %s::text[], memory = %s, compared_at = %s, closings = %s, review_at = %s,
    at_venue = %s, request_sequence = request_sequence + %s
WHERE account = %s
"""


def save_desk(
    connection: Connection, before: Desk, after: Desk, changes: Changes, seal: Callable[[BusEvent], str] | None = None
) -> tuple[set[str], str | None]:
    """Write the difference; return the ids of orders whose events were written but which `after` no longer holds, and a version.

    seal: gives the detail of an event that asks something of a venue. Without it such an event is written as it is, and no
    executor acts on it.

    The version is what the account's row has now, None when nothing was written. Whatever is written, that row is written too:
    so a worker that keeps a desk of the account learns of it. Raises LedgerRefusedError when a fact is known with other data.
    """
    account = after.account.account
    if before.account.account != account:
        raise LedgerError(f"expected two desks of one account, was {before.account.account} and {account}")
    touched = {event.client_order_id for event in changes.order_events}
    writer = _Writer(connection)
    writer.facts(ORDER_EVENTS, [event_row(event, account) for event in changes.order_events])
    _save_entries(writer, changes)
    writer.rows(ORDERS, [order_row(order) for key, order in after.orders.items() if _moved(before, key, order)])
    _save_books(writer, before.books, after.books)
    if changes.rebooked:
        writer.first(_DELETE_DISPOSALS, account)
    writer.rows(DISPOSALS, disposal_rows(account, changes.disposals))
    writer.rows(TRADES, _trade_rows(account, changes.trades))
    writer.rows(EQUITY_SNAPSHOTS, [equity_row(snapshot) for snapshot in changes.equity])
    writer.rows(DAY_BASELINES, [day_row(account, day) for day in changes.days])
    writer.rows(RISK_EVENTS, [risk_row(account, event) for event in changes.risk])
    writer.facts(CONFIRMATIONS, [confirmation_row(account, said) for said in changes.confirmations])
    writer.rows(HALTS, [halt_row(account, halt) for halt in changes.halts])
    if after.locks != before.locks:
        writer.first(_DELETE_LOCKS, account)
        writer.rows(LOCKS, lock_rows(account, after.locks))
    if changes.events:
        if after.at is None:
            raise LedgerError(f"{account}: expected an instant of the step whose events are saved, was None")
        detail = event_detail if seal is None else lambda event: seal(event) if event.type in MAY_ASK else event_detail(event)
        writer.run(INSERT_EVENTS, after.at, *event_columns(changes.events, detail))
    version = None
    values = _account_values(after)
    if writer.has_parts or values != _account_values(before):
        given_out = 0 if seal is None else sum(event.type in MAY_ASK for event in changes.events)
        writer.run(_UPDATE_ACCOUNT, *values, given_out, account)
        version = writer.write()
    return {key for key in touched if ClientOrderId(key) not in after.orders}, version


class _Writer:
    """What becomes one statement: a round trip, and a fraction of the work of as many statements as there are tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._values: list[object] = []
        self._has_sent = False
        self._facts: list[tuple[Table, list[Row], int]] = []  # with the place of their part

    def rows(self, table: Table, rows: list[Row]) -> None:
        """Insert rows, or replace what a newer state replaces."""
        if rows:
            self._add(table.insert, *table.parameters(rows))

    def facts(self, table: Table, rows: list[Row]) -> None:
        """Insert rows of which each is looked at again when its key was there."""
        if rows:
            self._facts.append((table, rows, len(self._parts)))
            self._add(table.insert, *table.parameters(rows))

    def run(self, statement: LiteralString, *values: object) -> None:
        """Change or remove rows of a projection or a state that no other part touches."""
        self._add(statement.encode(), *values)

    def first(self, statement: LiteralString, *values: object) -> None:
        """Remove rows before others of their table are inserted: within one statement they would not be gone yet."""
        self._send(_numbered(statement.encode()), values)
        self._has_sent = True

    def _add(self, statement: bytes, *values: object) -> None:
        self._parts.append(statement)
        self._values += values

    @property
    def has_parts(self) -> bool:
        """Whether anything is to be written, or was."""
        return bool(self._parts) or self._has_sent

    def write(self) -> str:
        """Write all of it and return the transaction's id. Raises LedgerRefusedError naming the first fact kept with other data.

        Its last part is the account's row; LedgerError when that is not there.
        """
        places = (len(self._parts) - 1, *(place for _, _, place in self._facts))
        row = self._send(_joined(tuple(self._parts), places), self._values).fetchone()
        if row is None:
            raise LedgerError("expected the counts of what was written, was no row")
        version, accounts, *written = row
        if accounts != 1:
            raise LedgerError(f"expected to write one account's row, was {accounts}")
        for (table, rows, _), count in zip(self._facts, written, strict=False):
            if count != len(rows):
                self._refuse_differing(table, rows)
        return str(version)

    def _send(self, statement: bytes, values: Sequence[object]) -> Cursor[tuple[Any, ...]]:
        return RawCursor(self._connection).execute(statement, values, prepare=True)

    def _refuse_differing(self, table: Table, rows: list[Row]) -> None:
        differing = self._connection.execute(table.differing, table.parameters(rows)).fetchall()
        if differing:
            raise LedgerRefusedError(f"{table.name}: {differing[0][0]} came again with other data")


@lru_cache(maxsize=256)  # an account's steps write the same tables again and again
def _joined(parts: tuple[bytes, ...], counted: tuple[int, ...]) -> bytes:
    """Return one statement of these parts, with numbered parameters: nothing in it is looked for again at each execution."""
    written = b", ".join(b"part%d AS (%s RETURNING 1)" % (place, part) for place, part in enumerate(parts))
    counts = b", ".join(b"(SELECT count(*) FROM part%d)" % place for place in counted)
    return _numbered(b"WITH %s SELECT pg_current_xact_id()::xid::text, %s" % (written, counts))


def _numbered(statement: bytes) -> bytes:
    first, *rest = statement.split(b"%s")
    return first + b"".join(b"$%d%s" % (number, piece) for number, piece in enumerate(rest, 1))


def _moved(before: Desk, key: ClientOrderId, order: Order) -> bool:
    known = before.orders.get(key)
    return known is not order and known != order


def _save_entries(writer: _Writer, changes: Changes) -> None:
    orders = trade_ids(changes.order_events)
    fills: list[Row] = []
    others: list[Row] = []
    for entry in changes.entries:
        if isinstance(entry, Fill):
            fills.append(fill_row(entry, orders.get((entry.symbol, entry.key))))
        else:
            others.append(entry_row(entry))
    writer.facts(FILLS, fills)
    writer.facts(ACCOUNT_ENTRIES, others)


def _save_books(writer: _Writer, before: Books, after: Books) -> None:
    if after is before:
        return
    account = after.account
    moved = [position for symbol, position in after.positions.items() if before.positions.get(symbol) != position]
    writer.rows(POSITIONS, [position_row(account, position) for position in moved])
    old, new = _all_lots(before.lots), _all_lots(after.lots)
    if gone := sorted(old.keys() - new.keys()):
        writer.run(_DELETE_LOTS, account, text_array(gone))
    writer.rows(LOTS, [lot_row(account, lot) for key, lot in new.items() if old.get(key) != lot])
    if after.standing_orders != before.standing_orders:
        writer.rows(STANDING_ORDERS, [standing_order_row(account, order) for order in after.standing_orders])


def _all_lots(lots: Mapping[str, tuple[Lot, ...]]) -> dict[str, Lot]:
    return {lot.lot_id: lot for of_symbol in lots.values() for lot in of_symbol}


def _trade_rows(account: str, trades: Iterable[Trade]) -> list[Row]:
    """Return the newest row of each trade; ended ones first, for they make room for the next of their symbol."""
    newest = {trade.entry: trade for trade in trades}
    return [trade_row(account, trade) for trade in sorted(newest.values(), key=lambda trade: trade.state not in _ENDED)]


def _account_values(desk: Desk) -> tuple[object, ...]:
    books = desk.books
    return (
        str(books.cash),
        str(books.transfers),
        None if books.newest is None else books.newest.model_dump_json(),
        desk.at,
        desk.watched_until,
        desk.loss_rules,
        halt_text(desk.halt),
        text_array(sorted(desk.warned)),
        desk.memory.to_text(),
        desk.compared_at,
        closings_text(desk.closings),
        desk.review_at,
        None if desk.at_venue == NOTHING_KNOWN else desk.at_venue.to_text(),
    )
