"""A table of many rows on an interactive page: it sorts by any column, filters by choices and words, and shows 50 rows at a time.

The rows are data of the page, not markup: two thousand trades take 200 kB. The script is scripts/page.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from markupsafe import Markup

from signalbox.market.candles import to_ms
from signalbox.reports.price_chart import data_block

MAX_ROWS: Final = 5_000  # on a page; the files beside it have all

TEXT, TIME, CHOICE = "text", "time", "choice"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. kind: TEXT, TIME (UTC), CHOICE (text with a filter), or the decimals of a number. is_signed: coloured by sign."""

    name: str
    kind: str | int
    is_signed: bool = False


def data_table(columns: Sequence[Column], rows: Sequence[Sequence[object]], *, opens_chart: bool = False) -> Markup:
    """Return the table's place on the page and its rows, the newest MAX_ROWS. The page also needs `page_script`.

    opens_chart: row i belongs to trade i of the page's chart, and choosing it shows that trade.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"expected rows of {len(columns)} cells")
    shown = rows if opens_chart else rows[-MAX_ROWS:]
    content = {
        "head": [[one.name, one.kind, *(["sign"] * one.is_signed)] for one in columns],
        "rows": [[_cell(value, one) for value, one in zip(row, columns, strict=True)] for row in shown],
        "go": opens_chart,
    }
    note = (
        f"The newest {len(shown):,} of {len(rows):,} rows; the files beside this page have all." if len(shown) < len(rows) else ""
    )
    return Markup(
        '<div data-kit="table"><p class="soft">{}</p>{}<noscript><p>This table needs scripts; the files beside this page '
        "have the same rows.</p></noscript></div>"
    ).format(note, data_block(content))


def _cell(value: object, column: Column) -> object:
    match value:
        case None | str():
            return value
        case datetime():
            return to_ms(value) // 1000
        case Decimal() | float() | int():
            decimals = column.kind if isinstance(column.kind, int) else 8
            return round(float(value), decimals + 2)
        case _:
            raise TypeError(f"{column.name}: expected text, a number or an instant, got {value!r}")
