"""Semantic numbers of versions: MAJOR.MINOR.PATCH. They say what changed; the plain number only says in which order.

MAJOR: another feature schema, so that whoever feeds the model has to change. MINOR: other training data. PATCH: both the same,
fitted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST: Final = "1.0.0"


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What a version was made from: the hash of its feature schema and of its training data."""

    schema: str
    data: str


def next_semantic(previous: str | None, before: MadeFrom | None, now: MadeFrom) -> str:
    """Return the number after `previous`. before: None if what that one was made from is unknown, which is a MAJOR step."""
    if previous is None:
        return FIRST
    major, minor, patch = (int(part) for part in previous.split("."))
    if before is None or before.schema != now.schema:
        return f"{major + 1}.0.0"
    if before.data != now.data:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"
