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
            file = LIBRARY.joinpath(*name.split(".")).with_suffix(".py")
            if name.startswith("signalbox.") and name not in found and file.is_file():
                found.add(name)
                files.append(file)
    packages = {str(parent).replace("/", ".") for name in found for parent in PurePosixPath(name.replace(".", "/")).parents}
    return sorted(found | {f"{package}.__init__" for package in packages - {"."}})


setup(py_modules=library_modules())
