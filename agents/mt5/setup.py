"""Builds the wheel with exactly the library modules that the agent imports, directly or indirectly.

Agent and library therefore always have the same version, and the Windows machine needs no repository.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from setuptools import setup

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "layers" / "core" / "python"


def imported(file: Path) -> Iterator[str]:
    """Yield the library names that a file imports: modules, and names imported from them, which may be modules too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def library_modules() -> list[str]:
    """Return the library modules that the agent needs, and the packages that contain them."""
    found: set[str] = set()
    files = sorted((HERE / "signalbox_mt5").glob("*.py"))
    while files:
        for name in imported(files.pop()):
            for module in (name, *initialisers(name)):  # importing a module runs its packages
                file = LIBRARY.joinpath(*module.split(".")).with_suffix(".py")
                if module.startswith("signalbox.") and module not in found and file.is_file():
                    found.add(module)
                    files.append(file)
    return sorted(found)


def initialisers(module: str) -> Iterator[str]:
    """Yield the `__init__` modules of the packages that contain a module, and its own if it is a package."""
    path = PurePosixPath(module.replace(".", "/"))
    for package in (path, *path.parents[:-1]):
        yield f"{package}/__init__".replace("/", ".")


setup(py_modules=library_modules())
