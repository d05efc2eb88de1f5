"""The trade blotter: every execution in time order, with its order, the decision behind it, and its realised profit.

Realised profit is by average price and before fees, as in the books: the column adds up to `realised` of the statement, and the
fees to its `fees`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.events import OrderFilled
from signalbox.orders.order import Order
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.position import BookedPosition, after_fill
from signalbox.reports.csv_text import Cell, CsvTable
from signalbox.reports.page import Table
from signalbox.reports.report import Report, ReportKind, Section, account_row, headline, money, number, rows_table, when
from signalbox.reports.source import AccountPeriod
from signalbox.trading.state import Trade

COLUMNS: Final = (
    "account",
    "currency",
    "at",
    "symbol",
    "side",
    "quantity",
    "price",
    "value",
    "fee",
    "liquidity",
    "realised",
    "net",
    "position_after",
    "leg",
    "order_type",
    "decided_at",
    "client_order_id",
    "venue",
    "venue_order_id",
    "trade_id",
    "entry_order_id",
    "deployment",
    "stage",
    "order_state",
    "order_reason",
    "venue_words",
)


@dataclass(frozen=True, slots=True)
class BlotterRow:
    """One fill, its effect on the position, and the order and trade behind it if they are known."""

    fill: Fill
    value: Decimal
    realised: Decimal
    net: Decimal
    position_after: Decimal
    order: Order | None
    report: OrderFilled | None
    trade: Trade | None


@exactly
def executions(data: AccountPeriod) -> tuple[BlotterRow, ...]:
    """Return the executions of the period in booking order."""
    positions: dict[str, BookedPosition] = {symbol: p for symbol, p in data.opening.books.positions.items()}  # noqa: C416 - a copy
    reports = {(t.symbol, t.trade_id): (order, t) for order in data.orders for t in order.trades}
    by_order = {key: trade for trade in data.trades for key in (trade.entry, trade.exit) if key is not None}
    by_decision: dict[tuple[str, datetime], Trade] = {(trade.symbol, trade.decided_at): trade for trade in data.trades}
    found = []
    for fill in data.inside:
        if not isinstance(fill, Fill):
            continue
        before = positions.get(fill.symbol) or BookedPosition(fill.symbol)
        after = positions[fill.symbol] = after_fill(before, fill)
        order, report = reports.get((fill.symbol, fill.key), (None, None))
        trade = None
        if order is not None:
            trade = by_order.get(order.client_order_id) or by_decision.get((fill.symbol, order.terms.decided_at))
        realised = after.realised - before.realised
        found.append(
            BlotterRow(fill, fill.quantity * fill.price, realised, realised - fill.fee, after.quantity, order, report, trade)
        )
    return tuple(found)


@exactly
def blotter_report(data: AccountPeriod) -> Report:
    """Return the blotter of an account and period as a report."""
    found = executions(data)
    figures = {
        "executions": len(found),
        "volume": money(sum((e.value for e in found), ZERO)),
        "realised, before fees": money(sum((e.realised for e in found), ZERO)),
        "fees": money(sum((e.fill.fee for e in found), ZERO)),
        "realised, after fees": money(sum((e.net for e in found), ZERO)),
    }
    return Report(
        kind=ReportKind.BLOTTER,
        account=data.account.account,
        period=data.period,
        title="Trade blotter",
        headline=headline(data, "Every execution"),
        is_empty=not found,
        table=CsvTable(COLUMNS, tuple(_row(data, execution) for execution in found)),
        figures=figures,
        sections=(
            Section("Executions", _table(found), "Realised is by average price, before fees; times are UTC."),
            Section(
                "Orders that ended before they were filled",
                _unfilled(data),
                "Reasons in the venue's own words. Orders that the pre-trade checks refused are in the compliance report.",
            ),
            Section(
                "Round trips closed in the period", _trades(data), "A trade is an entry with its exits; profit is after fees."
            ),
        ),
    )


def _row(data: AccountPeriod, execution: BlotterRow) -> tuple[Cell, ...]:
    fill, order, trade = execution.fill, execution.order, execution.trade
    cells: dict[str, Cell] = {
        "at": fill.at,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "value": execution.value,
        "fee": fill.fee,
        "realised": execution.realised,
        "net": execution.net,
        "position_after": execution.position_after,
        "venue": data.account.venue,
        "trade_id": fill.key,
    }
    if order is not None:
        cells |= {
            "leg": order.terms.leg.value,
            "order_type": order.terms.type.value,
            "decided_at": order.terms.decided_at,
            "client_order_id": order.client_order_id,
            "venue_order_id": order.venue_order_id,
            "order_state": order.state.value,
            "order_reason": order.reason,
            "venue_words": order.detail,
        }
    if execution.report is not None:
        cells["liquidity"] = execution.report.liquidity.value
    if trade is not None:
        cells |= {"entry_order_id": trade.entry, "deployment": trade.deployment, "stage": trade.stage}
    return account_row(data, COLUMNS, cells)


def _table(found: tuple[BlotterRow, ...]) -> Table:
    head = ["at (UTC)", "symbol", "side", "leg", "quantity", "price", "value", "fee", "realised", "position after"]
    rows = (
        [
            when(e.fill.at),
            e.fill.symbol,
            e.fill.side.value,
            e.order.terms.leg.value if e.order else "-",
            number(e.fill.quantity),
            number(e.fill.price),
            money(e.value),
            money(e.fill.fee),
            money(e.realised),
            number(e.position_after),
        ]
        for e in found
    )
    return rows_table(head, rows, range(4, 10))


def _unfilled(data: AccountPeriod) -> Table:
    ended = [
        order
        for order in data.orders
        if order.state.is_closed
        and order.state not in {OrderState.FILLED, OrderState.DENIED}
        and data.start <= order.terms.decided_at < data.until
    ]
    rows = (
        [
            when(order.terms.decided_at),
            order.terms.symbol,
            order.terms.side.value,
            order.terms.leg.value,
            order.state.value,
            number(order.quantity),
            number(order.filled),
            order.reason or "-",
            order.detail or "-",
        ]
        for order in sorted(ended, key=lambda o: (o.terms.decided_at, o.client_order_id))
    )
    head = ["decided (UTC)", "symbol", "side", "leg", "state", "quantity", "filled", "reason", "the venue's words"]
    return rows_table(head, rows, (5, 6))


def _trades(data: AccountPeriod) -> Table:
    closed = [t for t in data.trades if t.closed_at is not None and data.start <= t.closed_at < data.until and t.opened_at]
    rows = (
        [
            when(t.opened_at),
            when(t.closed_at),
            t.symbol,
            t.side.value,
            t.exit_leg.value if t.exit_leg else "-",
            money(t.realised),
            f"{t.deployment} ({t.stage})",
        ]
        for t in sorted(closed, key=lambda t: (t.closed_at or data.start, t.entry))
    )
    return rows_table(["opened", "closed", "symbol", "side", "ended by", "realised", "decided by"], rows, (5,))
