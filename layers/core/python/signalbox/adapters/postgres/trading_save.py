"""Writes what a step changed, in one statement: facts are appended, projections and state replaced where they differ.

Usually no new row exists already, so the first attempt is a cheap statement that fails if one does (`plain_statement`). After a
failure, `save_with_care` keeps a fact whose key exists with the same data. If the data differ, it refuses the save, because two
different facts then have the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from signalbox.adapters.postgres.arrays import text_array
from signalbox.adapters.postgres.connection import Unit
from signalbox.adapters.postgres.exchange import Rows, Statement
from signalbox.adapters.postgres.outbox import ADD_EVENTS, INSERT_EVENTS, event_columns, event_detail
from signalbox.adapters.postgres.trading_rows import (
    closings_text,
    confirmation_row,
    day_row,
    disposal_rows,
    entry_row,
    equity_row,
    event_rows,
    fill_row,
    halt_row,
    halt_text,
    instant_text,
    lock_rows,
    lot_row,
    order_row,
    position_row,
    risk_row,
    rule_state_text,
    standing_order_row,
    trade_ids,
    trade_row,
    warning_texts,
)
from signalbox.adapters.postgres.trading_tables import (
    ACCOUNT_COLUMNS,
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
    LedgerTable,
    Row,
)
from signalbox.events import BusEvent
from signalbox.ledger_errors import LedgerError, LedgerRefusedError
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.sealing import REQUEST_TYPES, RequestSealer
from signalbox.portfolio.account import Books
from signalbox.portfolio.entries import Entry, Fill
from signalbox.portfolio.lots import Lot
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.changes import ChangeSet
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.state import AccountState, Trade, TradeState
from signalbox.trading.warnings import IssuedWarning

NOTHING_KNOWN: Final = AtVenue()
_ENDED: Final = (TradeState.CLOSED, TradeState.ABANDONED)
_DELETE_LOTS: Final = b"DELETE FROM lots WHERE account = %s::text AND lot_id = ANY(%s::text[])"
_DELETE_DISPOSALS: Final = b"DELETE FROM disposals WHERE account = $1::text"
_DELETE_LOCKS: Final = b"DELETE FROM locks WHERE account = $1::text"


class Seals:
    """Seals an account's requests with rising numbers. `sequence`: the last number that the account has used."""

    def __init__(self, sealer: RequestSealer, sequence: int) -> None:
        self._sealer = sealer
        self.sequence, self.given_out = sequence, 0

    def detail(self, event: BusEvent) -> str:
        """Return the JSON text of an event, sealed if it is a request to a venue."""
        if event.type not in REQUEST_TYPES:
            return event_detail(event)
        self.sequence, self.given_out = self.sequence + 1, self.given_out + 1
        return self._sealer.detail(event, self.sequence)


@dataclass(frozen=True, slots=True)
class _TableRows:
    """Rows of one table. `taken`: columns that an existing row takes over, empty for none; None means no row may exist yet."""

    table: LedgerTable
    rows: list[Row]
    taken: tuple[str, ...] | None
    is_fact: bool  # compared with the stored row if its key exists


@dataclass(frozen=True, slots=True)
class Save:
    """The changes of a step as rows. left: orders with new events that are no longer in the account state."""

    account: str
    parts: list[_TableRows]
    emptied: list[bytes]  # DELETE statements that run before the new rows are written
    lots_gone: list[str]
    events: tuple[bytes, ...]  # columns of the outbox; empty without events
    columns: dict[str, bytes | None]  # changed columns of the account's row
    left: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.parts or self.emptied or self.lots_gone or self.events or self.columns)

    @property
    def is_plain(self) -> bool:
        """Whether `plain_statement` can write this save."""
        return not self.emptied and not self.left


def gathered(before: AccountState, after: AccountState, changes: ChangeSet, seals: Seals | None = None) -> Save:
    """Return what changed between two states. Raises LedgerError if they belong to two accounts, or if events have no instant.

    seals: for requests to venues. Without seals such an event is written unsealed, and no executor acts on it.
    """
    account = after.account.account
    if before.account.account != account:
        raise LedgerError(f"expected two states of one account, got {before.account.account} and {account}")
    if changes.events and after.at is None:
        raise LedgerError(f"{account}: a step with events needs an instant (`at`), got None")
    found = _Gathering()
    _gather_entries(found, changes)  # first, so that a conflicting trade is reported by its own name
    found.new(ORDER_EVENTS, event_rows(changes.order_events, account), is_fact=True)
    _gather_orders(found, before.orders, after.orders)
    gone = _gather_books(found, before.books, after.books)
    found.new(DISPOSALS, disposal_rows(account, changes.disposals))
    found.replacing(TRADES, _trade_rows(account, changes.trades))
    found.replacing(EQUITY_SNAPSHOTS, [equity_row(snapshot) for snapshot in changes.equity])
    found.replacing(DAY_BASELINES, [day_row(account, day) for day in changes.days])
    found.replacing(RISK_EVENTS, [risk_row(account, event) for event in changes.risk])
    found.new(CONFIRMATIONS, [confirmation_row(account, confirmed) for confirmed in changes.confirmations], is_fact=True)
    found.replacing(HALTS, [halt_row(account, halt) for halt in changes.halts])
    emptied = [_DELETE_DISPOSALS] if changes.rebooked else []
    if after.locks != before.locks:
        emptied.append(_DELETE_LOCKS)
        found.new(LOCKS, lock_rows(account, after.locks))
    touched = {event.client_order_id for event in changes.order_events}
    detail = event_detail if seals is None else seals.detail
    events = event_columns(changes.events, after.at, detail) if changes.events and after.at is not None else ()
    columns = _account_changes(before, after)
    if seals is not None and seals.given_out:
        columns["request_sequence"] = str(seals.sequence).encode()
    return Save(
        account=account,
        parts=found.parts,
        emptied=emptied,
        lots_gone=gone,
        events=events,
        columns=columns,
        left=frozenset(key for key in touched if ClientOrderId(key) not in after.orders),
    )


