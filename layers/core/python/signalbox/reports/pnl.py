"""The profit and loss statement of a day, of the days of a month or of the months of a year; and by symbol.

The account is valued at the boundaries from its entries and the newest prices then. So a statement does not depend on when
snapshots were taken, and its parts add up to the whole to the last digit:
opening equity + transfers + net = closing equity, with net = realised - fees + funding + change of unrealised.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from markupsafe import Markup

from signalbox.exact import ZERO, exactly
from signalbox.orders.terms import Side
from signalbox.portfolio.entries import Fill, Transfer
from signalbox.portfolio.statement import Statement, statement
from signalbox.reports.csv_text import Cell, CsvTable, row_of
from signalbox.reports.curve import CurvePoint, curve_charts, drawdown_share
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
    when,
)
from signalbox.reports.source import AccountPeriod, Valuation
from signalbox.trading.state import TradeState

OLD_MARK: Final = timedelta(minutes=10)  # the report points out older prices
COLUMNS: Final = (
    "account",
    "currency",
    "row",  # part, total or symbol
    "name",
    "start",
    "end",
    "opening_equity",
    "transfers",
    "realised",
    "fees",
    "funding",
    "unrealised_change",
    "net",
    "closing_equity",
    "fills",
    "volume",
    "max_drawdown",
    "max_drawdown_share",
)


@dataclass(frozen=True, slots=True)
class NamedStatement:
    """The statement of one part of the period."""

    name: str
    statement: Statement
    fills: int
    volume: Decimal


@dataclass(frozen=True, slots=True)
class SymbolProfit:
    """The result of one symbol; the nets of all symbols add up to the account's net."""

    symbol: str
    fills: int
    buys: int
    volume: Decimal
    realised: Decimal
    fees: Decimal
    funding: Decimal
    unrealised_change: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class ProfitAndLoss:
    """The figures of the report."""

    parts: tuple[NamedStatement, ...]
    total: NamedStatement
    symbols: tuple[SymbolProfit, ...]
    deepest: CurvePoint | None
    deepest_share: Decimal | None
    trades_closed: int
    trades_won: int


def profit_and_loss(data: AccountPeriod) -> ProfitAndLoss:
    """Return the figures. Raises ReportSourceError if a price is missing, PortfolioError if a statement does not add up."""
    valuations = data.valuations
    parts = tuple(
        _named(data, part.name, before, after)
        for part, before, after in zip(data.period.parts(data.until), valuations, valuations[1:], strict=False)
        if after.books.newest is not None  # parts before the account's first entry have nothing to report
    )
    deepest = data.whole_curve.deepest
    closed = [
        trade
        for trade in data.trades
        if trade.state is TradeState.CLOSED and trade.closed_at is not None and data.start <= trade.closed_at < data.until
    ]
    return ProfitAndLoss(
        parts=parts,
        total=_named(data, data.period.name, data.opening, data.closing),
        symbols=_symbols(data),
        deepest=deepest,
        deepest_share=None if deepest is None else drawdown_share(deepest, data.closing.snapshot.transfers),
        trades_closed=len(closed),
        trades_won=sum(trade.realised is not None and trade.realised > 0 for trade in closed),
    )


@exactly
def _named(data: AccountPeriod, name: str, before: Valuation, after: Valuation) -> NamedStatement:
    fills = [entry for entry in data.inside if isinstance(entry, Fill) and before.at <= entry.at < after.at]
    volume = sum((fill.quantity * fill.price for fill in fills), ZERO)
    return NamedStatement(name, statement(before.snapshot, after.snapshot), len(fills), volume)


@exactly
def _symbols(data: AccountPeriod) -> tuple[SymbolProfit, ...]:
    found = []
    opening, closing = data.opening, data.closing
    for symbol in sorted(closing.books.positions):
        one, other = opening.books.position(symbol), closing.books.position(symbol)
        fills = [entry for entry in data.inside if isinstance(entry, Fill) and entry.symbol == symbol]
        if not fills and not one.quantity and one == other:
            continue
        unrealised = ZERO
        for position, valuation, sign in ((other, closing, 1), (one, opening, -1)):
            if position.quantity:
                unrealised += sign * position.unrealised(valuation.marks[symbol].price)
        realised, fees, funding = other.realised - one.realised, other.fees - one.fees, other.funding - one.funding
        found.append(
            SymbolProfit(
                symbol=symbol,
                fills=len(fills),
                buys=sum(fill.side is Side.BUY for fill in fills),
                volume=other.volume - one.volume,
                realised=realised,
                fees=fees,
                funding=funding,
                unrealised_change=unrealised,
                net=realised - fees + funding + unrealised,
            )
        )
    return tuple(found)


