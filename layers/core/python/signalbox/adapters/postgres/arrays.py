"""Arrays as PostgreSQL writes them down: `{"a","b"}`, `{1.50,NULL}`. One parameter however many values, and one join to make it.

The driver's own lists are walked and searched for characters to escape value by value, in Python: several times the work of the
statement that takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast


def text_array(values: Sequence[object]) -> str:
    """Return an array literal of texts."""
    if not values:
        return "{}"
    if None in values:
        return "{" + ",".join("NULL" if value is None else f'"{_escaped(str(value))}"' for value in values) + "}"
    texts = cast("Sequence[str]", values)
    joined = "\n".join(texts)  # one search of all of them
    if '"' in joined or "\\" in joined:
        texts = [_escaped(text) for text in texts]
    return '{"' + '","'.join(texts) + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def value_array(values: Sequence[object]) -> str:
    """Return an array literal of numbers, instants, dates or truth values: no text of theirs has a character to be quoted."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    return "{" + ",".join(map(str, values)) + "}"
