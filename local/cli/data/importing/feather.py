"""Reads Feather files (Arrow IPC). The declared sizes of a record batch are checked before a buffer is unpacked.

A compressed buffer begins with its unpacked length, and Arrow allocates that much. The places of the buffers are in each batch's
metadata, a FlatBuffer. Format: https://arrow.apache.org/docs/format/Columnar.html (Message.fbs, RecordBatch, BodyCompression).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from local.cli.data.importing.files import ImportFileError
from signalbox.limits import MAX_RECORDED_FOOTER_BYTES, MAX_RECORDED_ROWS, MAX_RECORDED_UNPACKED_BYTES

_MAGIC: Final = b"ARROW1"
_RECORD_BATCH: Final = 3  # of the union MessageHeader
_BATCH_ROWS: Final = 200_000  # of a block that is passed on


class FeatherTable:
    """An opened file: the names of its columns, and its record batches."""

    def __init__(self, content: Any) -> None:
        self._content = content
        schema = self._schema = pa.ipc.open_file(pa.BufferReader(content)).schema
        self.names: tuple[str, ...] = tuple(schema.names)
        for one in schema:
            if pa.types.is_dictionary(one.type) or not is_plain(one.type):
                raise ImportFileError(f"column {one.name[:30]!r} is {str(one.type)[:40]}; expected numbers, texts and times")

    def blocks(self, places: Sequence[int]) -> Iterator[list[Any]]:
        """Yield these columns, block by block.

        Raises ImportFileError for a file that declares too much, and Arrow's own errors.
        """
        left, rows = MAX_RECORDED_UNPACKED_BYTES, 0
        for message in _batches(self._content):
            left -= unpacked_bytes(message.metadata.to_pybytes(), message.body)
            if left < 0:
                raise ImportFileError(f"unpacks to more than {MAX_RECORDED_UNPACKED_BYTES // 2**20} MiB; split it")
            batch = pa.ipc.read_record_batch(message, self._schema)  # not by the footer, which may point elsewhere
            batch.validate(full=True)
            rows += batch.num_rows
            if rows > MAX_RECORDED_ROWS:
                raise ImportFileError(f"has more than {MAX_RECORDED_ROWS:,} rows; split it")
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                yield [part.column(place) for place in places]


def is_plain(kind: Any) -> bool:
    """Return whether each row of a column holds its own value. Views do not: 200,000 rows may refer to the same megabyte."""
    return not (pa.types.is_nested(kind) or pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def open_feather(content: Any) -> FeatherTable:
    """Return the table in an Arrow buffer. Raises ImportFileError, and Arrow's own errors for damaged bytes."""
    whole = memoryview(content)
    if bytes(whole[:4]) == b"FEA1":
        raise ImportFileError("is Feather of version 1; write it again with version 2, the default of today's writers")
    if len(whole) < 20 or bytes(whole[:6]) != _MAGIC or bytes(whole[-6:]) != _MAGIC:
        raise ImportFileError("is not a Feather file, or cut short")
    if not 0 < int.from_bytes(whole[-10:-6], "little") < min(MAX_RECORDED_FOOTER_BYTES, len(whole)):
        raise ImportFileError("is a Feather file whose footer is damaged")
    return FeatherTable(content)


def _batches(content: Any) -> Iterator[Any]:
    """Yield the messages of record batches in the order in which they lie."""
    stream = pa.BufferReader(content)
    stream.seek(8)
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type == "record batch":
            yield message


def unpacked_bytes(metadata: bytes, body: Any) -> int:
    """Return how many bytes the buffers of a record batch unpack to. Raises ImportFileError for invalid metadata."""
    try:
        header_type, batch = _record_batch(metadata)
        if header_type != _RECORD_BATCH:
            raise ImportFileError("has a message that is no record batch")
        is_compressed = _field(metadata, batch, 3) is not None
        buffers = _field(metadata, batch, 2)
        if buffers is None:
            return 0
        vector = buffers + _u32(metadata, buffers)
        whole, total = memoryview(body), 0
        for index in range(_u32(metadata, vector)):
            offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * index)
            if offset < 0 or length < 0 or offset + length > len(whole):
                raise ImportFileError("has a buffer outside its record batch")
            stated = (
                int.from_bytes(whole[offset : offset + 8], "little", signed=True) if is_compressed and length >= 8 else length
            )
            total += length if stated == -1 else max(stated, 0)
    except (struct.error, IndexError) as error:
        raise ImportFileError("has a record batch whose metadata is damaged") from error
    return total


def _record_batch(metadata: bytes) -> tuple[int, int]:
    """Return the type of a message's header, and the place of the header's table."""
    root = _u32(metadata, 0)
    kind, header = _field(metadata, root, 1), _field(metadata, root, 2)
    if kind is None or header is None:
        raise ImportFileError("has a message without a header")
    return metadata[kind], header + _u32(metadata, header)


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Return the place of a table's field; None when it has its default."""
    (back,) = struct.unpack_from("<i", metadata, table)
    vtable = table - back
    if vtable < 0:
        raise IndexError("outside the metadata")
    (size,) = struct.unpack_from("<H", metadata, vtable)
    place = 4 + 2 * number
    if place + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, vtable + place)
    return table + offset if offset else None


def _u32(metadata: bytes, place: int) -> int:
    (found,) = struct.unpack_from("<I", metadata, place)
    return int(found)
