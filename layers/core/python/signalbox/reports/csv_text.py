"""Tables as CSV (RFC 4180: commas, CRLF, quotes doubled), written so that reading gives every figure and text back.

Numbers are plain decimals without exponent and without trailing zeros; cents keep two places. Instants are UTC ISO 8601
with a Z, dates ISO, spans seconds, truth `true` and `false`, absence an empty cell. Text that a spreadsheet would take for
a formula (it begins with = + - @, a tab or a return) is led in by an apostrophe, and so is text that begins with one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias, assert_never

from signalbox.exact import plain, seconds_of, to_places

_GUARDED: Final = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclass(frozen=True, slots=True)
class Cents:
    """An amount that is shown with two places, always."""

    amount: Decimal


Cell: TypeAlias = Decimal | Cents | int | bool | str | datetime | date | timedelta | None


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Columns in their documented order, and rows of as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> tuple[Cell, ...]:
        """Return one column."""
        index = self.columns.index(name)
        return tuple(row[index] for row in self.rows)


def to_csv(table: CsvTable) -> str:
    """Return the file's text, the header first."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.columns)
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"expected {len(table.columns)} cells, was {len(row)}")
        writer.writerow([cell_text(cell) for cell in row])
    return out.getvalue()


def cell_text(cell: Cell) -> str:  # noqa: PLR0911 - one case a kind of cell
    """Return a cell as it stands in the file."""
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case str():
            return f"'{cell}" if cell.startswith(_GUARDED) else cell
        case datetime():
            return instant_text(cell)
        case date():
            return cell.isoformat()
        case timedelta():
            return plain(seconds_of(cell))
        case Cents():
            return f"{to_places(cell.amount, 2):f}"
        case Decimal():
            return plain(cell)
        case int():
            return str(cell)
        case _:
            assert_never(cell)


def instant_text(instant: datetime) -> str:
    """Return an aware instant in UTC; microseconds only where there are some."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def row_of(columns: Sequence[str], cells: dict[str, Cell]) -> tuple[Cell, ...]:
    """Return the cells in the order of the columns, empty where there is none. Raises KeyError for a cell without a column."""
    if unknown := cells.keys() - set(columns):
        raise KeyError(f"expected cells of {', '.join(columns)}, was {', '.join(sorted(unknown))}")
    return tuple(cells.get(name) for name in columns)
