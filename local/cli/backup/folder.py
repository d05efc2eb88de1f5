"""The files of a dump in a folder of this machine. Each is written under a temporary name and then renamed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from signalbox.backup.errors import DumpStorageError
from signalbox.limits import MAX_DUMP_FILE_BYTES


class FolderDumpStore:
    """`signalbox.backup.store.DumpStore` on a folder that only its owner may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return str(self.folder)

    def put(self, file: str, content: bytes) -> None:
        path = self.folder / file
        unfinished = path.with_name(f".{file}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with unfinished.open("wb") as out:
                unfinished.chmod(0o600)
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise DumpStorageError(
                f"cannot write {path}: {error.strerror}; the dump is incomplete; make room and repeat the command"
            ) from error

    def get(self, file: str) -> bytes | None:
        path = self.folder / file
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a device has no end, and a pipe waits for whoever writes
                raise DumpStorageError(f"{path} is not a file")
            if found.st_size > MAX_DUMP_FILE_BYTES:
                raise DumpStorageError(f"{path}: expected at most {MAX_DUMP_FILE_BYTES} bytes, got {found.st_size}")
            with path.open("rb") as content:
                return content.read(found.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DumpStorageError(f"cannot read {path}: {error.strerror}") from error
