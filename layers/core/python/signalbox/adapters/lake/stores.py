"""Storage of the lake's files: a folder (here) or a bucket (`s3.py`). A write is atomic."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from signalbox.errors import SignalboxError
from signalbox.limits import MAX_LAKE_FILE_BYTES

_PART: Final = ".part"


class LakeStorageError(SignalboxError):
    """The folder or bucket refused to read or write a file. The message says what to do."""


class LakeStore(Protocol):
    """Files by their path in the lake, whose parts are separated by `/`."""

    @property
    def name(self) -> str:
        """The store's location, for display."""

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if there is no such file. Raises LakeStorageError."""

    def write(self, path: str, content: bytes) -> None:
        """Replace a file atomically. Raises LakeStorageError."""

    def paths(self, prefix: str) -> list[str]:
        """Return the paths of all files below a folder, sorted. prefix: ends with `/`. Raises LakeStorageError."""

    def set_aside(self, path: str, content: bytes, to: str) -> None:
        """Move a bad file to another path, or copy it where nothing may be removed. Raises LakeStorageError."""


def require_size(path: str, size: int) -> None:
    """Raise LakeStorageError for a file that is too large for the lake. Such a file is not read, not even to set it aside."""
    if size > MAX_LAKE_FILE_BYTES:
        raise LakeStorageError(f"{path}: expected at most {MAX_LAKE_FILE_BYTES} bytes, got {size}; move it out of the lake")


class FolderStore:
    """LakeStore in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes | None:
        with _explained("read", self._root / path):
            try:
                require_size(path, (self._root / path).stat().st_size)
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes) -> None:
        target = self._root / path
        with _explained("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(target)
            # a name that readers ignore, in the same folder so that the rename stays on one disk
            fresh = target.with_name(f".{target.name}.{os.getpid()}{_PART}")
            try:
                with fresh.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                fresh.replace(target)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise

    def paths(self, prefix: str) -> list[str]:
        top = self._root / prefix
        with _explained("read", top):
            found = (Path(folder, name) for folder, _, names in os.walk(top, onerror=_raise) for name in names)
            return sorted(path.relative_to(self._root).as_posix() for path in found if not path.name.startswith("."))

    def set_aside(self, path: str, content: bytes, to: str) -> None:  # noqa: ARG002 - the file itself is moved
        source, target = self._root / path, self._root / to
        with _explained("move", source):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _remove_left_over(target: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote this file."""
    for part in target.parent.glob(f".{target.name}.*{_PART}"):
        writer = part.name.removesuffix(_PART).rpartition(".")[2]
        if not (writer.isdecimal() and _is_alive(int(writer))):
            part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _explained(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: "the disk is full; make room and run the same command again",
            errno.EDQUOT: "the quota is used up; make room and run the same command again",
            errno.EACCES: "permission denied; choose a folder of yours",
            errno.EPERM: "permission denied; choose a folder of yours",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.ENOTDIR: "a part of the path is a file; choose another folder",
        }
        raise LakeStorageError(f"cannot {what} {path}: {hints.get(error.errno or 0, error.strerror or str(error))}") from error
