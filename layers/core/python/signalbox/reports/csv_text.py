"""Tables as CSV (RFC 4180: commas, CRLF, doubled quotes), written so that a reader gets every figure and text back unchanged.

Numbers are plain decimals without exponent or trailing zeros; cents keep two places. Instants are in UTC as ISO 8601 with a Z,
dates ISO 8601, time spans in seconds, booleans `true` and `false`, and a missing value is an empty cell. Text that a spreadsheet
would take for a formula (it begins with = + - @, a tab or a return), or that begins with an apostrophe, gets one in front.
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
    """An amount that is always shown with two decimal places."""

    amount: Decimal


Cell: TypeAlias = Decimal | Cents | int | bool | str | datetime | date | timedelta | None


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Columns in their documented order, and rows with one cell for each column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> tuple[Cell, ...]:
        """Return the cells of one column."""
        index = self.columns.index(name)
        return tuple(row[index] for row in self.rows)


def to_csv(table: CsvTable) -> str:
    """Return the CSV text, beginning with the header."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.columns)
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"expected a row of {len(table.columns)} cells, got {len(row)}")
        writer.writerow([cell_text(cell) for cell in row])
    return out.getvalue()


def cell_text(cell: Cell) -> str:  # noqa: PLR0911 - one case for each kind of cell
    """Return a cell as text for the file."""
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
    """Return an aware instant as UTC text, with microseconds only if there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def row_of(columns: Sequence[str], cells: dict[str, Cell]) -> tuple[Cell, ...]:
    """Return the cells in column order; a missing cell is None. Raises KeyError for a cell without a column."""
    if unknown := cells.keys() - set(columns):
        raise KeyError(f"unknown columns {', '.join(sorted(unknown))}; expected some of {', '.join(columns)}")
    return tuple(cells.get(name) for name in columns)
