"""Packs a job's code as SageMaker's tools expect it: one sourcedir.tar.gz. Equal sources give equal bytes.

The top level has the entry points and requirements.txt, the packages `signalbox` and `training`, and optionally a folder
`wheels`. The archive holds no bundle and no candles. trees.py decides which build of XGBoost it asks for.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.cli.jobs.trees import check_trees, with_cuda_trees
from local.errors import WorkbenchError

REQUIREMENTS: Final = "requirements.txt"
PROGRAMS: Final = ("train.py", "evaluate.py", "features.py", REQUIREMENTS)
WHEELS: Final = "wheels"
_SOURCES: Final = frozenset({".py", ".toml", ".typed", ".sql", ".jinja", ".css"})


@dataclass(frozen=True, slots=True)
class CodePackage:
    """The archive, and the names of its files."""

    content: bytes
    files: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def package_code(repository: Path, wheels: Path | None = None, *, cuda_trees: bool = False) -> CodePackage:
    """Return the archive. cuda_trees: require XGBoost built for CUDA.

    Raises WorkbenchError if an entry point is missing, or if the folder of wheels lacks what XGBoost needs.
    """
    entries = dict(_entries(repository))
    requirements = entries[REQUIREMENTS].read_text(encoding="utf-8")
    if cuda_trees:
        requirements = with_cuda_trees(requirements, repository)
    if wheels is not None:
        found = {f"{WHEELS}/{path.name}": path for path in sorted(wheels.glob("*.whl"))}
        if not found:
            raise WorkbenchError(f"no wheels (*.whl) in {wheels}; docs/training-jobs.md says how to fetch them")
        check_trees(wheels, list(found.values()), requirements)
        entries |= found
    buffer = io.BytesIO()
    # the gzip header and the entries hold no time, owner or mode of this machine
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in sorted(entries.items()):
            content = requirements.encode() if name == REQUIREMENTS else path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return CodePackage(buffer.getvalue(), tuple(sorted(entries)))


def _entries(repository: Path) -> Iterator[tuple[str, Path]]:
    for program in PROGRAMS:
        path = repository / "sagemaker" / program
        if not path.is_file():
            raise WorkbenchError(f"no file {path}, which is an entry point of the jobs")
        yield program, path
    for package, folder in (
        ("signalbox", repository / "layers" / "core" / "python" / "signalbox"),
        ("training", repository / "training"),
    ):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in _SOURCES and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder).as_posix()}", path
