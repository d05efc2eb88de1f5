"""The look of a report: one self-contained page of cards, tables and inline pictures. Nothing is loaded from anywhere.

A page is a template. Every value in it is escaped, except one whose type says that it is markup: a `Table`, a `Markup`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from typing_extensions import override

TEMPLATES: Final = Path(__file__).with_name("templates")


class Table:
    """A table of plain values or markup. Columns in `numeric` are set to the right; it is false, and empty, without rows.

    left_out: how many earlier rows are not shown.
    """

    def __init__(
        self, head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Collection[int] = (), left_out: int = 0
    ) -> None:
        self.head, self.rows, self.numeric, self.left_out = tuple(head), tuple(rows), numeric, left_out
        if bad := next((row for row in self.rows if len(row) != len(self.head)), None):
            raise ValueError(f"expected {len(self.head)} cells, was {bad!r}")

    def __bool__(self) -> bool:
        return bool(self.rows)

    @override
    def __str__(self) -> str:
        """Refuse: a template that joins a table as text (`~`) would show it escaped. Markup is printed with {{ }}."""
        raise TypeError("a table is markup and has no text")

    def __html__(self) -> str:
        module: Any = _environment(TEMPLATES).get_template("parts.html.jinja").module
        return str(module.table(self)).strip()


def badge(kind: str, words: str) -> Markup:
    """Return a coloured word: kind is ok, bad or shadow."""
    return Markup('<span class="badge {}">{}</span>').format(kind, words)


def coloured(direction: str) -> Markup:
    """Return BUY, SELL or HOLD in its colour."""
    return Markup('<span class="{}">{}</span>').format(direction, direction)


def render(template: Path, *folders: Path, **values: object) -> str:
    """Return the page of a template file, which may extend and import those beside it, in `folders` and in TEMPLATES.

    Raises jinja2.UndefinedError for a value that the template names and was not given.
    """
    return _environment(template.parent, *folders).get_template(template.name).render(values)


@cache
def _environment(*folders: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
