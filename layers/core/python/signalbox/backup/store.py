"""Where the files of one dump are. The adapters are folders and prefixes of a bucket."""

from __future__ import annotations

from typing import Protocol


class DumpStore(Protocol):
    """The files of one dump, each of a bounded size."""

    @property
    def name(self) -> str:
        """How messages call the dump: a path, or `s3://bucket/prefix`."""

    def put(self, file: str, content: bytes) -> None:
        """Write a file whole or not at all. Raises DumpStorageError."""

    def get(self, file: str) -> bytes | None:
        """Return a file, None when it is absent. Raises DumpStorageError."""
