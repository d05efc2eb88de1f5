"""Texts of a language: TOML tables whose entries are found by `table.key`, with named fields for plain values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from types import MappingProxyType

from signalbox.errors import SignalboxError


class CatalogueError(SignalboxError):
    """A text is missing, or it was given other fields than it names: a bug, which the tests of the catalogue find."""


def texts_in_file(path: Path) -> Mapping[str, str]:
    """Return the texts of a file by `table.key`."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    return MappingProxyType({f"{table}.{key}": text for table, entries in tables.items() for key, text in entries.items()})


def fields_of(text: str) -> frozenset[str]:
    """Return the fields that a text names."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def require_fields(place: str, text: str, given: Mapping[str, str]) -> None:
    """Raise CatalogueError unless exactly the fields of a text are given."""
    if fields_of(text) != given.keys():
        raise CatalogueError(f"{place}: expected the fields {sorted(fields_of(text))}, got {sorted(given)}")
