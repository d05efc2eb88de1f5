"""Builds the content of a layer without Docker: pip fetches the wheels of the Lambda platform, and unused parts are removed.

The result is cached under `.signalbox/layers/`, named by a hash of the lock, the Python version and this file, so that a second
synthesis needs no network. No dependency is resolved here: the lock is complete, for exactly one platform, and hash-checked.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdk.bytecode import Compiler, compile_parts, size_of
from cdk.sources import SourceTree, digest, source_files
from cdk.stage import PYTHON_VERSION

PLATFORMS: Final = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")  # what Amazon Linux 2023 (glibc 2.34) runs
VENUES: Final = frozenset(  # the ccxt exchanges that stay: those of docs/venues.md, and of docs/alternative-data.md
    {
        "binance", "binanceus", "binanceusdm", "bitget", "bybit", "coinbase", "coinbaseexchange", "gate", "htx", "kraken",
        "kucoin", "okx",
    }
)  # fmt: skip
_UNUSED: Final = ("bin", "**/tests", "**/__pycache__", "**/*.pyi", "**/*.pyx", "**/*.pxd")
_UNUSED_ARROW: Final = (  # a function reads and writes Parquet in memory: no services, no other file formats, no clouds
    "include",
    "src",
    "*flight*",
    "_substrait*",  # its library is linked to by the rest
    "*orc*",
    "*gandiva*",
    "*encryption*",
    "*s3fs*",
    "libarrow_s3*",
    "*gcsfs*",
    "*azurefs*",
    "*hdfs*",
    "libarrow_python.so",  # copies of libarrow_python.so.MAJOR
    "libarrow_python.so.*.*.*",
)
_UNUSED_CCXT: Final = ("async_support", "pro", "prediction", "protobuf", "test")
_UNREACHABLE: Final = re.compile(r"NewConnectionError|ConnectTimeoutError|NameResolutionError|ProxyError|Connection refused")
_VENUE_IMPORT: Final = re.compile(r"from ccxt\.([a-z0-9]+) import \1\b.*")
_VENUE_NAME: Final = re.compile(r"    '([a-z0-9]+)',")


class LayerBuildError(RuntimeError):
    """pip could not fetch or verify the wheels of a layer; its last lines, in the message, say why."""


class IndexUnreachableError(LayerBuildError):
    """No package index can be reached, and the layer is not in the cache."""


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """The folders that make up a layer, a hash of their content, and their size. bytecode: of all of them, if it was made."""

    parts: tuple[Path, ...]
    digest: str
    unzipped_bytes: int
    bytecode: Path | None = None

    def copy_to(self, folder: Path) -> None:
        """Write the layer as it is deployed."""
        for part in self.parts:
            shutil.copytree(part, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        if self.bytecode is not None:
            shutil.copytree(self.bytecode, folder, dirs_exist_ok=True)


def build_layer(name: str, sources: SourceTree, *, with_dependencies: bool, compiler: Compiler | None = None) -> BuiltLayer:
    """Return the layer: its folder in `layers/`, the packages of its lock if requested, and bytecode if there is a compiler."""
    lock = sources.lock(name)
    parts = [lock.parent]
    if with_dependencies:
        parts.append(_dependencies(name, lock, sources.layer_cache))
    has_code = any(path.suffix == ".py" for part in parts for path in source_files(part))
    bytecode = compile_parts(name, parts, compiler, sources.layer_cache) if compiler and has_code else None
    made_of = (
        f"{digest(lock.parent)} {_key(lock) if with_dependencies else 'none'} {compiler.version if bytecode and compiler else ''}"
    )
    size = sum(path.stat().st_size for part in parts for path in source_files(part)) + (size_of(bytecode) if bytecode else 0)
    return BuiltLayer(tuple(parts), hashlib.sha256(made_of.encode()).hexdigest(), size, bytecode)


def _key(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes() + PYTHON_VERSION.encode() + Path(__file__).read_bytes()).hexdigest()[:24]


def _dependencies(name: str, lock: Path, cache: Path) -> Path:
    finished = cache / f"{name}-{_key(lock)}"
    if finished.exists():
        return finished
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-building-") as building:
        target = Path(building) / "layer" / "python"
        _install(lock, target)
        strip_packages(target)
        try:
            target.parent.rename(finished)
        except OSError:  # another synth finished it first
            if not finished.exists():
                raise
    return finished


def _install(lock: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    command += ["--require-hashes", "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON_VERSION}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    # pip would compare the wheels' Requires-Python with the interpreter it runs in; the lock has been resolved for ours
    command += ["--ignore-requires-python", f"--target={target}", f"--requirement={lock}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - built above
    if done.returncode != 0:
        kind = IndexUnreachableError if _UNREACHABLE.search(done.stderr) else LayerBuildError
        raise kind(f"pip cannot install {lock}: {' | '.join(done.stderr.strip().splitlines()[-5:])}")


def _remove(paths: Iterable[Path]) -> None:
    for path in sorted(paths, reverse=True):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()


def strip_packages(target: Path) -> None:
    """Remove from a folder of installed packages what no function uses."""
    for pattern in _UNUSED:
        _remove(target.glob(pattern))
    for pattern in _UNUSED_ARROW:
        _remove((target / "pyarrow").glob(pattern))
    ccxt = target / "ccxt"
    if ccxt.exists():
        _keep_venues(ccxt)


def _keep_venues(ccxt: Path) -> None:
    """Drop every exchange but VENUES, from the package and from its `__init__`, so that `import ccxt` still works."""
    init = ccxt / "__init__.py"
    kept: list[str] = []
    dropped: set[str] = set()
    for line in init.read_text(encoding="utf-8").splitlines():
        found = _VENUE_IMPORT.fullmatch(line)
        if found and found[1] not in VENUES:
            dropped.add(found[1])
            continue
        listed = _VENUE_NAME.fullmatch(line)
        if not (listed and listed[1] in dropped):
            kept.append(line)
    init.write_text("\n".join(kept) + "\n", encoding="utf-8")
    _remove(ccxt / f"{name}.py" for name in dropped)
    _remove(ccxt / "abstract" / f"{name}.py" for name in dropped)
    _remove(ccxt / name for name in _UNUSED_CCXT)
