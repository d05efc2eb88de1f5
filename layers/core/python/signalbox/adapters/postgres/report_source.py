"""Report data on PostgreSQL: `reports.source.ReportSource`, `QualityLedger` and `PublicationLog`.

A period is [start, until), read in one snapshot. Equity snapshots are streamed and folded, so a year of minutes is never in
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, LiteralString, TypeVar

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.trading_load import STANDING_ORDERS_OF, TRADE_COLUMNS, account_of_text, readable
from signalbox.adapters.postgres.trading_rows import (
    disposal_of,
    entry_of,
    fill_of,
    halt_of,
    orders_of_events,
    risk_event_of,
    standing_order_of,
    trade_of,
)
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.orders.order import Order
from signalbox.orders.quality import Cost, Quality
from signalbox.orders.terms import Leg, Side
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.entries import Entry, booking_order
from signalbox.reports.curve import EquityCurve, EquitySample, fold
from signalbox.reports.errors import PeriodError
from signalbox.reports.measurement import MeasuredOrder
from signalbox.reports.period import ReportPeriod
from signalbox.reports.publishing import only_period
from signalbox.reports.source import AccountPeriod, FactsBooked, Publication, ReportMark
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.errors import AccountError
from signalbox.trading.halts import halt_at_end

T = TypeVar("T")
WASH_REACH: Final = timedelta(days=32)  # 30 days in any time zone, before and after
STREAMED_ROWS: Final = 5_000  # rows per round trip

_ACCOUNT: Final = "SELECT configuration, opened_at FROM accounts WHERE account = %s"
_FILLS: Final = "SELECT account, symbol, trade_id, at, side, quantity, price, fee FROM fills WHERE account = %s AND at < %s"
_ENTRIES: Final = "SELECT account, kind, key, at, symbol, amount FROM account_entries WHERE account = %s AND at < %s"
_WINDOW_FILLS: Final = """
SELECT account, symbol, trade_id, at, side, quantity, price, fee FROM fills
WHERE account = ANY(%s) AND at >= %s AND at < %s ORDER BY at, account COLLATE "C", symbol COLLATE "C", trade_id COLLATE "C"
"""
_LIVE: Final = "SELECT account FROM accounts WHERE mode = 'live'"
_ORDERS: Final = """
SELECT payload FROM order_events WHERE account = %(account)s AND client_order_id IN (
    SELECT client_order_id FROM orders WHERE account = %(account)s AND decided_at >= %(start)s AND decided_at < %(until)s
    UNION SELECT client_order_id FROM orders WHERE account = %(account)s AND closed_at >= %(start)s AND closed_at < %(until)s
    UNION SELECT client_order_id FROM fills WHERE account = %(account)s AND at >= %(start)s AND at < %(until)s
) ORDER BY sequence
"""
_CLOSED_ORDERS: Final = """
SELECT payload FROM order_events WHERE account = %(account)s AND client_order_id IN (
    SELECT client_order_id FROM orders
    WHERE account = %(account)s AND submitted_at IS NOT NULL AND closed_at >= %(start)s AND closed_at < %(until)s
) ORDER BY sequence
"""
_TRADES: Final = f"""
SELECT {TRADE_COLUMNS} FROM trades
WHERE account = %s AND decided_at < %s AND (decided_at >= %s OR closed_at >= %s OR state NOT IN ('CLOSED', 'ABANDONED'))
ORDER BY decided_at, symbol COLLATE "C"
"""  # noqa: S608 - constants of this package
_DISPOSALS: Final = """
SELECT lot_id, fill_id, symbol, opened_at, closed_at, quantity, open_price, close_price, open_fee, close_fee, method
FROM disposals WHERE account = %s AND closed_at >= %s AND closed_at < %s ORDER BY closed_at, fill_id COLLATE "C", place
"""
_RISK_EVENTS: Final = """
SELECT kind, key, at, code, symbol, limit_amount, limit_text, value_amount, value_text, who, detail, snapshot_id
FROM risk_events WHERE account = %s AND at >= %s AND at < %s ORDER BY at, sequence
"""
_HALTS: Final = "SELECT level, who, why, since, until FROM halts WHERE account = %s AND since < %s"
_KILL_SWITCH: Final = """
SELECT kind, key, at, code, symbol, limit_amount, limit_text, value_amount, value_text, who, detail, snapshot_id
FROM risk_events WHERE account = %s AND kind IN ('HALTED', 'RESUMED') AND at < %s ORDER BY sequence
"""
_DAYS: Final = """
SELECT day, baseline, daily_limit, closing_balance, worst_equity FROM day_baselines WHERE account = %s AND day < %s ORDER BY day
"""
_EQUITY: Final = """
SELECT at, equity, transfers, exposure FROM equity_snapshots WHERE account = %s AND at >= %s AND at < %s ORDER BY at
"""
# One index probe per boundary and symbol.
_MARKS: Final = """
SELECT b.at, s.symbol, newest.close, newest.open_time
FROM unnest(%(boundaries)s::timestamptz[]) AS b (at) CROSS JOIN unnest(%(symbols)s::text[]) AS s (symbol) CROSS JOIN LATERAL (
    SELECT close, open_time FROM candles
    WHERE venue = %(market)s AND symbol = s.symbol AND open_time <= b.at - interval '1 minute'
    ORDER BY open_time DESC LIMIT 1
) AS newest
"""
_BARS: Final = """
SELECT open_time, open, high, low, close, volume FROM candles
WHERE venue = %s AND symbol = %s AND open_time >= %s AND open_time < %s ORDER BY open_time
"""

_ORDER_COLUMNS: Final = tuple(f.name for f in fields(MeasuredOrder) if f.name != "quality")
_COSTS: Final = frozenset(f.name for f in fields(Quality) if isinstance(f.default, Cost))
_QUALITY_COLUMNS: Final = tuple(
    column for f in fields(Quality) for column in ((f"{f.name}_cost", f"{f.name}_base") if f.name in _COSTS else (f.name,))
)
_COLUMNS: Final = (*_ORDER_COLUMNS, *_QUALITY_COLUMNS)
_NAMES: Final = ", ".join(_COLUMNS)
_QUALITY: Final = (
    f"SELECT {_NAMES} FROM execution_quality WHERE account = %s AND closed_at >= %s AND closed_at < %s"  # noqa: S608 - constants of this module
    ' ORDER BY closed_at, client_order_id COLLATE "C"'
).encode()
_SAVE_QUALITY: Final = (
    f"INSERT INTO execution_quality AS kept ({_NAMES}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608 - as above
    f" ON CONFLICT (client_order_id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in (*_COLUMNS, 'booked'))}"
    f" WHERE ({', '.join(f'kept.{c}' for c in _COLUMNS)}) IS DISTINCT FROM ({', '.join(f'excluded.{c}' for c in _COLUMNS)})"
).encode()
_RECORD: Final = """
INSERT INTO published_reports AS kept (path, account, period, kind, sha256, size, published_at, made_at, made_from)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, published_at = excluded.published_at
WHERE kept.sha256 <> excluded.sha256
"""
_MADE: Final = "UPDATE published_reports SET made_at = %s, made_from = %s WHERE path = %s AND made_from <= %s"
_PUBLISHED: Final = """
SELECT path, account, period, kind, sha256, size, published_at, made_at, made_from
FROM published_reports WHERE account = %s ORDER BY path COLLATE "C"
"""
_HIGHEST_NUMBER: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM bookings"
_TURN: Final = "SELECT 1 FROM accounts WHERE account = %s FOR SHARE"
# Facts booked late: per UTC day and kind, the range [since, until] they affect and the highest booking number. No end (NULL):
# what moves the books or the kill switch affects every later period too, and a fill can turn an earlier loss into a wash sale.
# An order affects the periods of its whole life. The fills of a taxpayer's other accounts matter only for wash sales.
_BOOKED: Final = """
SELECT min(at) - %(reach)s::interval, NULL::timestamptz, max(booked) FROM fills
WHERE account = %(account)s AND booked > %(after)s AND at < %(before)s GROUP BY date_trunc('day', at)
UNION ALL
SELECT min(at) - %(reach)s::interval, max(at) + %(reach)s::interval, max(booked) FROM fills
WHERE account = ANY(%(others)s) AND booked > %(after)s AND at < %(before)s GROUP BY date_trunc('day', at)
UNION ALL
SELECT min(at), NULL, max(booked) FROM account_entries
WHERE account = %(account)s AND booked > %(after)s AND at < %(before)s GROUP BY date_trunc('day', at)
UNION ALL
SELECT min(since), NULL, max(booked) FROM halts
WHERE account = %(account)s AND booked > %(after)s AND since < %(before)s GROUP BY date_trunc('day', since)
UNION ALL
SELECT min(at), max(at), max(booked) FROM equity_snapshots
WHERE account = %(account)s AND booked > %(after)s AND at < %(before)s GROUP BY date_trunc('day', at)
UNION ALL
SELECT min(at), CASE WHEN bool_or(kind = 'RESUMED') THEN NULL ELSE max(at) END, max(booked) FROM risk_events
WHERE account = %(account)s AND booked > %(after)s AND at < %(before)s GROUP BY date_trunc('day', at)
UNION ALL
SELECT min(closed_at), max(closed_at), max(booked) FROM execution_quality
WHERE account = %(account)s AND booked > %(after)s AND closed_at < %(before)s GROUP BY date_trunc('day', closed_at)
UNION ALL
SELECT day::timestamp AT TIME ZONE %(zone)s, NULL, booked FROM day_baselines
WHERE account = %(account)s AND booked > %(after)s AND day::timestamp AT TIME ZONE %(zone)s < %(before)s
UNION ALL
SELECT o.decided_at, max(e.at), max(e.booked) FROM orders AS o JOIN order_events AS e USING (client_order_id)
WHERE o.account = %(account)s AND o.decided_at < %(before)s AND o.client_order_id IN (
    SELECT client_order_id FROM order_events WHERE account = %(account)s AND booked > %(after)s
) GROUP BY o.client_order_id
"""
_REPORT_MARK: Final = "SELECT booked, at FROM report_marks WHERE account = %s"
_SET_REPORT_MARK: Final = """
INSERT INTO report_marks (account, booked, at) VALUES (%s, %s, %s)
ON CONFLICT (account) DO UPDATE SET booked = excluded.booked, at = excluded.at
"""


class PostgresReports:
    """Accounts, periods, execution quality and the record of publications. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account that can be read, sorted by name. monitor_risk raises the alarm about the others."""
        with self._source.snapshot() as connection:
            rows = connection.execute('SELECT account, configuration FROM accounts ORDER BY account COLLATE "C"').fetchall()
        return readable(rows)[0]

    def period(self, account: str, period: ReportPeriod, until: datetime) -> AccountPeriod:
        """Return the facts up to min(period.end, until). Raises AccountError and PeriodError as the port describes."""
        end = only_period(period, until)
        inside = (account, period.start, end)
        with self._source.snapshot() as connection:
            configured, opened_at = _opened(connection, account)
            if opened_at >= end:
                raise PeriodError(
                    f"account {account} was opened on {opened_at.isoformat()}, after the {period.kind} {period.name}"
                )
            entries = _entries(connection, account, end)
            owners = _owners(connection, configured)
            reach = (owners, period.start - WASH_REACH, end + WASH_REACH)
            return AccountPeriod(
                account=configured,
                period=period,
                until=end,
                entries=entries,
                marks=_marks(connection, configured.market, entries, period.boundaries(end)),
                standing_orders=_some(connection, standing_order_of, STANDING_ORDERS_OF, account),
                curve=_curve(connection, inside),
                orders=_orders(connection, _ORDERS, inside),
                trades=_some(connection, trade_of, _TRADES, account, end, period.start, period.start),
                disposals=_some(connection, disposal_of, _DISPOSALS, *inside),
                window_fills=_some(connection, fill_of, _WINDOW_FILLS, *reach),
                risk_events=_some(connection, risk_event_of, _RISK_EVENTS, *inside),
                halt=halt_at_end(
                    _some(connection, halt_of, _HALTS, account, end),
                    _some(connection, risk_event_of, _KILL_SWITCH, account, end),
                    end,
                ),
                days=_some(connection, lambda row: AccountDay(*row), _DAYS, account, period.after),
                quality=tuple(_measured(row) for row in connection.execute(_QUALITY, inside).fetchall()),
            )

    def closed_orders(self, account: str, since: datetime, until: datetime) -> Sequence[Order]:
        """Return the orders that were sent, and closed in [since, until), sorted by closing time."""
        with self._source.snapshot() as connection:
            found = _orders(connection, _CLOSED_ORDERS, (account, since, until))
        return sorted(found, key=lambda order: (order.closed_at or since, order.client_order_id))

    def bars(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        """Return the bars with start <= open_time < end, oldest first."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_BARS, (market, symbol, start, end)).fetchall()
        return [Candle(Symbol(symbol), *row) for row in rows]

    def save_quality(self, rows: Sequence[MeasuredOrder]) -> int:
        """Write one row per order in place of an earlier measurement. Return the number of new or changed rows."""
        if not rows:
            return 0
        with self._source.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(_SAVE_QUALITY, [_values(row) for row in rows])
            return cursor.rowcount

    def settled(self) -> int:
        """Return a number N such that every fact with a booking number up to N can now be read.

        A transaction that was given a number holds its account's row until it commits, so locking each row once waits for all
        of them.
        """
        with self._source.snapshot() as connection:
            row = connection.execute(_HIGHEST_NUMBER).fetchone()
        for account in self.accounts():
            with self._source.transaction() as connection:
                connection.execute(_TURN, (account.account,))
        return int(row[0]) if row else 0

    def booked(self, account: str, zone: str, after: int, before: datetime) -> tuple[FactsBooked, ...]:
        """Return the facts with booking numbers above `after` that affect a report ending by `before`."""
        with self._source.snapshot() as connection:
            others = [name for name in _owners(connection, _opened(connection, account)[0]) if name != account]
            asked = {
                "account": account,
                "others": others,
                "after": after,
                "before": before,
                "reach": WASH_REACH,
                "zone": zone,
            }
            return tuple(FactsBooked(*row) for row in connection.execute(_BOOKED, asked).fetchall())

    def record(self, publications: Sequence[Publication]) -> int:
        """Write the publications, and return how many paths are new or have other bytes than before."""
        if not publications:
            return 0
        rows = [
            (p.path, p.account, p.period, p.kind, p.sha256, p.size, p.published_at, p.made_at, p.made_from) for p in publications
        ]
        with self._source.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(_RECORD, rows)
            changed = cursor.rowcount
            cursor.executemany(_MADE, [(p.made_at, p.made_from, p.path, p.made_from) for p in publications])
            return changed

    def published(self, account: str) -> tuple[Publication, ...]:
        """Return the publications of an account, sorted by path."""
        with self._source.snapshot() as connection:
            return _some(connection, lambda row: Publication(*row), _PUBLISHED, account)

    def mark(self, account: str) -> ReportMark | None:
        """Return up to which booking the account's reports are current; None if they were never checked."""
        with self._source.snapshot() as connection:
            row = connection.execute(_REPORT_MARK, (account,)).fetchone()
        return None if row is None else ReportMark(*row)

    def set_mark(self, account: str, mark: ReportMark) -> None:
        """Record up to which booking the account's reports are current."""
        with self._source.transaction() as connection:
            connection.execute(_SET_REPORT_MARK, (account, mark.booked, mark.at))


