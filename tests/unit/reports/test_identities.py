"""What has to hold of every account: statements close, parts add up, columns add up, and a CSV gives everything back."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import exactly
from signalbox.portfolio.entries import Entry
from signalbox.reports import blotter, compliance, execution, pnl, tax_form
from signalbox.reports.blotter import executions
from signalbox.reports.build import BUILDERS, build
from signalbox.reports.csv_text import Cell, Cents, CsvTable, cell_text, to_csv
from signalbox.reports.curve import EquitySample, fold
from signalbox.reports.errors import PeriodError
from signalbox.reports.execution import MEASURES
from signalbox.reports.period import finished_periods, parse_period
from signalbox.reports.pnl import profit_and_loss
from signalbox.reports.report import ReportKind
from signalbox.reports.tax_form import tax_parts
from signalbox.risk.snapshot import Mark
from tests.builders import BTC, ETH
from tests.csv_text import read_csv
from tests.unit.portfolio.samples import entries
from tests.unit.reports.samples import PAPER, period_of

total_of = exactly(sum)
TABLES = {
    "Profit and loss": pnl.COLUMNS,
    "Trade blotter": blotter.COLUMNS,
    "Tax": tax_form.COLUMNS,
    "Compliance": compliance.COLUMNS,
    "Execution quality": execution.COLUMNS,
}


@st.composite
def histories(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Entries of the account from December to March, at any instant."""
    found = draw(entries())
    start = datetime(2023, 12, 1, tzinfo=UTC)
    return tuple(
        e.model_copy(update={"account": PAPER.account, "at": start + timedelta(hours=draw(st.integers(0, 24 * 120)))})
        for e in found
    )


def wandering(seed: int) -> Callable[[datetime], dict[str, Mark]]:
    """Prices that differ at every boundary and are the same whenever one is asked for."""

    def marks(boundary: datetime) -> dict[str, Mark]:
        step = (boundary.toordinal() * 7919 + seed) % 1000
        return {BTC: Mark(Decimal(1 + step), boundary), ETH: Mark(Decimal(5) + Decimal(step) / 8, boundary)}

    return marks


@given(histories(), st.integers(0, 999))
def test_every_statement_closes_and_the_parts_are_the_whole(history: tuple[Entry, ...], seed: int) -> None:
    data = period_of("2024", history, wandering(seed))
    found = profit_and_loss(data)
    total = found.total.statement
    assert exactly(lambda: total.opening_equity + total.transfers + total.net)() == total.closing_equity
    for name in ("net", "realised", "fees", "funding", "transfers", "unrealised_change"):
        assert total_of([getattr(part.statement, name) for part in found.parts], Decimal(0)) == getattr(total, name)
    assert total_of([symbol.net for symbol in found.symbols], Decimal(0)) == total.net
    assert sum(part.fills for part in found.parts) == found.total.fills


@given(histories(), st.integers(0, 999))
def test_the_months_sum_to_the_year_and_the_days_to_the_month(history: tuple[Entry, ...], seed: int) -> None:
    year = profit_and_loss(period_of("2024", history, wandering(seed))).total.statement
    months = [profit_and_loss(period_of(f"2024-{month:02}", history, wandering(seed))).total.statement for month in range(1, 13)]
    assert total_of([month.net for month in months], Decimal(0)) == year.net
    assert (months[0].opening_equity, months[-1].closing_equity) == (year.opening_equity, year.closing_equity)
    days = [profit_and_loss(period_of(f"2024-02-{day:02}", history, wandering(seed))).total.statement for day in range(1, 30)]
    assert total_of([day.net for day in days], Decimal(0)) == months[1].net


@given(histories())
def test_the_blotter_adds_up_to_the_statement(history: tuple[Entry, ...]) -> None:
    data = period_of("2024", history)
    found, total = executions(data), profit_and_loss(data).total.statement
    assert total_of([e.realised for e in found], Decimal(0)) == total.realised
    assert total_of([e.fill.fee for e in found], Decimal(0)) == total.fees
    for symbol in {e.fill.symbol for e in found}:
        last = [e for e in found if e.fill.symbol == symbol][-1]
        assert last.position_after == data.closing.books.position(symbol).quantity


@given(histories())
def test_the_totals_of_the_form_are_the_sums_of_its_rows(history: tuple[Entry, ...]) -> None:
    data = period_of("2024", history)
    parts = tax_parts(data)
    assert sum(len(part.rows) for part in parts) == len(data.disposals)
    for part in parts:
        for name in ("proceeds", "cost_basis", "gain"):
            assert total_of([getattr(line, name) for _, line in part.rows], Decimal(0)) == getattr(part.totals, name)


