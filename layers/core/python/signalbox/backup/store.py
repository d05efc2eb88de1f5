"""The port to the files of one dump. Its adapters are a folder and a prefix of a bucket."""

from __future__ import annotations

from typing import Protocol


class DumpStore(Protocol):
    """The files of one dump, each of a bounded size."""

    @property
    def name(self) -> str:
        """The place of the dump for messages: a path, or `s3://bucket/prefix`."""

    def put(self, file: str, content: bytes) -> None:
        """Write a file atomically. Raises DumpStorageError."""

    def get(self, file: str) -> bytes | None:
        """Return the content of a file, None if there is no such file. Raises DumpStorageError."""
