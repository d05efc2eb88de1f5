"""Cuts the text of a table into compressed parts, and verifies a part while it is read back. Both need bounded memory only."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from signalbox.backup.errors import DumpDamagedError
from signalbox.backup.manifest import DumpPart, part_name

PART_BYTES: Final = 16 * 1024 * 1024  # of text; a part is closed at the first row that passes it
_PIECE: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6


class PartWriter:
    """Collects rows of a table, and passes on each part when it is full."""

    def __init__(self, table: str, put: Callable[[str, bytes], None], *, part_bytes: int = PART_BYTES) -> None:
        self._table, self._put, self._most = table, put, part_bytes
        self._whole = hashlib.sha256()
        self._parts: list[DumpPart] = []
        self._begin()

    def add(self, rows: bytes) -> None:
        """Add complete rows. Each ends with a line break and contains no other."""
        self._whole.update(rows)
        self._digest.update(rows)
        self._packed += self._gzip.compress(rows)
        self._bytes += len(rows)
        self._rows += rows.count(b"\n")
        if self._bytes >= self._most:
            self._end()

    def finish(self) -> tuple[tuple[DumpPart, ...], int, str]:
        """Return the parts, with the number of rows and the sha256 of all of them together."""
        if self._bytes:
            self._end()
        return tuple(self._parts), sum(part.rows for part in self._parts), self._whole.hexdigest()

    def _begin(self) -> None:
        self._digest, self._gzip = hashlib.sha256(), zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._packed, self._bytes, self._rows = bytearray(), 0, 0

    def _end(self) -> None:
        self._packed += self._gzip.flush()
        file = part_name(self._table, len(self._parts))
        self._put(file, bytes(self._packed))
        self._parts.append(DumpPart(file=file, rows=self._rows, bytes=self._bytes, sha256=self._digest.hexdigest()))
        self._begin()


def in_pieces(rows: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Yield rows joined into larger pieces, because hashing and compressing each row on its own is slow."""
    piece = bytearray()
    for row in rows:
        piece += row
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def text_of(content: bytes, part: DumpPart, place: str) -> Iterator[bytes]:
    """Yield the text of a part in pieces.

    Raises DumpDamagedError at the first sign that it is not what the manifest says, at the latest after the last piece: whoever
    uses the pieces must be able to undo that. A part never becomes longer than the manifest says.
    """
    unpacker, digest = zlib.decompressobj(_GZIP), hashlib.sha256()
    left, rows, packed = part.bytes, 0, content
    is_whole = False
    while not is_whole:
        try:
            piece = unpacker.decompress(packed, _PIECE)
        except zlib.error as error:
            raise DumpDamagedError(f"{place}: {part.file} cannot be unpacked: {error}") from None
        is_whole = unpacker.eof
        if not piece and not is_whole and not unpacker.unconsumed_tail:
            raise DumpDamagedError(f"{place}: {part.file} is cut short: {part.bytes - left} of {part.bytes} bytes are there")
        packed = unpacker.unconsumed_tail
        left -= len(piece)
        if left < 0:
            raise DumpDamagedError(f"{place}: {part.file} is longer than the {part.bytes} bytes of the manifest")
        digest.update(piece)
        rows += piece.count(b"\n")
        if piece:
            yield piece
    if left or rows != part.rows:
        raise DumpDamagedError(
            f"{place}: {part.file}: expected {part.rows} rows in {part.bytes} bytes, got {rows} in {part.bytes - left}"
        )
    if digest.hexdigest() != part.sha256:
        raise DumpDamagedError(f"{place}: {part.file}: expected sha256 {part.sha256}, got {digest.hexdigest()}")
    if unpacker.unused_data:
        raise DumpDamagedError(f"{place}: {part.file} has {len(unpacker.unused_data)} bytes after its end")
