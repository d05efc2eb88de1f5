"""Prints rows of the ledger: a table for people, or with --json one object whose amounts and instants are exact text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from signalbox.exact import plain

PLACES: Final = 8  # decimals shown of an amount


def print_rows(name: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], *, as_json: bool) -> None:
    """Print rows with equal keys. name: of the rows, in the plural. about: facts that all rows share."""
    if as_json:
        sys.stdout.write(json.dumps({**about, name: [dict(row) for row in rows]}, default=_exact) + "\n")
        return
    console = Console()
    if not rows:
        console.print(f"no {name}: {', '.join(f'{key} {_shown(value)}' for key, value in about.items())}", highlight=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key, value in rows[0].items():
        is_number = isinstance(value, (Decimal, int, float)) and not isinstance(value, bool)
        is_whole = isinstance(value, datetime)  # an instant over two lines is hard to read; names fold instead
        justify: Any = "right" if is_number else "left"
        table.add_column(key.replace("_", " "), justify=justify, overflow="fold", no_wrap=is_whole)
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console.print(table)


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"expected a number, a text or an instant, got {type(value).__name__}")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return f"{round(value, PLACES).normalize():,f}"
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
