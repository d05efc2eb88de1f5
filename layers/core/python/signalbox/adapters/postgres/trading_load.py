"""Loads an account state from its rows, with short statements that travel together in one round trip.

Open orders are replayed from their events, so an order in memory is exactly what its events made of it. A worker keeps each
state that it saved (KeptState). While the account's row still has the version of that save, nobody has stepped the account
since, and its rows would give the same state. Decision: docs/decisions/0061-a-worker-keeps-the-desk-it-saved.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, LiteralString

from pydantic import ValidationError

from signalbox.adapters.postgres.arrays import text_array
from signalbox.adapters.postgres.connection import Connection, Unit
from signalbox.adapters.postgres.exchange import Rows, Statement
from signalbox.adapters.postgres.trading_rows import (
    closings_of,
    halt_of_text,
    lock_of,
    orders_of_rows,
    rule_state_of,
    standing_order_of,
    trade_of,
    warnings_of,
)
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.portfolio.account import Books
from signalbox.portfolio.entries import parse_entry
from signalbox.portfolio.lots import Lot
from signalbox.portfolio.position import BookedPosition
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import TradingAccount
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.errors import AccountUnreadableError
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.state import AccountState, counts

ACCOUNT_ROW: Final = """
SELECT configuration, cash, transfers, newest_entry, stepped_at, watched_until, loss_rules, halt, warned, memory, compared_at,
    closings, review_at, at_venue, request_sequence, set_config('signalbox.locked_account', account, true), xmin::text