def plain_statement(save: Save) -> Statement:
    """Return the one statement that writes a save and returns the version of the account's row.

    It raises psycopg's UniqueViolation if a row that should be new exists.
    """
    parts: list[bytes] = []
    values: list[bytes | None] = []
    for part in save.parts:
        names, offered = part.table.offered(part.rows)
        parts.append(part.table.statement(names, part.taken))
        values += offered
    return _written(save, parts, values, ADD_EVENTS, ())


def save_with_care(unit: Unit, save: Save) -> str:
    """Write a save and return the version of the account's row, that is the transaction that wrote it.

    Raises LedgerRefusedError with the first fact that is stored with other data, LedgerError if the account does not exist.
    """
    for emptied in save.emptied:  # a single statement would not see that these rows are deleted
        unit.send([(emptied, (save.account.encode(),))])
    parts: list[bytes] = []
    values: list[bytes | None] = []
    for part in save.parts:
        parts.append(part.table.insert + (b" RETURNING 1" if part.is_fact else b""))
        values += [value.encode() for value in part.table.parameters(part.rows)]
    facts = tuple(place for place, part in enumerate(save.parts) if part.is_fact)
    (rows,) = unit.send([_written(save, parts, values, INSERT_EVENTS, facts)])
    version, *counts = rows[0] if rows else (None,)
    if version is None:
        raise LedgerError(f"account {save.account} does not exist, so nothing was saved")
    for place, count in zip(facts, counts, strict=True):
        part = save.parts[place]
        if count is None or int(count) != len(part.rows):
            _refuse_differing(unit, part)
    return version.decode()


def version_of(rows: Rows) -> str:
    """Return the version from the answer to `plain_statement`. Raises LedgerError if the account has no row."""
    if not rows or rows[0][0] is None:
        raise LedgerError("the account does not exist, so nothing was saved")
    return rows[0][0].decode()


def _written(save: Save, parts: list[bytes], values: list[bytes | None], events: bytes, counted: tuple[int, ...]) -> Statement:
    """Return one statement with these parts, the deletions and the account's row.

    The account's row is always written, so that every worker that keeps a state of the account notices the change.
    """
    account = save.account.encode()
    if save.lots_gone:
        parts.append(_DELETE_LOTS)
        values += (account, text_array(save.lots_gone).encode())
    if save.events:
        parts.append(events)
        values += save.events
    return _joined(tuple(parts), tuple(save.columns), counted), [*values, *save.columns.values(), account]


@lru_cache(maxsize=256)  # an account's steps write the same tables again and again
def _joined(parts: tuple[bytes, ...], columns: tuple[str, ...], counted: tuple[int, ...]) -> bytes:
    """Return one statement with numbered parameters, which costs no parsing at each execution."""
    changed = ", ".join(f"{column} = %s::{ACCOUNT_COLUMNS[column]}" for column in columns) or "cash = cash"
    step = f"UPDATE accounts SET {changed} WHERE account = %s::text RETURNING xmin::text AS version".encode()  # noqa: S608 - constants of this module
    written = b", ".join(b"part%d AS (%s)" % (place, part) for place, part in enumerate(parts))
    if counted:
        counts = b", ".join(b"(SELECT count(*) FROM part%d)" % place for place in counted)
        return _numbered(b"WITH %s, step AS (%s) SELECT step.version, %s FROM step" % (written, step, counts))
    return _numbered(b"WITH %s %s" % (written, step) if parts else step)


def _numbered(statement: bytes) -> bytes:
    first, *rest = statement.split(b"%s")
    return first + b"".join(b"$%d%s" % (number, piece) for number, piece in enumerate(rest, 1))


def _refuse_differing(unit: Unit, part: _TableRows) -> None:
    statement, values = _numbered(part.table.differing), [value.encode() for value in part.table.parameters(part.rows)]
    (differing,) = unit.send([(statement, values)])
    if differing:
        key = (differing[0][0] or b"").decode()
        raise LedgerRefusedError(f"{part.table.name}: conflicting duplicate of {key}")