@given(histories())
@pytest.mark.parametrize("kind", list(BUILDERS))
def test_the_same_facts_are_the_same_bytes(kind: ReportKind, history: tuple[Entry, ...]) -> None:
    one, other = period_of("2024-01", history), period_of("2024-01", history[::-1])
    assert build(kind, one).csv() == build(kind, other).csv()
    assert build(kind, one).html() == build(kind, other).html()


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(st.lists(st.tuples(_TEXTS, st.decimals(allow_nan=False, allow_infinity=False, places=8), st.booleans()), max_size=5))
def test_a_csv_gives_back_every_text_and_figure(rows: list[tuple[str, Decimal, bool]]) -> None:
    columns, found = read_csv(to_csv(CsvTable(("text", "amount", "flag"), tuple(rows))))
    assert columns == ("text", "amount", "flag")
    assert [row[0] for row in found] == [row[0] for row in rows]
    assert [Decimal(row[1]) for row in found] == [row[1] for row in rows]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Decimal("1200.500"), "1200.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.00"), "0"),
        (Decimal("1234567890123456789012345678901.000000000000000001"), "1234567890123456789012345678901.000000000000000001"),
        (Cents(Decimal(5)), "5.00"),
        (timedelta(seconds=1, milliseconds=500), "1.5"),
        (datetime(2024, 3, 1, 13, tzinfo=UTC), "2024-03-01T13:00:00Z"),
        (date(2024, 3, 1), "2024-03-01"),
        (True, "true"),
        (None, ""),
        ("=1+1", "'=1+1"),
    ],
)
def test_cells_are_written_as_documented(cell: Cell, text: str) -> None:
    assert cell_text(cell) == text


def test_lines_end_and_quotes_double_as_rfc_4180_says() -> None:
    assert to_csv(CsvTable(("a", "b"), (('say "x", y', "two\nlines"),))) == 'a,b\r\n"say ""x"", y","two\nlines"\r\n'


_STEPS = st.lists(st.tuples(st.integers(1, 500), st.integers(-1000, 1000), st.integers(-50, 50)), min_size=1, max_size=80)


@given(_STEPS, st.integers(1, 12))
def test_a_thinned_curve_keeps_the_deepest_drawdown(steps: list[tuple[int, int, int]], spans: int) -> None:
    instant, profit, transfers, points = datetime(2024, 3, 1, tzinfo=UTC), 0, 1000, []
    for wait, gain, moved in steps:
        instant, profit, transfers = instant + timedelta(minutes=wait), profit + gain, transfers + moved
        points.append(EquitySample(instant, Decimal(profit + transfers), Decimal(transfers)))
    opening = EquitySample(points[0].at - timedelta(minutes=1), Decimal(1000), Decimal(1000))
    closing = EquitySample(points[-1].at + timedelta(minutes=1), points[-1].equity, points[-1].transfers)
    curve = fold(points, opening.at, closing.at, spans).between(opening, closing)
    peak = deepest = Decimal(0)
    for point in points:
        peak = max(peak, point.equity - point.transfers)
        deepest = max(deepest, peak - point.equity + point.transfers)
    assert max(p.drawdown for p in curve.points) == deepest
    assert len(curve.points) <= 4 * (spans + 1) + 2


def test_a_day_of_prague_lasts_23_hours_when_the_clocks_go_forward() -> None:
    day = parse_period("2024-03-31", "Europe/Prague")
    assert day.end - day.start == timedelta(hours=23)
    month = parse_period("2024-03", "Europe/Prague")
    parts = month.parts()
    assert len(parts) == 31
    assert (
        (parts[0].start, parts[-1].end)
        == (month.start, month.end)
        == (
            datetime(2024, 2, 29, 23, tzinfo=UTC),
            datetime(2024, 3, 31, 22, tzinfo=UTC),
        )
    )


def test_a_running_period_ends_where_it_was_asked() -> None:
    until = datetime(2024, 3, 2, 6, tzinfo=UTC)
    assert [part.end for part in parse_period("2024-03", "UTC").parts(until)] == [datetime(2024, 3, 2, tzinfo=UTC), until]


@pytest.mark.parametrize("text", ["2024-13", "2024-02-30", "24-01", "2024-1", "yesterday", "1999"])
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match=text):
        parse_period(text, "UTC")


def test_the_job_tells_yesterday_and_what_ended_with_it() -> None:
    def names(at: datetime, zone: str = "UTC") -> list[str]:
        return [period.name for period in finished_periods(at, zone)]

    assert names(datetime(2024, 3, 2, 1, 40, tzinfo=UTC)) == ["2024-03-01"]
    assert names(datetime(2024, 3, 1, 1, 40, tzinfo=UTC), "Europe/Prague") == ["2024-02-29", "2024-02"]
    assert names(datetime(2024, 1, 1, 1, 40, tzinfo=UTC)) == ["2023-12-31", "2023-12", "2023"]


def test_the_documentation_names_every_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reports.md").read_text(encoding="utf-8")
    for name, columns in TABLES.items():
        reported = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        missing = [c for c in columns if not re.search(rf"\b{re.sub('^(' + '|'.join(MEASURES) + ')_', 'X_', c)}\b", reported)]
        assert not missing, name
