"""The execution quality report: the cost of filling orders, by order, venue, symbol and day. A positive figure is a cost to us.

A figure of several orders is the sum of their costs over the sum of their bases (orders/quality.py), so it is weighted by value.
The market around an order is read from one-minute candles; measurement.py describes how, and how accurate that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from signalbox.orders.order import Order
from signalbox.orders.quality import Quality
from signalbox.reports.csv_text import Cell, CsvTable
from signalbox.reports.measurement import MAX_AGE, SPREAD_DELAY, MeasuredOrder
from signalbox.reports.page import Table
from signalbox.reports.report import (
    Report,
    ReportKind,
    Section,
    account_row,
    headline,
    money,
    number,
    percent,
    rows_table,
    span,
    when,
)
from signalbox.reports.source import AccountPeriod

MEASURES: Final = (
    "arrival_slippage",
    "effective_spread",
    "realised_spread",
    "price_impact",
    "implementation_shortfall",
    "vwap_slippage",
)
COLUMNS: Final = (
    "account",
    "currency",
    "row",  # order, day, venue, symbol or total
    "day",
    "venue",
    "symbol",
    "client_order_id",
    "side",
    "leg",
    "state",
    "decided_at",
    "submitted_at",
    "closed_at",
    "decision_price",
    "arrival_mid",
    "end_mid",
    "market_vwap",
    "orders",
    "filled_orders",
    "trades",
    "trades_without_marks",
    "ordered",
    "filled",
    "fill_ratio",
    "value",
    "fees",
    *(f"{name}_{part}" for name in MEASURES for part in ("cost", "base", "bps")),
    "first_fill_seconds",
    "fill_seconds",
)


@dataclass(frozen=True, slots=True)
class QualityGroup:
    """The figures of a group of orders. `ordered` and `filled` can be added up within one symbol only."""

    row: str
    day: date | None
    venue: str | None
    symbol: str | None
    quality: Quality


def groups(data: AccountPeriod) -> tuple[QualityGroup, ...]:
    """Return the figures by day of the decision, by venue, by symbol and in total, in that order."""
    measured = data.quality

    def day(order: MeasuredOrder) -> date:
        return data.period.day_of(order.decided_at)

    found = [QualityGroup("day", key, None, None, q) for key, q in _by(measured, day)]
    found += [QualityGroup("venue", None, key, None, q) for key, q in _by(measured, lambda o: o.venue)]
    found += [QualityGroup("symbol", None, None, key, q) for key, q in _by(measured, lambda o: o.symbol)]
    found.append(QualityGroup("total", None, None, None, _sum(measured)))
    return tuple(found)


def unmeasured(data: AccountPeriod) -> tuple[Order, ...]:
    """Return the orders sent and closed in the period that have no figures, because candles around them are missing."""
    known = {order.client_order_id for order in data.quality}
    return tuple(
        order
        for order in data.orders
        if order.submitted_at is not None
        and order.closed_at is not None
        and data.start <= order.closed_at < data.until
        and order.client_order_id not in known
    )


def quality_report(data: AccountPeriod) -> Report:
    """Return the execution quality report of an account and period."""
    found = groups(data)
    total = found[-1].quality
    left_out = unmeasured(data)
    orders = sorted(data.quality, key=lambda o: (o.closed_at, o.client_order_id))
    rows = [_order_row(data, order) for order in orders] + [_group_row(data, group) for group in found]
    figures = {
        "arrival slippage": _bps(total, "arrival_slippage"),
        "implementation shortfall": _bps(total, "implementation_shortfall"),
        "effective spread": _bps(total, "effective_spread"),
        "realised spread": _bps(total, "realised_spread"),
        "against the market's VWAP": _bps(total, "vwap_slippage"),
        "orders measured / without figures": f"{total.orders} / {len(left_out)}",
    }
    return Report(
        kind=ReportKind.QUALITY,
        account=data.account.account,
        period=data.period,
        title="Execution quality",
        headline=headline(data, "What it cost to fill the orders"),
        is_empty=not orders and not left_out,
        table=CsvTable(COLUMNS, tuple(rows)),
        figures=figures,
        reading="Positive basis points are a cost, negative ones a saving. Mids and volumes are taken from one-minute "
        f"candles, not from quotes; the realised spread is measured {SPREAD_DELAY} after a fill. The market's VWAP prices each "
        "minute's trades at (high + low + close) / 3, which is an approximation.",
        sections=(
            Section("All, by symbol, venue and day", _group_table(found)),
            Section("Orders", _order_table(orders)),
            Section(
                "Orders without figures",
                rows_table(
                    ["decided (UTC)", "symbol", "order"],
                    ([when(o.terms.decided_at), o.terms.symbol, o.client_order_id] for o in left_out),
                ),
                f"There is no candle within {MAX_AGE} of an instant that is needed.",
            ),
        ),
    )


def _by(orders: Iterable[MeasuredOrder], key: Callable[[MeasuredOrder], date | str]) -> list[tuple[Any, Quality]]:
    found: dict[Any, Quality] = {}
    for order in orders:
        found[key(order)] = found.get(key(order), Quality()) + order.quality
    return sorted(found.items())


def _sum(orders: Iterable[MeasuredOrder]) -> Quality:
    total = Quality()
    for order in orders:
        total += order.quality
    return total


def _cells(quality: Quality, *, one_symbol: bool) -> dict[str, Cell]:
    cells: dict[str, Cell] = {
        "orders": quality.orders,
        "filled_orders": quality.filled_orders,
        "trades": quality.trades,
        "trades_without_marks": quality.trades_without_marks,
        "value": quality.value,
        "fees": quality.fees,
        "first_fill_seconds": quality.mean_time_to_first_fill,
        "fill_seconds": quality.mean_time_to_fill,
    }
    if one_symbol:
        cells |= {"ordered": quality.ordered, "filled": quality.filled, "fill_ratio": quality.fill_ratio}
    for name in MEASURES:
        cost = getattr(quality, name)
        cells |= {f"{name}_cost": cost.cost, f"{name}_base": cost.base, f"{name}_bps": cost.bps}
    return cells


def _order_row(data: AccountPeriod, order: MeasuredOrder) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {
        "row": "order",
        "day": data.period.day_of(order.decided_at),
        "venue": order.venue,
        "symbol": order.symbol,
        "client_order_id": order.client_order_id,
        "side": order.side.value,
        "leg": order.leg.value,
        "state": order.state.value,
        "decided_at": order.decided_at,
        "submitted_at": order.submitted_at,
        "closed_at": order.closed_at,
        "decision_price": order.decision_price,
        "arrival_mid": order.arrival_mid,
        "end_mid": order.end_mid,
        "market_vwap": order.market_vwap,
    }
    return account_row(data, COLUMNS, cells | _cells(order.quality, one_symbol=True))


def _group_row(data: AccountPeriod, group: QualityGroup) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {
        "row": group.row,
        "day": group.day,
        "venue": group.venue,
        "symbol": group.symbol,
    }
    return account_row(data, COLUMNS, cells | _cells(group.quality, one_symbol=group.symbol is not None))


def _bps(quality: Quality, name: str) -> str:
    found = getattr(quality, name).bps
    return "-" if found is None else f"{found:+.2f} bp"


def _group_table(found: tuple[QualityGroup, ...]) -> Table:
    head = ["", "orders", "fill ratio", "value", "fees", "arrival", "shortfall", "effective", "realised", "VWAP", "to fill"]
    rows = []
    for group in (found[-1], *found[:-1]):
        q = group.quality
        ratio = percent(q.fill_ratio) if group.symbol is not None else "-"
        name = group.symbol or group.venue or (group.day.isoformat() if group.day else "all")
        measures = (_bps(q, m) for m in MEASURES if m != "price_impact")
        arrival, effective, realised, shortfall, vwap = measures
        costs = (arrival, shortfall, effective, realised, vwap)
        rows.append([name, q.orders, ratio, money(q.value), money(q.fees), *costs, span(q.mean_time_to_fill)])
    return rows_table(head, rows if found[-1].quality.orders else [], range(1, 11))


def _order_table(orders: list[MeasuredOrder]) -> Table:
    head = ["decided (UTC)", "symbol", "side", "leg", "state", "filled", "arrival mid", "arrival", "shortfall", "VWAP", "to fill"]
    rows = (
        [
            when(o.decided_at),
            o.symbol,
            o.side.value,
            o.leg.value,
            o.state.value,
            number(o.quality.filled),
            number(o.arrival_mid),
            _bps(o.quality, "arrival_slippage"),
            _bps(o.quality, "implementation_shortfall"),
            _bps(o.quality, "vwap_slippage"),
            span(o.quality.mean_time_to_fill),
        ]
        for o in orders
    )
    return rows_table(head, rows, range(5, 11))
