"""Trading accounts on PostgreSQL (`trading.ports.TradingLedger`).

Each account has one row that every transaction locks first, so two workers on one account take turns. It uses READ COMMITTED:
what is read after the lock includes everything that the previous worker committed. A transaction needs a few round trips and
one commit, however many orders it carries, so put a batch of one account into one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from psycopg.errors import UniqueViolation

from signalbox.adapters.postgres.connection import Connection, ConnectionSource, Unit
from signalbox.adapters.postgres.exchange import Statement
from signalbox.adapters.postgres.ledger import PostgresLedgerTransaction
from signalbox.adapters.postgres.trading_load import (
    ACCOUNT_ROW,
    SEQUENCE_PLACE,
    KeptState,
    account_of_text,
    ask_again,
    begin_with,
    continue_state,
    load_state,
    readable,
)
from signalbox.adapters.postgres.trading_rows import entry_of, entry_row, fill_of, order_row, orders_of_events, risk_event_of
from signalbox.adapters.postgres.trading_save import Save, Seals, gathered, plain_statement, save_with_care, version_of
from signalbox.adapters.postgres.trading_tables import ACCOUNT_ENTRIES, ORDERS
from signalbox.ledger_errors import LedgerError
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.order import Order
from signalbox.orders.sealing import RequestSealer
from signalbox.portfolio.entries import Entry, booking_order
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import UNEXPLAINED, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.errors import AccountDiffersError, no_account
from signalbox.trading.ports import IncompleteView
from signalbox.trading.readiness import Confirmation, ModelQualification, qualification_of
from signalbox.trading.state import AccountState, opened, opening_transfer

FILL_COLUMNS: Final = "account, symbol, trade_id, at, side, quantity, price, fee"
ENTRY_COLUMNS: Final = "account, kind, key, at, symbol, amount"
_INSERT_ACCOUNT: Final = """
INSERT INTO accounts (account, mode, configuration, opened_at, opened_by, cash, transfers, newest_entry)
VALUES (%s, %s, %s, %s, %s, %s::text::numeric, %s::text::numeric, %s) ON CONFLICT (account) DO NOTHING
"""
_EVENTS_OF: Final = "SELECT payload FROM order_events WHERE client_order_id = ANY(%s::text[]) AND account = %s ORDER BY sequence"
_CANDLES: Final = """
SELECT symbol, open_time, open, high, low, close, volume FROM candles
WHERE venue = %s AND open_time > %s AND open_time <= %s ORDER BY symbol, open_time
"""
_CONFIRMATIONS: Final = (
    'SELECT who, at, what, request_id FROM confirmations WHERE account = %s ORDER BY at, request_id COLLATE "C"'
)
_RECORDED: Final = """
SELECT kind, key, at, code, symbol, limit_amount, limit_text, value_amount, value_text, who, detail, snapshot_id
FROM risk_events WHERE account = %s AND kind = %s AND key = %s
"""
_NEWEST_DECIDED: Final = """
SELECT deployment, stage FROM signals WHERE decided_at <= %s AND NOT challenger
ORDER BY decided_at DESC, deployment COLLATE "C" LIMIT 1
"""
_DECIDERS: Final = """
SELECT deployment, CASE WHEN challenger THEN 'challenger' ELSE stage END FROM signals
WHERE symbol = %s AND decided_at = %s ORDER BY deployment COLLATE "C"
"""
_KEEP_PART: Final = """
INSERT INTO venue_view_parts (account, view, asked_at, part, parts, payload)
SELECT %s, %s, %s, %s, %s, %s FROM accounts
WHERE account = %s AND (compared_at IS NULL OR compared_at < %s) ON CONFLICT DO NOTHING
"""
_PARTS: Final = "SELECT payload FROM venue_view_parts WHERE account = %s AND asked_at = %s AND view = %s ORDER BY part"
_INCOMPLETE: Final = """
SELECT asked_at, view, count(*)::integer, max(parts) FROM venue_view_parts WHERE account = %s
GROUP BY asked_at, view ORDER BY asked_at, view
"""
_DROP_PARTS: Final = "DELETE FROM venue_view_parts WHERE account = %s AND asked_at <= %s"
_SAVEPOINT: Final[Statement] = (b"SAVEPOINT before_save", ())
_BACK: Final[Statement] = (b"ROLLBACK TO SAVEPOINT before_save", ())
_GATES: Final = "SELECT gates FROM deployed_models WHERE deployment = %s AND stage = %s AND first_decided_at <= %s"
_DIFFERENCES: Final = """
SELECT code || ' ' || detail FROM risk_events
WHERE account = %s AND at >= %s AND kind = ANY(%s) ORDER BY at, sequence
"""


class PostgresTradingLedger:
    """Transactions of accounts on a connection source. Raises LedgerError as described in `errors.py`.

    parse: reads an account's configuration; a benchmark passes a function that sets other limits. sealer: seals the requests to
    venues while saving; executors ignore requests that were saved without a seal.
    """

    def __init__(
        self,
        source: ConnectionSource,
        parse: Callable[[str], TradingAccount] = account_of_text,
        sealer: RequestSealer | None = None,
    ) -> None:
        self._source, self._parse, self._sealer = source, parse, sealer
        self._kept: dict[
            str, KeptState
        ] = {}  # states this worker saved; valid while the account's row has the version of that save

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, sorted by name."""
        return self.configured()[0]

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return every account that can be read, and by name the fault of each one that cannot."""
        with self._source.snapshot() as connection:
            rows = connection.execute('SELECT account, configuration FROM accounts ORDER BY account COLLATE "C"').fetchall()
        return readable(rows, self._parse)

    def open_account(self, account: TradingAccount, at: datetime, who: str) -> bool:
        """Create an account and transfer its capital in. False if it exists unchanged. Raises AccountError if it differs."""
        books, capital = opened(account, at).books, opening_transfer(account, at)
        row = (
            account.account,
            account.mode.value,
            account.model_dump_json(),
            at,
            who,
            str(books.cash),
            str(books.transfers),
            capital.model_dump_json(),
        )
        with self._source.transaction() as connection:
            if connection.execute(_INSERT_ACCOUNT, row).rowcount == 1:
                connection.execute(ACCOUNT_ENTRIES.insert, ACCOUNT_ENTRIES.parameters([entry_row(capital)]))
                return True
            kept = account_of_text(locked_row(connection, account.account)[0])
        if kept != account:
            raise AccountDiffersError(f"account {account.account} exists with another configuration: {kept!r}, got {account!r}")
        return False

    @contextmanager
    def transaction(self, account: str) -> Iterator[PostgresTradingTransaction]:
        """Lock an account; commit when the block ends, roll back when it raises. Raises AccountError if the account is missing.

        If this worker kept the account's state, the account exists, and the first read or write locks it.
        """
        with self._source.unit() as unit:
            tx = PostgresTradingTransaction(unit, account, self._parse, self._kept.get(account), self._sealer)
            yield tx
            tx.finish()
        if tx.saved is not None:  # after the commit: a state that was or may have been rolled back is not kept
            self._kept[account] = tx.saved


class PostgresTradingTransaction:
    """`trading.ports.TradingTransaction` inside one open transaction that holds the account's row."""

    def __init__(
        self,
        unit: Unit,
        account: str,
        parse: Callable[[str], TradingAccount] = account_of_text,
        kept: KeptState | None = None,
        sealer: RequestSealer | None = None,
    ) -> None:
        self._unit, self._account, self._parse, self._kept = unit, account, parse, kept
        self._newest: AccountState | None = None  # the state that was loaded or saved last in this transaction
        self.was_kept = False  # whether the newest load used the state kept by the worker
        self.saved: KeptState | None = None  # the newest saved state, if it may be kept
        self._row: tuple[Any, ...] | None = None  # the locked row; None while unknown and after a save
        self._waiting: tuple[Save, AccountState | None] | None = (
            None  # the save that goes with COMMIT, and the state to keep after it
        )
        self._sealer = sealer
        self._sequence: int | None = None  # the account's newest request number; known once the account is locked
        if kept is None:
            self._lock()

    @property
    def connection(self) -> Connection:
        """The connection inside the open transaction, for statements of the same transaction."""
        self._write_waiting()
        if not self._unit.is_begun:
            self._lock()
        return self._unit.connection

    @property
    def _configured(self) -> TradingAccount:
        if self._kept is not None:
            return self._kept.state.account
        return self._parse((self._row or self._lock())[0])

    @property
    def _market(self) -> str:
        return self._configured.market

    def _lock(self) -> tuple[Any, ...]:
        self._row = locked_row(self._unit.connection, self._account)
        if self._sequence is None:
            self._sequence = int(self._row[SEQUENCE_PLACE])
        return self._row

    def load(self, at: datetime, orders: Collection[str] = ()) -> AccountState:
        self._write_waiting()
        kept = self._kept
        if kept is not None and kept.may_serve(at) and not self._unit.is_begun:
            version, answers = begin_with(self._unit, kept, at, orders)
            if version == kept.version:
                self.was_kept, self._sequence = True, kept.sequence
                self._newest = continue_state(self._unit, kept.state, at, answers)
                return self._newest
        row = self._row or self._lock()
        self.was_kept = kept is not None and kept.is_of(row, at)
        if kept is not None and self.was_kept:
            self._newest = continue_state(self._unit, kept.state, at, ask_again(self._unit, kept.state, at, orders))
        else:
            self._newest = load_state(self._unit.connection, self._parse(row[0]), row, at, orders)
        return self._newest

    def order(self, client_order_id: str) -> Order | None:
        return self._orders([client_order_id]).get(ClientOrderId(client_order_id))

    def entries(self) -> Sequence[Entry]:
        return entries_of(self.connection, self._account)

    def candles(self, since: datetime | None, until: datetime) -> Mapping[Symbol, Sequence[Candle]]:
        after = until - 2 * ONE_MINUTE if since is None else since - ONE_MINUTE
        rows = self.connection.execute(_CANDLES, (self._market, after, until - ONE_MINUTE), prepare=True).fetchall()
        found: dict[Symbol, list[Candle]] = {}
        for symbol, *values in rows:
            found.setdefault(symbol, []).append(Candle(symbol, *values))
        return MappingProxyType({symbol: tuple(candles) for symbol, candles in found.items()})

    def bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        return PostgresLedgerTransaction(self.connection).bars(self._market, symbol, until, count)

    def confirmations(self) -> Sequence[Confirmation]:
        return tuple(Confirmation(*row) for row in self.connection.execute(_CONFIRMATIONS, (self._account,)).fetchall())

    def recorded(self, kind: RiskEventKind, key: str) -> RiskEvent | None:
        row = self.connection.execute(_RECORDED, (self._account, kind.value, key)).fetchone()
        return None if row is None else risk_event_of(row)

    def model_qualification(self, at: datetime, decided_by: tuple[str, str] | None) -> ModelQualification | None:
        named = decided_by or self.connection.execute(_NEWEST_DECIDED, (at,)).fetchone()
        if named is None:
            return None
        deployment, stage = named
        rows = self.connection.execute(_GATES, (deployment, stage, at)).fetchall()
        return qualification_of(deployment, stage, [json.loads(text) for (text,) in rows]) if rows else None

    def deciders(self, symbol: Symbol, decided_at: datetime) -> Sequence[tuple[str, str]]:
        return tuple(self.connection.execute(_DECIDERS, (symbol, decided_at), prepare=True).fetchall())

    def keep_view_part(self, part: VenueViewReported) -> Sequence[VenueViewReported]:
        payload = part.model_dump_json()
        self.connection.execute(
            _KEEP_PART, (self._account, part.view, part.asked_at, part.part, part.parts, payload, self._account, part.asked_at)
        )
        rows = self.connection.execute(_PARTS, (self._account, part.asked_at, part.view)).fetchall()
        return tuple(VenueViewReported.model_validate_json(text) for (text,) in rows)

    def incomplete_views(self) -> Sequence[IncompleteView]:
        rows = self.connection.execute(_INCOMPLETE, (self._account,), prepare=True).fetchall()
        return tuple(IncompleteView(*row) for row in rows)

    def drop_view_parts(self, until: datetime) -> None:
        self.connection.execute(_DROP_PARTS, (self._account, until))

    def differences(self, since: datetime) -> Sequence[str]:
        return tuple(
            text
            for (text,) in self.connection.execute(
                _DIFFERENCES, (self._account, since, [kind.value for kind in UNEXPLAINED])
            ).fetchall()
        )

    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        if not self._unit.is_begun:
            self._lock()
        seals = self._seals()
        save = gathered(before, after, changes, seals)
        if save.is_nothing:
            return
        self._write_waiting()
        if seals is not None:
            self._sequence = seals.sequence
        self._row = None
        # a state may be kept if it continues what this transaction read and holds every order that it wrote
        goes_on = self._newest is not None and before.books is self._newest.books and not save.left
        self._newest = after if goes_on else None
        self._waiting = save, self._newest
        if not save.is_plain:
            self._write_waiting()

    def finish(self) -> None:
        """Write the save that is not sent yet, together with COMMIT. Raises as `save_with_care` and as COMMIT does."""
        if self._waiting is None:
            return
        save, state = self._waiting
        try:
            *_, written = self._unit.commit_with([_SAVEPOINT, plain_statement(save)])
        except UniqueViolation:  # a row that should be new exists: a redelivery, or another fact with the same key
            self._unit.send([_BACK])
            self._write_waiting()
        else:
            self._keep(version_of(written), state)

    def _write_waiting(self) -> None:
        """Write the held-back save now instead of at COMMIT, because another statement must come after it."""
        if self._waiting is None:
            return
        (save, state), self._waiting = self._waiting, None
        self._keep(save_with_care(self._unit, save), state)
        if save.left:  # events of orders that left the account state: rebuild their projections from the events
            rows = [order_row(order) for order in self._orders(sorted(save.left)).values()]
            self.connection.execute(ORDERS.insert, ORDERS.parameters(rows))

    def _keep(self, version: str, state: AccountState | None) -> None:
        self.saved = None if state is None else KeptState.of(version, state, self._sequence or 0)

    def _seals(self) -> Seals | None:
        if self._sealer is None:
            return None
        if self._sequence is None:
            raise LedgerError(f"{self._account}: the number of its newest request is unknown; load the account before saving")
        return Seals(self._sealer, self._sequence)

    def _orders(self, keys: list[str]) -> dict[ClientOrderId, Order]:
        rows = self.connection.execute(_EVENTS_OF, (keys, self._account), prepare=True).fetchall()
        return orders_of_events(payload for (payload,) in rows)


def entries_of(connection: Connection, account: str) -> tuple[Entry, ...]:
    """Return every entry of an account, oldest first."""
    fills = connection.execute(f"SELECT {FILL_COLUMNS} FROM fills WHERE account = %s", (account,))  # noqa: S608 - constants of this module
    others = connection.execute(f"SELECT {ENTRY_COLUMNS} FROM account_entries WHERE account = %s", (account,))  # noqa: S608 - as above
    found: list[Entry] = [fill_of(row) for row in fills.fetchall()]
    found += [entry_of(row) for row in others.fetchall()]
    return tuple(sorted(found, key=booking_order))


def locked_row(connection: Connection, account: str) -> tuple[Any, ...]:
    """Return the account's row, locked until the transaction ends. Raises AccountError if there is none."""
    row = connection.execute(ACCOUNT_ROW + " FOR UPDATE", (account,), prepare=True).fetchone()
    if row is None:
        raise no_account(account)
    return row