FROM accounts WHERE account = %s
"""
SEQUENCE_PLACE: Final = -3  # index of request_sequence in such a row
OPEN_ORDER: Final = "state NOT IN ('DENIED', 'REJECTED', 'FILLED', 'CANCELED', 'EXPIRED')"  # same condition as the index
TRADE_COLUMNS: Final = (
    "entry, symbol, side, decided_at, deployment, stage, state, stop_loss, take_profit, deadline, opened_at, exit, exit_leg,"
    " closed_at, realised, progress"
)
MARKS_REACH: Final = timedelta(days=1)  # a symbol counts as current if it has a bar in the months that this span touches

_POSITIONS: Final = "SELECT symbol, quantity, cost, realised, fees, funding, volume FROM positions WHERE account = %s"
_LOTS: Final = (
    "SELECT lot_id, symbol, opened_at, quantity, price, fee FROM lots WHERE account = %s ORDER BY symbol, opened_at, lot_id"
)
STANDING_ORDERS_OF: Final = (
    "SELECT method, given_at, effective_from FROM standing_orders WHERE account = %s ORDER BY effective_from"
)
# OFFSET 0 keeps the planner from turning one index probe per order into a scan of the table, whatever its statistics say.
_EVENTS: Final = f"""
WITH wanted (client_order_id) AS MATERIALIZED (
    SELECT client_order_id FROM orders WHERE account = %s AND {OPEN_ORDER}
    UNION SELECT o.client_order_id FROM trades AS t CROSS JOIN LATERAL (
        SELECT client_order_id FROM orders WHERE account = t.account AND decided_at = t.decided_at AND symbol = t.symbol
            AND (filled > 0 OR leg = 'ENTRY') OFFSET 0
    ) AS o WHERE t.account = %s AND t.state NOT IN ('CLOSED', 'ABANDONED')
    UNION SELECT f.client_order_id FROM trades AS t CROSS JOIN LATERAL (
        SELECT client_order_id FROM fills WHERE account = t.account AND at >= t.decided_at AND symbol = t.symbol
            AND client_order_id IS NOT NULL OFFSET 0
    ) AS f WHERE t.account = %s AND t.state NOT IN ('CLOSED', 'ABANDONED')
    UNION SELECT unnest(%s::text[])
)
SELECT wanted.client_order_id, e.payload FROM wanted CROSS JOIN LATERAL (
    SELECT payload, sequence, account FROM order_events WHERE client_order_id = wanted.client_order_id OFFSET 0
) AS e WHERE e.account = %s ORDER BY e.sequence
"""  # noqa: S608 - constants of this module
_EVENTS_OF: Final = """
SELECT wanted.client_order_id, e.payload FROM unnest(%s::text[]) AS wanted (client_order_id) CROSS JOIN LATERAL (
    SELECT payload, sequence, account FROM order_events WHERE client_order_id = wanted.client_order_id OFFSET 0
) AS e WHERE e.account = %s ORDER BY e.sequence
"""
_TRADES: Final = f"SELECT {TRADE_COLUMNS} FROM trades WHERE account = %s AND state NOT IN ('CLOSED', 'ABANDONED')"  # noqa: S608 - as above
_LOCKS: Final = (
    "SELECT reason, symbol, since, until, limit_amount, value_amount FROM locks WHERE account = %s AND until > %s ORDER BY place"
)
_ORDER_TIMES: Final = (
    "SELECT at FROM order_events WHERE account = %s AND kind = 'OrderReleased' AND at > %s AND at <= %s ORDER BY at, sequence"
)
# One index probe per symbol, instead of reading a month of bars to learn which symbols exist.
_MARKS: Final = """
WITH RECURSIVE market (symbol) AS (
    (SELECT symbol FROM candles WHERE venue = %(venue)s AND open_time >= %(month)s ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (
        SELECT symbol FROM candles WHERE venue = %(venue)s AND symbol > m.symbol AND open_time >= %(month)s
        ORDER BY symbol LIMIT 1
    ) FROM market AS m WHERE m.symbol IS NOT NULL
)
SELECT m.symbol, newest.close, newest.open_time FROM market AS m CROSS JOIN LATERAL (
    SELECT close, open_time FROM candles
    WHERE venue = %(venue)s AND symbol = m.symbol AND open_time >= %(month)s AND open_time <= %(newest)s
    ORDER BY open_time DESC LIMIT 1
) AS newest WHERE m.symbol IS NOT NULL
"""
# After set_config, rows of the locked account skip the trigger that checks that the account exists (migration 0014).
_LOCK: Final = (
    b"SELECT xmin::text, set_config('signalbox.locked_account', account, true) FROM accounts WHERE account = $1 FOR UPDATE"
)
_MARKS_NUMBERED: Final = (
    _MARKS.replace("%(venue)s", "$1::text")
    .replace("%(month)s", "$2::timestamptz")
    .replace("%(newest)s", "$3::timestamptz")
    .encode()
)
_EVENTS_NUMBERED: Final = _EVENTS_OF.replace("%s", "$1", 1).replace("%s", "$2", 1).encode()
_OLD_MARKS: Final = """
SELECT s.symbol, newest.close, newest.open_time FROM unnest(%s::text[]) AS s (symbol) CROSS JOIN LATERAL (
    SELECT close, open_time FROM candles
    WHERE venue = %s AND symbol = s.symbol AND open_time <= %s
    ORDER BY open_time DESC LIMIT 1
) AS newest
"""


@lru_cache(maxsize=1024)
def account_of_text(text: str) -> TradingAccount:
    """Return the account of a configuration text. The results are cached.

    Raises AccountUnreadableError, which must not stop the work on other accounts.
    """
    try:
        return TradingAccount.model_validate_json(text)
    except ValidationError as error:
        wrong = ", ".join(
            ".".join(map(str, e["loc"])) or "the whole" for e in error.errors(include_input=False, include_url=False)
        )
        raise AccountUnreadableError(f"the configuration in its ledger row is invalid at {wrong}") from None


def readable(
    rows: Iterable[tuple[str, str]], parse: Callable[[str], TradingAccount] = account_of_text
) -> tuple[tuple[TradingAccount, ...], dict[str, str]]:
    """Return the accounts of (name, configuration) rows, and by name the fault of each row that cannot be read."""
    accounts: list[TradingAccount] = []
    unreadable: dict[str, str] = {}
    for name, text in rows:
        try:
            accounts.append(parse(text))
        except AccountUnreadableError as error:
            unreadable[name] = str(error)
    return tuple(accounts), unreadable


def load_state(
    connection: Connection, configured: TradingAccount, row: tuple[Any, ...], at: datetime, named: Collection[str]
) -> AccountState:
    """Return the state of an account whose locked row is `row` (ACCOUNT_ROW)."""
    account = configured.account
    (
        _,
        cash,
        transfers,
        newest_entry,
        stepped_at,
        watched_until,
        loss_rules,
        halt,
        warned,
        memory,
        compared_at,
        closings,
        review_at,
        at_venue,
        *_,
    ) = row
    valued_at = watched_until or at  # bars that were applied are known, even to a step at an earlier instant
    window = timedelta(seconds=configured.limits.throttle_window_seconds)
    with connection.pipeline():
        queries = _Queries(connection)
        positions = queries.ask(_POSITIONS, account)
        lots = queries.ask(_LOTS, account)
        standing = queries.ask(STANDING_ORDERS_OF, account)
        events = queries.ask(_EVENTS, account, account, account, list(named), account)
        trades = queries.ask(_TRADES, account)
        locks = queries.ask(_LOCKS, account, at)
        times = connection.execute(_ORDER_TIMES, (account, at - window, at), prepare=True, binary=True)
        marks = connection.execute(_MARKS, _market(configured.market, valued_at), prepare=True)
    held = {r[0]: BookedPosition(*r) for r in positions.fetchall()}
    books = Books(
        account=account,
        standing_orders=tuple(standing_order_of(r) for r in standing.fetchall()),
        cash=cash,
        transfers=transfers,
        positions=MappingProxyType(held),
        lots=_lots(held, lots.fetchall()),
        newest=None if newest_entry is None else parse_entry(newest_entry),
    )
    orders = orders_of_rows(events.fetchall())
    open_trades = {t.symbol: t for t in (trade_of(r) for r in trades.fetchall())}
    state = AccountState(
        account=configured,
        books=books,
        at=stepped_at,
        orders=MappingProxyType(orders),
        trades=MappingProxyType(open_trades),
        halt=halt_of_text(halt),
        locks=tuple(lock_of(r) for r in locks.fetchall()),
        watched_until=watched_until,
        loss_rules=rule_state_of(loss_rules),
        order_times=tuple(r[0] for r in times.fetchall()),
        warned=warnings_of(warned),
        memory=ProtectionMemory() if memory is None else ProtectionMemory.from_text(memory),
        compared_at=compared_at,
        closings=closings_of(closings),
        review_at=review_at,
        at_venue=AtVenue() if at_venue is None else AtVenue.from_text(at_venue),
    )
    return state.after(marks=MappingProxyType(_all_marks(connection, state, orders, _marks(marks.fetchall()), at)))


def _all_marks(
    connection: Connection, state: AccountState, orders: Mapping[ClientOrderId, Order], known: dict[Symbol, Mark], at: datetime
) -> dict[Symbol, Mark]:
    """Return the marks, including older ones of symbols that are held, ordered or traded but have no recent bar."""
    held = {Symbol(p.symbol) for p in state.books.positions.values() if p.quantity}
    wanted = held | {Symbol(o.terms.symbol) for o in orders.values()} | state.trades.keys()
    if missing := sorted(wanted - known.keys()):
        until = (state.watched_until or at) - ONE_MINUTE
        known |= _marks(connection.execute(_OLD_MARKS, (missing, state.account.market, until), prepare=True).fetchall())
    return known


@dataclass(frozen=True, slots=True)
class KeptState:
    """An account state after its last save, kept in memory in place of the next load.

    version: of the account's row, that is the transaction that wrote it. sequence: number of the account's newest request.
    """

    version: str
    state: AccountState
    sequence: int

    @classmethod
    def of(cls, version: str, state: AccountState, sequence: int) -> KeptState:
        """Return the state to keep, with the orders that a load would return."""
        trades = tuple(state.trades.values())
        orders = {key: order for key, order in state.orders.items() if counts(order, trades)}
        return cls(version, state.after(orders=MappingProxyType(orders)), sequence)

    def may_serve(self, at: datetime) -> bool:
        """Whether this state may serve a load at `at`. Not at an earlier instant, because older order times were dropped."""
        return self.state.at is not None and at >= self.state.at

    def is_of(self, row: tuple[Any, ...], at: datetime) -> bool:
        """Whether a load at `at` would return this state."""
        return row[-1] == self.version and self.may_serve(at)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What has to be read besides a kept state: the named orders, and the marks (None means the kept ones are current)."""

    orders: Mapping[ClientOrderId, Order]
    marks: dict[Symbol, Mark] | None


def begin_with(unit: Unit, kept: KeptState, at: datetime, named: Collection[str]) -> tuple[str | None, _Answers]:
    """Begin a transaction in one message: lock the account, and return its row version and the other answers.

    The answers are valid if the version is that of the kept account state.
    """
    lock: Statement = (_LOCK, (kept.state.account.account.encode(),))
    locked, answers = _asked(unit, kept.state, at, named, (lock,))
    version = locked[0][0][0] if locked[0] else None
    return None if version is None else version.decode(), answers


def ask_again(unit: Unit, kept: AccountState, at: datetime, named: Collection[str]) -> _Answers:
    """Like `begin_with`, in a transaction that has locked the account already."""
    return _asked(unit, kept, at, named, ())[1]


def _asked(
    unit: Unit, kept: AccountState, at: datetime, named: Collection[str], first: tuple[Statement, ...]
) -> tuple[list[Rows], _Answers]:
    """Return the answers to the statements in `first`, and to the queries that a kept state needs."""
    statements = list(first)
    if keys := [key for key in named if key not in kept.orders]:
        statements.append((_EVENTS_NUMBERED, (text_array(keys).encode(), kept.account.account.encode())))
    valued_at = kept.watched_until or at
    has_newest = _has_newest_marks(kept, valued_at)
    if not has_newest:
        market = _market(kept.account.market, valued_at)
        statements.append((_MARKS_NUMBERED, [str(market[name]).encode() for name in ("venue", "month", "newest")]))
    found = unit.begin(statements) if statements else []
    rest = found[len(first) :]
    orders: Mapping[ClientOrderId, Order] = {}
    if keys:
        orders = orders_of_rows((key.decode(), payload.decode()) for key, payload in rest[0] if key and payload)
    return found[: len(first)], _Answers(orders, None if has_newest else dict(_mark_of(*row) for row in rest[-1]))


def _has_newest_marks(kept: AccountState, valued_at: datetime) -> bool:
    """Whether every mark is of the newest bar that may count at `valued_at`, so that none can be newer.

    A symbol whose very first bar has just arrived is missed until the next minute; it has no mark, so its orders are refused.
    """
    newest = valued_at.replace(second=0, microsecond=0)
    return bool(kept.marks) and all(mark.at == newest for mark in kept.marks.values())


@lru_cache(maxsize=1024)  # few symbols, each with one new value per minute
def _mark_of(symbol: bytes, close: bytes, open_time: bytes) -> tuple[Symbol, Mark]:
    return Symbol(symbol.decode()), Mark(Decimal(close.decode()), datetime.fromisoformat(open_time.decode()) + ONE_MINUTE)


def continue_state(unit: Unit, kept: AccountState, at: datetime, found: _Answers) -> AccountState:
    """Return what `load_state` would return: the kept state, updated for time, marks and the named orders."""
    orders = {**kept.orders, **found.orders}
    marks = dict(kept.marks) if found.marks is None else found.marks
    since = bisect_right(kept.order_times, at - timedelta(seconds=kept.account.limits.throttle_window_seconds))
    return kept.after(
        orders=MappingProxyType(orders),
        locks=tuple(lock for lock in kept.locks if at < lock.until),
        marks=MappingProxyType(_all_marks(unit.connection, kept, orders, marks, at)),
        order_times=kept.order_times[since : bisect_right(kept.order_times, at)],
    )


class _Queries:
    """Prepared statements of one pipeline."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, query: LiteralString, *values: object) -> Any:
        return self._connection.execute(query, values, prepare=True)


def _market(venue: str, valued_at: datetime) -> Mapping[str, object]:
    month = (valued_at - MARKS_REACH).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return {"venue": venue, "month": month, "newest": valued_at - ONE_MINUTE}


def _marks(rows: list[tuple[Any, ...]]) -> dict[Symbol, Mark]:
    return {Symbol(symbol): Mark(close, open_time + ONE_MINUTE) for symbol, close, open_time in rows}


def _lots(positions: Mapping[str, BookedPosition], rows: list[tuple[Any, ...]]) -> Mapping[str, tuple[Lot, ...]]:
    """Return the lots of each symbol that was ever traded, as the books hold them: an empty tuple if no lot is open."""
    found: dict[str, tuple[Lot, ...]] = {symbol: () for symbol, position in positions.items() if position.volume}
    for row in rows:
        lot = Lot(*row)
        found[lot.symbol] = (*found.get(lot.symbol, ()), lot)
    return MappingProxyType(found)
