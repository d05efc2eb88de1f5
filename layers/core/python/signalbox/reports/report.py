"""A report: one table (the CSV file) and one page (the HTML file) with the same facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from markupsafe import Markup

from signalbox.exact import to_places
from signalbox.reports.csv_text import Cell, CsvTable, row_of, to_csv
from signalbox.reports.page import TEMPLATES, Table, render
from signalbox.reports.period import ReportPeriod
from signalbox.reports.source import AccountPeriod
from signalbox.trading.account import TradingMode

SHOWN_ROWS: Final = 500  # most rows of a table on the page; the CSV file has all


class ReportKind(StrEnum):
    """The kind of a report, which is also the name of its files."""

    PNL = "pnl"
    BLOTTER = "blotter"
    TAX = "tax"
    COMPLIANCE = "compliance"
    QUALITY = "quality"


_MONEY: Final = {
    TradingMode.DRY_RUN: "signals only, no orders",
    TradingMode.PAPER: "paper trading, no real money",
    TradingMode.LIVE: "live money",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the page with its content; the page says "none" if the content is empty."""

    title: str
    content: Table | Markup
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report. headline: one sentence that says what it is.

    warning, reading: what a reader must know before the sections. closing: text after the sections.
    """

    kind: ReportKind
    account: str
    period: ReportPeriod
    title: str
    headline: str
    is_empty: bool
    table: CsvTable
    figures: Mapping[str, object]
    sections: tuple[Section, ...]
    warning: str = ""
    reading: str = ""
    closing: str = ""

    def csv(self) -> str:
        """Return the CSV file's text."""
        return to_csv(self.table)

    def html(self) -> str:
        """Return the self-contained HTML page."""
        return render(TEMPLATES / "report.html.jinja", title=f"{self.title}: {self.account} {self.period.name}", report=self)


def account_row(data: AccountPeriod, columns: Sequence[str], cells: Mapping[str, Cell]) -> tuple[Cell, ...]:
    """Return the cells in column order, with account and currency where there are columns of them. Raises KeyError."""
    of_account: dict[str, Cell] = {"account": data.account.account}
    if "currency" in columns:
        of_account["currency"] = data.account.currency
    return row_of(columns, of_account | dict(cells))


def headline(data: AccountPeriod, what: str) -> str:
    """Return the first line of a page: the report, the account, the period, and whether the money is real."""
    period, account = data.period, data.account
    until = f", so far (until {when(data.until)} UTC)" if data.is_running else ""
    return (
        f"{what} of account {account.account} ({_MONEY[account.mode]}) in the {period.kind} {period.name}{until}; "
        f"days are those of {period.zone}, amounts are in {account.currency}."
    )


def money(amount: Decimal | None) -> str:
    """Return an amount for the page, with two decimals and thousands separators."""
    return "-" if amount is None else f"{_unsigned_zero(to_places(amount, 2)):,f}"


def number(amount: Decimal | None, places: int = 8) -> str:
    """Return a figure for the page, with at most `places` decimals."""
    if amount is None:
        return "-"
    shown = f"{_unsigned_zero(to_places(amount, places)):,f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) or "0"


def percent(share: Decimal | None) -> str:
    """Return a share for the page, in percent."""
    return "-" if share is None else f"{_unsigned_zero(to_places(share * 100, 2)):f} %"


def _unsigned_zero(amount: Decimal) -> Decimal:
    """Return the amount; what was rounded to zero has no sign."""
    return amount if amount else abs(amount)


def when(instant: datetime | None) -> str:
    """Return an instant for the page, in UTC to the second."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def span(length: timedelta | None) -> str:
    """Return a time span for the page, in seconds."""
    return "-" if length is None else f"{length.total_seconds():,.1f} s"


def rows_table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = ()) -> Table:
    """Return a table for the page: of many rows only the newest SHOWN_ROWS, with a line that says so."""
    found = list(rows)
    shown = found[-SHOWN_ROWS:]
    return Table(head, shown, numeric, left_out=len(found) - len(shown))
