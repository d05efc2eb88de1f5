"""The computation of a feature as a digest: two expressions have the same digest exactly when they are the same tree.

A node's digest covers its kind and its fields in order; an input node counts by its own digest, so a node that several features
share is digested once. Numbers count by their float64 value, whether written 1 or 1.0. How a kind of node computes its values is
not covered: the golden vectors of the schemas pin that (tests/unit/features).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from signalbox.features.nodes import Node


def digests(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Return the hex sha256 of each expression. Raises TypeError for a node with a field that has no canonical form."""
    known: dict[Node, str] = {}
    return tuple(_digest(node, known) for node in nodes)


def _digest(node: Node, known: dict[Node, str]) -> str:
    if node not in known:
        if not is_dataclass(node):
            raise TypeError(f"expected a dataclass as a node of an expression, got a {type(node).__name__}")
        facts = [type(node).__name__, *([field.name, _canonical(getattr(node, field.name), known)] for field in fields(node))]
        known[node] = hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()
    return known[node]


def _canonical(value: Any, known: dict[Node, str]) -> Any:
    match value:
        case Node():
            return {"node": _digest(value, known)}
        case str():
            return value
        case bool():
            raise TypeError(f"expected a node, a number or a text in an expression, got the boolean {value}")
        case int() | float():
            return {"number": float(value).hex()}
        case tuple():
            return [_canonical(one, known) for one in value]
        case _:
            raise TypeError(f"expected a node, a number or a text in an expression, got a {type(value).__name__}")
