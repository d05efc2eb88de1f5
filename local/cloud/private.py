"""Keeps the state private to its owner: folders 0700, files 0600. It contains secrets, ledgers and the code of functions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

UMASK: Final = 0o077
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def private_files() -> Iterator[None]:
    """Make everything that this process and its children create inside the block private to their owner."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(folder: Path) -> Path:
    """Create a folder if it is absent, readable by its owner only; that also protects everything in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close(folder)
    return folder


def tighten(folder: Path) -> None:
    """Make a folder and everything below it private, including what an earlier version left there. Links are not followed."""
    private_folder(folder)
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _close(Path(path, name))


def _close(path: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or another user's: then it is theirs to close
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & OTHERS:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
