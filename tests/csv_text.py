"""Reads what `signalbox.reports.csv_text` writes."""

from __future__ import annotations

import csv
import io


def read_csv(text: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return columns and rows, with the apostrophes that guard text taken off again."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    return tuple(rows[0]), [tuple(cell.removeprefix("'") for cell in row) for row in rows[1:]]
