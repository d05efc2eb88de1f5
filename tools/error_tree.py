"""Writes docs/errors.md: every error of the project as one tree, read from the source. Run `make docs`; a test checks it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = REPOSITORY / "docs" / "errors.md"
ROOT: Final = "SignalboxError"
PACKAGES: Final = {
    "signalbox": "layers/core/python/signalbox",
    "lambdas": "lambdas",
    "training": "training",
    "sagemaker": "sagemaker",
    "local": "local",
    "cdk": "cdk",
    "signalbox_mt5": "agents/mt5/signalbox_mt5",
}
_HEAD: Final = """\
# Errors

Generated from the source by `make docs`; do not edit.

An error is a bug or bad data. A refused order is neither: it is an answer ([style](style.md#r3)). Everything that the project
raises on purpose is a `SignalboxError`, so that the command can print one line and a handler can tell it from an unexpected
error. Names that begin with an underscore are private to their module and left out.
"""
_OTHERS: Final = """\
## Others

These are raised where no code has to tell them from Python's own errors: a handler counts them, or a deployment stops.
"""


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """An error class: its name, base classes, module, and the first line of its docstring."""

    name: str
    bases: tuple[str, ...]
    module: str
    summary: str


def error_classes(packages: Mapping[str, str] = PACKAGES) -> dict[str, ErrorClass]:
    """Return every public exception class by name. Raises ValueError if two have the same name."""
    classes: dict[str, ErrorClass] = {}
    for one in _classes(packages):
        if one.name in classes:
            raise ValueError(f"expected one class {one.name}, but {classes[one.name].module} and {one.module} both have it")
        classes[one.name] = one
    raised = {"Exception", "ValueError", "RuntimeError", "TypeError", "OSError", "LookupError"}
    while found := {name for name, one in classes.items() if name not in raised and raised & set(one.bases)}:
        raised |= found
    return {name: one for name, one in classes.items() if name in raised}


def _classes(packages: Mapping[str, str]) -> Iterator[ErrorClass]:
    """Yield the public classes whose name ends in Error."""
    for package, folder in packages.items():
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            inner = path.relative_to(REPOSITORY / folder).with_suffix("").parts
            module = ".".join((package, *(part for part in inner if part != "__init__")))
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and not node.name.startswith("_"):
                    summary = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                    bases = tuple(ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases)
                    yield ErrorClass(node.name, bases, module, summary)


def render() -> str:
    """Return the page."""
    classes = error_classes()
    children: dict[str, list[str]] = defaultdict(list)
    for one in classes.values():
        for base in one.bases:
            children[base].append(one.name)
    roots = sorted(children[ROOT], key=lambda name: classes[name].module)
    parts = [_HEAD, f"## SignalboxError\n\n{classes[ROOT].summary} It has {len(roots)} branches, by module:\n"]
    parts += ["\n".join(line for root in roots for line in _branch(root, classes, children, 0)) + "\n"]
    below = _below(ROOT, children)
    outside = sorted((one for name, one in classes.items() if name not in below), key=lambda one: one.module)
    parts.append(_OTHERS)
    parts.append("\n".join(_line(one, 0) for one in outside) + "\n")
    return "\n".join(parts)


def _branch(name: str, classes: Mapping[str, ErrorClass], children: Mapping[str, list[str]], depth: int) -> Iterator[str]:
    yield _line(classes[name], depth)
    for child in sorted(children.get(name, ())):
        yield from _branch(child, classes, children, depth + 1)


def _below(name: str, children: Mapping[str, list[str]]) -> set[str]:
    return {name}.union(*(_below(child, children) for child in children.get(name, ())))


def _line(one: ErrorClass, depth: int) -> str:
    return f"{'  ' * depth}* `{one.name}` (`{one.module}`): {one.summary}".rstrip(": ")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
