"""Array literals as PostgreSQL writes them, `{"a","b"}` or `{1.50,NULL}`, so that a column of values is one parameter.

The driver's own lists are escaped value by value in Python, which costs several times as much as the statement itself.
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
    joined = "\n".join(texts)  # searches all of them at once
    if '"' in joined or "\\" in joined:
        texts = [_escaped(text) for text in texts]
    return '{"' + '","'.join(texts) + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def value_array(values: Sequence[object]) -> str:
    """Return an array literal of numbers, instants, dates or booleans, none of which needs quotes."""
    try:
        return "{" + ",".join(cast("Sequence[str]", values)) + "}"
    except TypeError:  # a value is None or not text yet
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
