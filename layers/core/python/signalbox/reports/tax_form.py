"""The tax report: closed lots in the columns of Form 8949, part I and part II, with totals. Not tax advice.

Lots are closed by the standing order in force at each close. A loss near another purchase is flagged but not adjusted: columns
(f) and (g) stay empty for the filer. portfolio/tax.py names the sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from signalbox.portfolio.lots import Disposal, method_at
from signalbox.portfolio.tax import Form8949Row, Form8949Totals, Term, form_8949, totals
from signalbox.reports.csv_text import Cell, Cents, CsvTable
from signalbox.reports.errors import ReportSourceError
from signalbox.reports.page import Table
from signalbox.reports.report import Report, ReportKind, Section, account_row, headline, money, rows_table
from signalbox.reports.source import AccountPeriod

COLUMNS: Final = (
    "account",
    "currency",
    "row",  # disposal or total
    "part",  # I is short term, II is long term
    "description",  # (a)
    "acquired",  # (b)
    "sold",  # (c)
    "proceeds",  # (d)
    "cost_basis",  # (e)
    "code",  # (f), filled in by the filer
    "adjustment",  # (g), filled in by the filer
    "gain",  # (h)
    "term",
    "in_wash_sale_window",
    "method",
    "acquired_at",
    "sold_at",
    "lot_id",
    "fill_id",
    "rows",
)
NOT_ADVICE: Final = (
    "This is no tax advice. Whether and how each line is declared, and whether the wash-sale rule applies to an asset, is for "
    "the filer; nothing is adjusted here."
)
_PARTS: Final = {Term.SHORT: "I", Term.LONG: "II"}


@dataclass(frozen=True, slots=True)
class TaxPart:
    """One part of the form."""

    term: Term
    rows: tuple[tuple[Disposal, Form8949Row], ...]
    totals: Form8949Totals


def tax_parts(data: AccountPeriod) -> tuple[TaxPart, TaxPart]:
    """Return part I and part II, each in order of closing.

    Raises ReportSourceError if the recorded disposals differ from those computed from the entries; the form would be untrue.
    """
    disposals = tuple(sorted(data.disposals, key=lambda d: (d.closed_at, d.fill_id)))
    booked = tuple(sorted(data.booked_disposals, key=lambda d: (d.closed_at, d.fill_id)))
    if disposals != booked:
        differing = sorted({d.fill_id for d in set(disposals) ^ set(booked)}) or ["their order"]
        raise ReportSourceError(
            f"{data.account.account} {data.period.name}: the recorded disposals differ from those computed from the entries "
            f"({len(disposals)} and {len(booked)}); the first difference is {differing[0]}"
        )
    made = form_8949(disposals, data.window_fills, ZoneInfo(data.period.zone))
    both = tuple(zip(disposals, made, strict=True))
    short, long = (
        TaxPart(term, tuple(p for p in both if p[1].term is term), totals(made, term)) for term in (Term.SHORT, Term.LONG)
    )
    return short, long


def tax_report(data: AccountPeriod) -> Report:
    """Return the tax report of an account and period."""
    parts = tax_parts(data)
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        rows += [_row(data, part, disposal, line) for disposal, line in part.rows]
        rows.append(_total_row(data, part))
    flagged = sum(line.in_wash_sale_window for part in parts for _, line in part.rows)
    short, long = (part.totals for part in parts)
    figures = {
        "short term gain": money(short.gain),
        "long term gain": money(long.gain),
        "lines": short.rows + long.rows,
        "lines in the wash-sale window": flagged,
        "method at the end": method_at(data.standing_orders, data.until).value,
    }
    return Report(
        kind=ReportKind.TAX,
        account=data.account.account,
        period=data.period,
        title="Tax report (Form 8949 columns)",
        headline=headline(data, "Closed lots"),
        is_empty=not any(part.rows for part in parts),
        table=CsvTable(COLUMNS, tuple(rows)),
        figures=figures,
        warning=NOT_ADVICE,
        sections=(
            Section("Part I: short term", _table(parts[0]), "Held one year or less, and all positions that were sold short."),
            Section("Part II: long term", _table(parts[1]), "Held more than one year, counted from the day after acquisition."),
            Section("Method", _orders(data), "Which lots are closed first. Without a standing order the method is FIFO."),
        ),
    )


def _row(data: AccountPeriod, part: TaxPart, disposal: Disposal, line: Form8949Row) -> tuple[Cell, ...]:
    return account_row(
        data,
        COLUMNS,
        {
            "row": "disposal",
            "part": _PARTS[part.term],
            "description": line.description,
            "acquired": line.acquired,
            "sold": line.sold,
            "proceeds": Cents(line.proceeds),
            "cost_basis": Cents(line.cost_basis),
            "gain": Cents(line.gain),
            "term": line.term.value,
            "in_wash_sale_window": line.in_wash_sale_window,
            "method": disposal.method.value,
            "acquired_at": disposal.opened_at,
            "sold_at": disposal.closed_at,
            "lot_id": line.lot_id,
            "fill_id": line.fill_id,
        },
    )


def _total_row(data: AccountPeriod, part: TaxPart) -> tuple[Cell, ...]:
    return account_row(
        data,
        COLUMNS,
        {
            "row": "total",
            "part": _PARTS[part.term],
            "proceeds": Cents(part.totals.proceeds),
            "cost_basis": Cents(part.totals.cost_basis),
            "gain": Cents(part.totals.gain),
            "term": part.term.value,
            "rows": part.totals.rows,
        },
    )


def _table(part: TaxPart) -> Table:
    head = ["(a) description", "(b) acquired", "(c) sold", "(d) proceeds", "(e) cost", "(h) gain", "wash-sale window", "method"]
    rows: list[list[object]] = [
        [
            line.description,
            line.acquired,
            line.sold,
            money(line.proceeds),
            money(line.cost_basis),
            money(line.gain),
            "yes" if line.in_wash_sale_window else "",
            disposal.method.value,
        ]
        for disposal, line in part.rows
    ]
    if rows:
        found = part.totals
        rows.append([f"total of {found.rows}", "", "", money(found.proceeds), money(found.cost_basis), money(found.gain), "", ""])
    return rows_table(head, rows, (3, 4, 5))


def _orders(data: AccountPeriod) -> Table:
    rows = ([o.method.value, o.given_at.isoformat(), o.effective_from.isoformat()] for o in data.standing_orders)
    return rows_table(["method", "given", "in force from"], rows)
