"""The read side of accounts for reports, views and commands: facts and states by account and period, as domain objects.

Periods are (start, end], as for cycles. Each answer is one consistent snapshot; `period` reads everything in one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, LiteralString, TypeVar

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.trading_load import STANDING_ORDERS_OF, TRADE_COLUMNS, account_of_text, readable
from signalbox.adapters.postgres.trading_rows import (
    disposal_of,
    entry_of,
    equity_of,
    fill_of,
    halt_of,
    halt_of_text,
    lock_of,
    orders_of_events,
    risk_event_of,
    standing_order_of,
    trade_of,
)
from signalbox.orders.events import OrderEvent, parse_order_events
from signalbox.orders.order import Order
from signalbox.portfolio.account import EquitySnapshot
from signalbox.portfolio.entries import Entry, Fill, booking_order
from signalbox.portfolio.lots import Disposal, StandingOrder
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import Lock
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import RiskEvent
from signalbox.trading.errors import no_account
from signalbox.trading.state import Halt, Trade

T = TypeVar("T")

_ACCOUNT: Final = "SELECT configuration, opened_at, opened_by, stepped_at, halt FROM accounts WHERE account = %s"
_FILLS: Final = (
    "SELECT account, symbol, trade_id, at, side, quantity, price, fee FROM fills WHERE account = %s AND at > %s AND at <= %s"
)
_ENTRIES: Final = "SELECT account, kind, key, at, symbol, amount FROM account_entries WHERE account = %s AND at > %s AND at <= %s"
_ORDERS: Final = """
SELECT payload FROM order_events WHERE client_order_id IN (
    SELECT client_order_id FROM orders WHERE account = %s AND decided_at > %s AND decided_at <= %s
) ORDER BY sequence
"""
_ORDER_EVENTS: Final = """
SELECT payload FROM order_events WHERE account = %s AND at > %s AND coalesce(first_at, at) <= %s ORDER BY sequence
"""
_TRADES: Final = f"""
SELECT {TRADE_COLUMNS} FROM trades WHERE account = %s AND decided_at > %s AND decided_at <= %s ORDER BY decided_at, symbol
"""  # noqa: S608 - constants of this package
_OPEN_TRADES: Final = f"""
SELECT {TRADE_COLUMNS} FROM trades WHERE account = %s AND state NOT IN ('CLOSED', 'ABANDONED') ORDER BY symbol
"""  # noqa: S608 - as above
_EQUITY_COLUMNS: Final = "account, at, cash, balance, unrealised, equity, exposure, transfers, realised, fees, funding, marks"
_EQUITY: Final = f"SELECT {_EQUITY_COLUMNS} FROM equity_snapshots WHERE account = %s AND at > %s AND at <= %s ORDER BY at"  # noqa: S608 - as above
_EQUITY_BEFORE: Final = f"SELECT {_EQUITY_COLUMNS} FROM equity_snapshots WHERE account = %s AND at <= %s ORDER BY at DESC LIMIT 1"  # noqa: S608 - as above
_DISPOSALS: Final = """
SELECT lot_id, fill_id, symbol, opened_at, closed_at, quantity, open_price, close_price, open_fee, close_fee, method
FROM disposals WHERE account = %s AND closed_at > %s AND closed_at <= %s ORDER BY closed_at, fill_id COLLATE "C", place
"""
_RISK_EVENTS: Final = """
SELECT kind, key, at, code, symbol, limit_amount, limit_text, value_amount, value_text, who, detail, snapshot_id
FROM risk_events WHERE account = %s AND at > %s AND at <= %s ORDER BY at, sequence
"""
_HALTS: Final = """
SELECT level, who, why, since, until FROM halts WHERE account = %s AND since > %s AND since <= %s ORDER BY since, sequence
"""
_DAYS: Final = """
SELECT day, baseline, daily_limit, closing_balance, worst_equity FROM day_baselines
WHERE account = %s AND day >= %s AND day <= %s ORDER BY day
"""
_LOCKS: Final = """
SELECT reason, symbol, since, until, limit_amount, value_amount FROM locks WHERE account = %s AND until > %s ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account with the times of its opening and its last step, and its newest halt."""

    account: TradingAccount
    opened_at: datetime
    opened_by: str
    stepped_at: datetime | None
    halt: Halt | None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """All facts about one account in a period (start, end], oldest first. orders: those decided in it, in their current state."""

    account: TradingAccount
    start: datetime
    end: datetime
    orders: tuple[Order, ...]
    order_events: tuple[OrderEvent, ...]
    entries: tuple[Entry, ...]
    trades: tuple[Trade, ...]
    disposals: tuple[Disposal, ...]
    equity: tuple[EquitySnapshot, ...]
    equity_before: EquitySnapshot | None  # the newest one at or before `start`
    days: tuple[AccountDay, ...]  # days whose date lies in the period, both ends included
    risk_events: tuple[RiskEvent, ...]
    halts: tuple[Halt, ...]
    standing_orders: tuple[StandingOrder, ...]  # all that were ever given

    @property
    def fills(self) -> tuple[Fill, ...]:
        """The fills among the entries."""
        return tuple(entry for entry in self.entries if isinstance(entry, Fill))


class TradingReader:
    """Queries about accounts. Raises LedgerError as described in `errors.py`, AccountError for a missing account."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def accounts(self) -> tuple[TradingAccount, ...]:
        """Return every account that can be read, sorted by name."""
        query = 'SELECT account, configuration FROM accounts ORDER BY account COLLATE "C"'
        return readable(self._all(lambda row: (row[0], row[1]), query))[0]

    def overview(self, account: str) -> AccountOverview:
        """Return an account's overview. Raises AccountError if the account does not exist."""
        with self._source.snapshot() as connection:
            return _overview(connection, account)

    def orders(self, account: str, start: datetime, end: datetime) -> tuple[Order, ...]:
        """Return the orders with start < decided_at <= end in their current state, in order of arrival."""
        with self._source.snapshot() as connection:
            return tuple(orders_of_events(_texts(connection, _ORDERS, account, start, end)).values())

    def order_events(self, account: str, start: datetime, end: datetime) -> tuple[OrderEvent, ...]:
        """Return the order events with start < at <= end, in order of arrival."""
        with self._source.snapshot() as connection:
            return _order_events(connection, account, start, end)

    def entries(self, account: str, start: datetime, end: datetime) -> tuple[Entry, ...]:
        """Return fills, funding and transfers with start < at <= end, in booking order."""
        with self._source.snapshot() as connection:
            return _entries(connection, account, start, end)

    def trades(self, account: str, start: datetime, end: datetime) -> tuple[Trade, ...]:
        """Return the trades with start < decided_at <= end."""
        return self._all(trade_of, _TRADES, account, start, end)

    def open_trades(self, account: str) -> tuple[Trade, ...]:
        """Return the trades that are neither closed nor abandoned, sorted by symbol."""
        return self._all(trade_of, _OPEN_TRADES, account)

    def equity(self, account: str, start: datetime, end: datetime) -> tuple[EquitySnapshot, ...]:
        """Return the equity snapshots with start < at <= end."""
        return self._all(equity_of, _EQUITY, account, start, end)

    def disposals(self, account: str, start: datetime, end: datetime) -> tuple[Disposal, ...]:
        """Return the lot disposals with start < closed_at <= end, in order of closing."""
        return self._all(disposal_of, _DISPOSALS, account, start, end)

    def risk_events(self, account: str, start: datetime, end: datetime) -> tuple[RiskEvent, ...]:
        """Return the compliance record with start < at <= end."""
        return self._all(risk_event_of, _RISK_EVENTS, account, start, end)

    def halts(self, account: str, start: datetime, end: datetime) -> tuple[Halt, ...]:
        """Return the halts with start < since <= end."""
        return self._all(halt_of, _HALTS, account, start, end)

    def locks(self, account: str, at: datetime) -> tuple[Lock, ...]:
        """Return the locks that are in force at `at` or begin later."""
        return self._all(lock_of, _LOCKS, account, at)

    def days(self, account: str, first: date, last: date) -> tuple[AccountDay, ...]:
        """Return the days from `first` to `last`, both included, in the time zone of the loss rules."""
        return self._all(_day_of, _DAYS, account, first, last)

    def standing_orders(self, account: str) -> tuple[StandingOrder, ...]:
        """Return the standing orders of the tax lots, in order of effect."""
        return self._all(standing_order_of, STANDING_ORDERS_OF, account)

    def period(self, account: str, start: datetime, end: datetime) -> AccountFacts:
        """Return everything of a period, from one snapshot. Raises AccountError if the account does not exist."""
        between = (account, start, end)
        with self._source.snapshot() as connection:
            configured = _overview(connection, account).account
            before = _some(connection, equity_of, _EQUITY_BEFORE, account, start)
            return AccountFacts(
                account=configured,
                start=start,
                end=end,
                orders=tuple(orders_of_events(_texts(connection, _ORDERS, *between)).values()),
                order_events=_order_events(connection, *between),
                entries=_entries(connection, *between),
                trades=_some(connection, trade_of, _TRADES, *between),
                disposals=_some(connection, disposal_of, _DISPOSALS, *between),
                equity=_some(connection, equity_of, _EQUITY, *between),
                equity_before=before[0] if before else None,
                days=_some(connection, _day_of, _DAYS, account, start.date(), end.date()),
                risk_events=_some(connection, risk_event_of, _RISK_EVENTS, *between),
                halts=_some(connection, halt_of, _HALTS, *between),
                standing_orders=_some(connection, standing_order_of, STANDING_ORDERS_OF, account),
            )

    def _all(self, make: Callable[[Sequence[Any]], T], query: LiteralString, *values: object) -> tuple[T, ...]:
        with self._source.snapshot() as connection:
            return _some(connection, make, query, *values)


