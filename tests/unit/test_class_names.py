"""A class name means one thing in the whole tree: whoever searches for it finds one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("layers", "lambdas", "local", "training", "cdk", "sagemaker", "agents")
LIBRARY = "layers/core/python/signalbox"


def places(folder: str) -> dict[str, list[str]]:
    """Return where each class of a folder is defined, nested ones too."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}")
    return found


def test_each_public_class_has_a_name_of_its_own() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for name, where in places(folder).items():
            found[name] += where
    assert len(found) > 900  # the folders are there
    assert {name: where for name, where in found.items() if len(where) > 1 and not name.startswith("_")} == {}


def test_in_the_library_each_private_class_has_a_name_of_its_own_too() -> None:
    assert {name: where for name, where in places(LIBRARY).items() if len(where) > 1} == {}