class _Gathering:
    def __init__(self) -> None:
        self.parts: list[_TableRows] = []

    def new(self, table: LedgerTable, rows: list[Row], *, is_fact: bool = False) -> None:
        """Add rows that do not exist yet."""
        if rows:
            self.parts.append(_TableRows(table, rows, None, is_fact))

    def replacing(self, table: LedgerTable, rows: list[Row], taken: tuple[str, ...] | None = None) -> None:
        """Add rows that may exist. An existing row takes over the columns `taken`, or by default all that the table replaces."""
        if rows:
            self.parts.append(_TableRows(table, rows, table.replaced if taken is None else taken, is_fact=False))


def _gather_entries(found: _Gathering, changes: ChangeSet) -> None:
    orders = trade_ids(changes.order_events)
    fills: list[Row] = []
    others: list[Row] = []
    for entry in changes.entries:
        if isinstance(entry, Fill):
            fills.append(fill_row(entry, orders.get((entry.symbol, entry.key))))
        else:
            others.append(entry_row(entry))
    found.new(FILLS, fills, is_fact=True)
    found.new(ACCOUNT_ENTRIES, others, is_fact=True)


def _gather_orders(found: _Gathering, before: Mapping[ClientOrderId, Order], after: Mapping[ClientOrderId, Order]) -> None:
    new: list[Row] = []
    moved: list[Row] = []
    for key, order in after.items():
        known = before.get(key)
        if known is None:
            new.append(order_row(order))
        elif known is not order and known != order:
            moved.append(order_row(order))
    found.new(ORDERS, new)
    found.replacing(ORDERS, moved)


def _gather_books(found: _Gathering, before: Books, after: Books) -> list[str]:
    """Add positions, lots and standing orders. Return the ids of lots that are gone."""
    if after is before:
        return []
    account = after.account
    found.replacing(
        POSITIONS,
        [
            position_row(account, position)
            for symbol, position in after.positions.items()
            if before.positions.get(symbol) != position
        ],
    )
    old, new = _all_lots(before.lots), _all_lots(after.lots)
    found.new(LOTS, [lot_row(account, lot) for key, lot in new.items() if key not in old])
    found.replacing(LOTS, [lot_row(account, lot) for key, lot in new.items() if key in old and old[key] != lot])
    if after.standing_orders != before.standing_orders:
        found.replacing(STANDING_ORDERS, [standing_order_row(account, order) for order in after.standing_orders])
    return sorted(old.keys() - new.keys())


def _all_lots(lots: Mapping[str, tuple[Lot, ...]]) -> dict[str, Lot]:
    return {lot.lot_id: lot for of_symbol in lots.values() for lot in of_symbol}


def _trade_rows(account: str, trades: Iterable[Trade]) -> list[Row]:
    """Return the newest row of each trade, ended trades first, because a symbol may have only one open trade."""
    newest = {trade.entry: trade for trade in trades}
    return [trade_row(account, trade) for trade in sorted(newest.values(), key=lambda trade: trade.state not in _ENDED)]


def _account_changes(before: AccountState, after: AccountState) -> dict[str, bytes | None]:
    """Return the columns of the account's row that change, with their new text."""
    found: dict[str, bytes | None] = {}
    old, new = _account_values(before), _account_values(after)
    for (column, was, _), (_, value, written) in zip(old, new, strict=True):
        if value is was:
            continue
        text = written(value)
        if value != was or text != written(
            was
        ):  # equal numbers may have different texts, and both checks avoid writing a value twice
            found[column] = None if text is None else text.encode()
    return found


def _account_values(state: AccountState) -> tuple[tuple[str, Any, Callable[[Any], str | None]], ...]:
    """Return each column of the account's row with its value and the function that writes it as text."""
    books = state.books
    return (
        ("cash", books.cash, str),
        ("transfers", books.transfers, str),
        ("newest_entry", books.newest, _entry_text),
        ("stepped_at", state.at, instant_text),
        ("watched_until", state.watched_until, instant_text),
        ("loss_rules", state.loss_rules, rule_state_text),
        ("halt", state.halt, halt_text),
        ("warned", state.warned, _warned_text),
        ("memory", state.memory, ProtectionMemory.to_text),
        ("compared_at", state.compared_at, instant_text),
        ("closings", state.closings, closings_text),
        ("review_at", state.review_at, instant_text),
        ("at_venue", state.at_venue, _at_venue_text),
    )


def _entry_text(entry: Entry | None) -> str | None:
    return None if entry is None else entry.model_dump_json()


def _warned_text(warned: frozenset[IssuedWarning]) -> str:
    return text_array(warning_texts(warned))


def _at_venue_text(at_venue: AtVenue) -> str | None:
    return None if at_venue == NOTHING_KNOWN else at_venue.to_text()