def _some(connection: Connection, make: Callable[[Sequence[Any]], T], query: LiteralString, *values: object) -> tuple[T, ...]:
    return tuple(make(row) for row in connection.execute(query, values).fetchall())


def _texts(connection: Connection, query: LiteralString, *values: object) -> list[str]:
    return [text for (text,) in connection.execute(query, values).fetchall()]


def _order_events(connection: Connection, account: str, start: datetime, end: datetime) -> tuple[OrderEvent, ...]:
    """Return events with start < at <= end. A stored row with several events may begin before the period or end after it."""
    events = parse_order_events(_texts(connection, _ORDER_EVENTS, account, start, end))
    return tuple(event for event in events if start < event.at <= end)


def _entries(connection: Connection, account: str, start: datetime, end: datetime) -> tuple[Entry, ...]:
    found: list[Entry] = [*_some(connection, fill_of, _FILLS, account, start, end)]
    found += _some(connection, entry_of, _ENTRIES, account, start, end)
    return tuple(sorted(found, key=booking_order))


def _overview(connection: Connection, account: str) -> AccountOverview:
    row = connection.execute(_ACCOUNT, (account,)).fetchone()
    if row is None:
        raise no_account(account)
    text, opened_at, opened_by, stepped_at, halt = row
    return AccountOverview(account_of_text(text), opened_at, opened_by, stepped_at, halt_of_text(halt))


def _day_of(row: Sequence[Any]) -> AccountDay:
    return AccountDay(*row)