def _opened(connection: Connection, account: str) -> tuple[TradingAccount, datetime]:
    row = connection.execute(_ACCOUNT, (account,)).fetchone()
    if row is None:
        names = [name for (name,) in connection.execute('SELECT account FROM accounts ORDER BY account COLLATE "C"').fetchall()]
        raise AccountError(f"account {account!r} does not exist; existing accounts: {', '.join(names) if names else 'none yet'}")
    return account_of_text(row[0]), row[1]


def _owners(connection: Connection, account: TradingAccount) -> list[str]:
    """Return the accounts of one taxpayer: all live accounts together, a paper account by itself."""
    if account.mode is not TradingMode.LIVE:
        return [account.account]
    return [name for (name,) in connection.execute(_LIVE).fetchall()]


def _some(connection: Connection, make: Callable[[Sequence[Any]], T], query: LiteralString, *values: object) -> tuple[T, ...]:
    return tuple(make(row) for row in connection.execute(query, values).fetchall())


def _entries(connection: Connection, account: str, end: datetime) -> tuple[Entry, ...]:
    found: list[Entry] = [*_some(connection, fill_of, _FILLS, account, end)]
    found += _some(connection, entry_of, _ENTRIES, account, end)
    return tuple(sorted(found, key=booking_order))


def _orders(connection: Connection, query: LiteralString, inside: tuple[str, datetime, datetime]) -> tuple[Order, ...]:
    names = dict(zip(("account", "start", "until"), inside, strict=True))
    payloads = (text for (text,) in connection.execute(query, names).fetchall())
    return tuple(orders_of_events(payloads).values())


