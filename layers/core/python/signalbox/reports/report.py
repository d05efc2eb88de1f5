"""A report: one table (the CSV) and one page (the HTML) of the same facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from markupsafe import Markup

from signalbox.exact import to_places
from signalbox.reports.csv_text import CsvTable, instant_text, to_csv
from signalbox.reports.page import TEMPLATES, Table, render
from signalbox.reports.period import ReportPeriod
from signalbox.reports.source import AccountPeriod
from signalbox.trading.account import TradingMode

SHOWN_ROWS: Final = 500  # of a table on the page; the CSV has all


class ReportKind(StrEnum):
    """Which report; also the name of its files."""

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
    """A heading of the page with what is under it; the page says "none" where there is nothing."""

    title: str
    content: Table | Markup
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `headline` says in one sentence what it is.

    warning, reading: what a reader has to know before the sections; closing: what comes after them.
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
        """Return the CSV."""
        return to_csv(self.table)

    def html(self) -> str:
        """Return the page, complete in itself."""
        return render(TEMPLATES / "report.html.jinja", title=f"{self.title}: {self.account} {self.period.name}", report=self)


def headline(data: AccountPeriod, what: str) -> str:
    """Return the first line of a page: what it is, whose, of when, and whether money was real."""
    period, account = data.period, data.account
    until = f", so far (until {instant_text(data.until)})" if data.is_running else ""
    return (
        f"{what} of account {account.account} ({_MONEY[account.mode]}) in the {period.kind} {period.name}{until}; "
        f"days are those of {period.zone}, amounts are in {account.currency}."
    )


def money(amount: Decimal | None) -> str:
    """Return an amount to cents with separators, for the page."""
    return "-" if amount is None else f"{to_places(amount, 2):,f}"


def number(amount: Decimal | None, places: int = 8) -> str:
    """Return a figure to at most `places` decimals, for the page."""
    if amount is None:
        return "-"
    shown = f"{to_places(amount, places):,f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) or "0"


def percent(share: Decimal | None) -> str:
    """Return a share in percent, for the page."""
    return "-" if share is None else f"{to_places(share * 100, 2):f} %"


def when(instant: datetime | None) -> str:
    """Return an instant to the second, in UTC, for the page."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def span(length: timedelta | None) -> str:
    """Return a span in seconds, for the page."""
    return "-" if length is None else f"{length.total_seconds():,.1f} s"


def rows_table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = ()) -> Table:
    """Return a table: the newest SHOWN_ROWS of a long one, and a line that says so."""
    found = list(rows)
    shown = found[-SHOWN_ROWS:]
    return Table(head, shown, numeric, left_out=len(found) - len(shown))