def pnl_report(data: AccountPeriod) -> Report:
    """Return the profit and loss report of an account and period."""
    found = profit_and_loss(data)
    total = found.total.statement
    rows = [_statement_row(data, "part", part) for part in found.parts]
    rows.append(
        row_of(
            COLUMNS,
            dict(zip(COLUMNS, _statement_row(data, "total", found.total), strict=True))
            | {
                "max_drawdown": found.deepest.drawdown if found.deepest else ZERO,
                "max_drawdown_share": found.deepest_share if found.deepest else ZERO,
            },
        )
    )
    rows += [_symbol_row(data, result) for result in found.symbols]
    figures = {
        "net": money(total.net),
        "opening equity": money(total.opening_equity),
        "closing equity": money(total.closing_equity),
        "transfers in and out": money(total.transfers),
        "realised, before fees": money(total.realised),
        "fees": money(total.fees),
        "deepest drawdown": f"{money(found.deepest.drawdown if found.deepest else ZERO)} ({percent(found.deepest_share)})",
        "trades closed / won": f"{found.trades_closed} / {found.trades_won}",
    }
    return Report(
        kind=ReportKind.PNL,
        account=data.account.account,
        period=data.period,
        title="Profit and loss",
        headline=headline(data, "Realised and open results"),
        is_empty=not data.inside and not any(p.quantity for p in data.opening.books.positions.values()),
        table=CsvTable(COLUMNS, tuple(rows)),
        figures=figures,
        sections=(
            Section(
                "Equity and drawdown",
                curve_charts(data.whole_curve, data.closing.snapshot.transfers, data.account.currency),
                _curve_note(data),
            ),
            Section("Statement", _statement_table(found), "opening equity + transfers + net = closing equity, to the last digit"),
            Section("Transfers", _transfer_table(data), "Money paid in, and with a minus paid out. It is no profit and no loss."),
            Section("By symbol", _symbol_table(found)),
            Section("Open positions at the end", _position_table(data), _mark_note(data)),
        ),
    )


def _statement_row(data: AccountPeriod, row: str, part: NamedStatement) -> tuple[Cell, ...]:
    made = part.statement
    return account_row(
        data,
        COLUMNS,
        {
            "row": row,
            "name": part.name,
            "start": made.start,
            "end": made.end,
            "opening_equity": made.opening_equity,
            "transfers": made.transfers,
            "realised": made.realised,
            "fees": made.fees,
            "funding": made.funding,
            "unrealised_change": made.unrealised_change,
            "net": made.net,
            "closing_equity": made.closing_equity,
            "fills": part.fills,
            "volume": part.volume,
        },
    )


def _symbol_row(data: AccountPeriod, result: SymbolProfit) -> tuple[Cell, ...]:
    return account_row(
        data,
        COLUMNS,
        {
            "row": "symbol",
            "name": result.symbol,
            "start": data.opening.at,
            "end": data.closing.at,
            "realised": result.realised,
            "fees": result.fees,
            "funding": result.funding,
            "unrealised_change": result.unrealised_change,
            "net": result.net,
            "fills": result.fills,
            "volume": result.volume,
        },
    )


def _statement_table(found: ProfitAndLoss) -> Table:
    head = ["", "opening", "transfers", "realised", "fees", "funding", "unrealised", "net", "closing", "fills"]
    rows = [
        [
            name,
            *(
                money(amount)
                for amount in (
                    made.opening_equity,
                    made.transfers,
                    made.realised,
                    made.fees,
                    made.funding,
                    made.unrealised_change,
                    made.net,
                    made.closing_equity,
                )
            ),
            fills,
        ]
        for name, made, fills in [
            *((part.name, part.statement, part.fills) for part in found.parts),
            ("total", found.total.statement, found.total.fills),
        ]
    ]
    return rows_table(head, rows, range(1, 10))


def _symbol_table(found: ProfitAndLoss) -> Table:
    head = ["symbol", "fills", "volume", "realised", "fees", "funding", "unrealised", "net"]
    rows = (
        [r.symbol, r.fills, *(money(a) for a in (r.volume, r.realised, r.fees, r.funding, r.unrealised_change, r.net))]
        for r in found.symbols
    )
    return rows_table(head, rows, range(1, 8))


def _curve(data: AccountPeriod) -> Markup:
    return curve_charts(data.whole_curve, data.closing.snapshot.transfers, data.account.currency)


def _transfer_table(data: AccountPeriod) -> Table:
    rows = ([when(entry.at), money(entry.amount), entry.key] for entry in data.inside if isinstance(entry, Transfer))
    return rows_table(["at (UTC)", f"amount, {data.account.currency}", "entry"], rows, (1,))


def _position_table(data: AccountPeriod) -> Table:
    rows = []
    for symbol, mark in sorted(data.closing.marks.items()):
        held = data.closing.books.position(symbol)
        facts = (number(held.quantity), number(held.average_price), number(mark.price), money(held.unrealised(mark.price)))
        rows.append([symbol, *facts, when(mark.at)])
    return rows_table(["symbol", "quantity", "average price", "price", "unrealised", "price of (UTC)"], rows, range(1, 5))


def _mark_note(data: AccountPeriod) -> str:
    old = sorted(s for s, mark in data.closing.marks.items() if data.closing.at - mark.at > OLD_MARK)
    return f"The newest price of {', '.join(old)} is older than {OLD_MARK} at the end." if old else ""


def _curve_note(data: AccountPeriod) -> str:
    return (
        f"{data.curve.count} recorded snapshots and the valuations at both ends. Transfers make no step: equity is shown as if "
        "all transfers had been there from the start, and the drawdown is measured from the highest point before it."
    )
