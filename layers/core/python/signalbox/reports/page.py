"""The layout and style of all reports: one self-contained page of cards, tables and inline pictures.

It loads nothing from elsewhere.

Pages are templates. Every value is escaped, except those whose type marks them as markup: `Table` and `Markup`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from typing_extensions import override

TEMPLATES: Final = Path(__file__).with_name("templates")


class Table:
    """A table of plain values or markup. Columns in `numeric` are right-aligned. A table without rows is false and empty.

    left_out: how many earlier rows are not shown. A table of two columns without names is a list of facts.
    """

    def __init__(
        self, head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Collection[int] = (), left_out: int = 0
    ) -> None:
        self.head, self.rows, self.numeric, self.left_out = tuple(head), tuple(rows), numeric, left_out
        if bad := next((row for row in self.rows if len(row) != len(self.head)), None):
            raise ValueError(f"expected a row of {len(self.head)} cells, got {bad!r}")

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def is_facts(self) -> bool:
        """Whether it is a list of names and values, which stays a list on a narrow page."""
        return len(self.head) <= 2

    @override
    def __str__(self) -> str:
        """Raise TypeError: a template that joins a table as text (`~`) would show escaped markup. Print it with {{ }}."""
        raise TypeError("a table is markup and cannot be used as text; print it with {{ }}")

    def __html__(self) -> str:
        module: Any = _environment(TEMPLATES).get_template("parts.html.jinja").module
        return str(module.table(self)).strip()


def badge(kind: str, words: str) -> Markup:
    """Return a coloured label. kind: ok, bad or shadow."""
    return Markup('<span class="badge {}">{}</span>').format(kind, words)


def gain_or_loss(amount: Decimal | float, shown: str) -> Markup:
    """Return a figure in the colour of its sign; zero has none."""
    kind = "gain" if amount > 0 else "loss" if amount < 0 else ""
    return Markup('<span class="{}">{}</span>').format(kind, shown)


def coloured(direction: str) -> Markup:
    """Return BUY, SELL or HOLD in its colour."""
    return Markup('<span class="{}">{}</span>').format(direction, direction)


def render(template: Path, *folders: Path, **values: object) -> str:
    """Return the page of a template, which may extend and import templates beside it, in `folders` and in TEMPLATES.

    Raises jinja2.UndefinedError for a value that the template uses and that was not given.
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