def _marks(
    connection: Connection, market: str, entries: Sequence[Entry], boundaries: Sequence[datetime]
) -> Mapping[datetime, Mapping[str, Mark]]:
    symbols = sorted({symbol for entry in entries if (symbol := getattr(entry, "symbol", None)) is not None})
    found: dict[datetime, dict[str, Mark]] = {boundary: {} for boundary in boundaries}
    asked = {"boundaries": list(boundaries), "symbols": symbols, "market": market}
    for at, symbol, close, open_time in connection.execute(_MARKS, asked).fetchall():
        found[at][symbol] = Mark(close, open_time + ONE_MINUTE)
    return MappingProxyType({at: MappingProxyType(marks) for at, marks in found.items()})


def _curve(connection: Connection, inside: tuple[str, datetime, datetime]) -> EquityCurve:
    def points() -> Iterator[EquitySample]:
        with connection.cursor(name="equity_of_period") as cursor:
            cursor.itersize = STREAMED_ROWS
            for row in cursor.execute(_EQUITY, inside):
                yield EquitySample(*row)

    return fold(points(), inside[1], inside[2])


def _values(row: MeasuredOrder) -> list[Any]:
    values: list[Any] = [getattr(row, name) for name in _ORDER_COLUMNS]
    for f in fields(Quality):
        value = getattr(row.quality, f.name)
        values += [value.cost, value.base] if f.name in _COSTS else [value]
    return [value.value if isinstance(value, (Side, Leg, OrderState)) else value for value in values]


def _measured(row: Sequence[Any]) -> MeasuredOrder:
    found = dict(zip(_COLUMNS, row, strict=True))
    quality: dict[str, Any] = {
        f.name: Cost(found[f"{f.name}_cost"], found[f"{f.name}_base"]) if f.name in _COSTS else found[f.name]
        for f in fields(Quality)
    }
    facts = {name: found[name] for name in _ORDER_COLUMNS}
    kinds = {"side": Side(facts["side"]), "leg": Leg(facts["leg"]), "state": OrderState(facts["state"])}
    return MeasuredOrder(**(facts | kinds), quality=Quality(**quality))
