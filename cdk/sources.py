"""The paths of everything the app ships, all derived from one root. An error about a missing part says how to make it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from signalbox.contracts import Function

REPOSITORY = Path(__file__).resolve().parent.parent


CERTIFICATES = Path("adapters") / "postgres" / "certificates"  # below the library: a file of RDS's authorities a region


class SourceMissingError(FileNotFoundError):
    """A file or folder that the templates ship is not in the source tree."""


def _existing(path: Path, made_by: str) -> Path:
    if not path.exists():
        raise SourceMissingError(f"{path} is missing: {made_by}")
    return path


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a source folder in a fixed order, without the interpreter's cache files."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def digest(*folders: Path) -> str:
    """Return a hash over the names and contents of the files of `folders`."""
    found = hashlib.sha256()
    for folder in folders:
        for path in source_files(folder):
            found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The parts of the repository that the templates use."""

    root: Path = REPOSITORY

    @property
    def layer_cache(self) -> Path:
        return self.root / ".signalbox" / "layers"

    @property
    def library(self) -> Path:
        return _existing(self.root / "layers" / "core" / "python" / "signalbox", "the signalbox library")

    @property
    def starter_bundle(self) -> Path:
        folder = self.root / "training" / "starter_bundle"
        _existing(
            folder / "manifest.json", "the starter bundle, written by `signalbox train --quick --out training/starter_bundle`"
        )
        return folder

    @property
    def database_certificates(self) -> Path:
        """The folder with RDS's certificate authorities by region, inside the library and so in the core layer."""
        return _existing(self.library / CERTIFICATES, "RDS's certificate authorities, a file for each region")

    def lock(self, layer: str) -> Path:
        return _existing(self.root / "layers" / layer / "requirements.txt", "the layer's lock, see layers/README.md")

    def handler(self, function: Function) -> Path:
        folder = self.root / "lambdas" / function.value
        _existing(folder / "handler.py", f"the handler of {function}")
        return folder

    def migrations_hash(self) -> str:
        """Return a hash that changes when the schema's migrations do."""
        return digest(_existing(self.library / "adapters" / "postgres" / "migrations", "the migrations of the ledger"))
