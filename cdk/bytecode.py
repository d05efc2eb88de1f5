"""Compiles what a layer holds for Lambda's Python, where the machine that synthesises has that interpreter.

Reading bytecode takes half of the time of compiling (docs/performance.md), and `/opt` is read-only, so a function would compile
at every cold start. Bytecode is of one Python version: without it a layer has none, and functions start slower.
It is not compared with the source's time or content when it is read: a layer never changes, and a zip loses the times.
Decision: docs/decisions/0097-bytecode-is-of-the-builders-python.md.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdk.sources import digest
from cdk.stage import PYTHON_VERSION

MOUNTED: Final = "/opt"  # where Lambda puts a layer: tracebacks name the files there
CACHED: Final = "__pycache__"
_VERSION: Final = re.compile(r"cpython (\d+\.\d+)\.\d+\S*")
_ASK: Final = "import sys, platform; print(sys.implementation.name, platform.python_version())"


class BytecodeError(RuntimeError):
    """The interpreter was there and did not compile a layer."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """An interpreter that makes bytecode for Lambda; `version` as it states it."""

    path: Path
    version: str


def find_compiler(version: str = PYTHON_VERSION) -> Compiler | None:
    """Return the CPython of that version on the path, or None."""
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    asked = subprocess.run([found, "-I", "-c", _ASK], capture_output=True, text=True, check=False)  # noqa: S603 - built above
    stated = asked.stdout.strip()
    match = _VERSION.fullmatch(stated)
    return Compiler(Path(found), stated) if match and match[1] == version else None


def own_compiler() -> Compiler:
    """Return the interpreter that runs this: on the local cloud it runs the functions too."""
    return Compiler(Path(sys.executable), f"{sys.implementation.name} {platform.python_version()}")


def missing_compiler(version: str = PYTHON_VERSION) -> str | None:
    """Return what follows from a machine without that Python, for whoever deploys; None if it is there."""
    if find_compiler(version) is not None:
        return None
    return f"no python{version} on the path: the layers have no bytecode, and functions start cold in about twice the time"


def compile_parts(name: str, parts: Sequence[Path], compiler: Compiler, cache: Path) -> Path:
    """Return a folder with the bytecode of a layer's folders and nothing else, made once. Raises BytecodeError."""
    key = hashlib.sha256(f"{compiler.version} {digest(*parts)} {Path(__file__).read_text(encoding='utf-8')}".encode()).hexdigest()
    finished = cache / f"{name}-bytecode-{key[:24]}"
    if finished.exists():
        return finished
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-compiling-") as work:
        whole, bytecode = Path(work) / "whole", Path(work) / "bytecode"
        for part in parts:
            shutil.copytree(part, whole, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CACHED))
        command = [str(compiler.path), "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", str(whole), "-p", MOUNTED, str(whole / "python")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - built above
        # a file that this Python cannot read is no fault of the layer's: packages ship templates and code for other versions
        made = sorted(whole.rglob(f"{CACHED}/*.pyc"))
        if not made:
            raise BytecodeError(f"{compiler.path} compiled nothing of layer {name}: {(done.stdout + done.stderr)[-500:]}")
        for path in made:
            target = bytecode / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        try:
            bytecode.rename(finished)
        except OSError:  # another synth finished it first
            if not finished.exists():
                raise
    return finished


def size_of(folder: Path) -> int:
    """Return the bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
