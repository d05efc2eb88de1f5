"""A Parquet file, judged by its footer and its page headers before a page of it is unpacked.

A page header says how many bytes its page becomes, and Arrow takes that much memory for it: 0.3 MB can ask for a gigabyte. The
footer says the same of whole columns, but a hostile one lies, so every page header is read too (a few bytes each).
Format: https://github.com/apache/parquet-format (PageHeader in parquet.thrift, in Thrift's compact protocol).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from signalbox.limits import (
    MAX_DAY_FOOTER_BYTES,
    MAX_DAY_ROWS,
    MAX_DAY_UNPACKED_BYTES,
    MAX_PAGES,
    MAX_RECORDED_FOOTER_BYTES,
    MAX_RECORDED_ROWS,
    MAX_RECORDED_UNPACKED_BYTES,
)

_MAGIC: Final = b"PAR1"
_TAIL: Final = 8  # the footer's length and the magic
_MAX_HEADER: Final = 64 * 1024  # bytes of a page header: statistics hold two values
_UNPACKED, _PACKED = 2, 3  # fields of a page header
_STRUCT_DEPTH: Final = 4
_MAX_FIELD: Final = 2**15 - 1  # Thrift keeps 16 bits of a field's id: 65538 would be field 2
_INT32: Final = range(-(2**31), 2**31)


class UnfitParquetError(ValueError):
    """A file that declares more than it may, or is no Parquet file."""


@dataclass(frozen=True, slots=True)
class ParquetLimits:
    """What a file may declare."""

    rows: int
    unpacked_bytes: int  # of the columns that are read
    footer_bytes: int


DAY: Final = ParquetLimits(MAX_DAY_ROWS, MAX_DAY_UNPACKED_BYTES, MAX_DAY_FOOTER_BYTES)
RECORDED: Final = ParquetLimits(MAX_RECORDED_ROWS, MAX_RECORDED_UNPACKED_BYTES, MAX_RECORDED_FOOTER_BYTES)


def open_parquet(content: Any, limits: ParquetLimits) -> pq.ParquetFile:
    """Return the opened file, its footer read and judged, its pages not. content: an Arrow buffer of the whole file.

    Raises UnfitParquetError, and what Arrow raises for a footer that is none.
    """
    whole = memoryview(content)
    if len(whole) < len(_MAGIC) + _TAIL or bytes(whole[-len(_MAGIC) :]) != _MAGIC:
        raise UnfitParquetError("expected a whole Parquet file, was cut short or something else")
    footer = int.from_bytes(whole[-_TAIL : -len(_MAGIC)], "little")
    if footer > min(limits.footer_bytes, len(whole) - _TAIL):
        raise UnfitParquetError(f"expected a footer of at most {limits.footer_bytes} bytes, was {footer}")
    file = pq.ParquetFile(
        pa.BufferReader(content),
        thrift_string_size_limit=limits.footer_bytes,
        thrift_container_size_limit=limits.footer_bytes,
    )
    if file.metadata.num_rows > limits.rows:
        raise UnfitParquetError(f"expected at most {limits.rows} rows, was {file.metadata.num_rows}")
    return file


def judge_pages(content: Any, file: pq.ParquetFile, columns: Mapping[str, str], limits: ParquetLimits) -> None:
    """Raise UnfitParquetError if the pages of these columns become more bytes than allowed, or do not lie where they should.

    columns: by name, which physical type each has.
    """
    whole, left, pages = memoryview(content), limits.unpacked_bytes, 0
    rows = sum(file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups))
    if rows != file.metadata.num_rows:
        raise UnfitParquetError(f"expected row groups of {file.metadata.num_rows} rows, was {rows}")
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if group.num_rows == 0:  # its columns lie nowhere, and nothing of them is read
            continue
        for place in range(group.num_columns):
            column = group.column(place)
            if (wanted := columns.get(column.path_in_schema)) is None:
                continue
            if column.physical_type != wanted or column.num_values != group.num_rows:
                raise UnfitParquetError(
                    f"expected {group.num_rows} values of {wanted} in {column.path_in_schema}, "
                    f"was {column.num_values} of {column.physical_type}"
                )
            for unpacked in _pages(whole, column):
                left, pages = left - unpacked, pages + 1
                if left < 0 or pages > MAX_PAGES:
                    raise UnfitParquetError(f"expected at most {limits.unpacked_bytes} bytes unpacked, was more")


def _pages(whole: memoryview, column: Any) -> list[int]:
    """Return how many bytes each page of a column becomes."""
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None and column.dictionary_page_offset > 0:
        start = min(start, column.dictionary_page_offset)
    end = start + column.total_compressed_size
    if not 0 < start <= end <= len(whole):
        raise UnfitParquetError(f"expected {column.path_in_schema} within the file, was {start} to {end}")
    found = []
    place = start
    while place < end:
        sizes, length = _page_header(whole[place : min(end, place + _MAX_HEADER)])
        unpacked, packed = sizes.get(_UNPACKED, -1), sizes.get(_PACKED, -1)
        place += length + packed
        if unpacked < 0 or packed < 0 or place > end:
            raise UnfitParquetError(f"expected whole pages in {column.path_in_schema}, was cut short")
        found.append(unpacked)
    return found


def _page_header(part: memoryview) -> tuple[dict[int, int], int]:
    """Return the whole numbers of a page header by field, and its length."""
    reader = _Thrift(part)
    try:
        return reader.struct(0), reader.place
    except IndexError as error:
        raise UnfitParquetError("expected a page header, was cut short") from error


class _Thrift:
    """Reads the int32 of a struct in Thrift's compact protocol; whatever else is in it is passed over.

    What Arrow could read in another way is refused: an id or a number of more bits than it keeps, and a field that comes twice.
    """

    def __init__(self, part: memoryview) -> None:
        self._part = part
        self.place = 0

    def struct(self, depth: int) -> dict[int, int]:
        """Return the int32 among the fields of a struct. Raises IndexError at the end of the part."""
        if depth > _STRUCT_DEPTH:
            raise UnfitParquetError("expected a page header, was something deeper")
        numbers: dict[int, int] = {}
        seen: set[int] = set()
        field = 0
        while head := self._byte():
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self._zigzag()
            if not 1 <= field <= _MAX_FIELD or field in seen:
                raise UnfitParquetError(f"expected a page header of fields 1 to {_MAX_FIELD}, each once, was one with {field}")
            seen.add(field)
            if kind == 5:  # i32, as the sizes are: Arrow passes over a size of another kind
                numbers[field] = self._int32()
            else:
                self._skip(kind, depth)
        return numbers

    def _skip(self, kind: int, depth: int) -> None:
        if kind in {1, 2}:  # a truth value is in the field's head
            return
        if kind in {4, 6}:  # i16, i64
            self._varint()
        elif kind in {3, 7}:  # byte, double
            self.place += 1 if kind == 3 else 8
        elif kind == 8:  # text
            length = self._varint()
            self.place += length
        elif kind == 12:
            self.struct(depth + 1)
        else:  # a page header has no lists, sets or maps
            raise UnfitParquetError(f"expected a page header, was a field of kind {kind}")

    def _byte(self) -> int:
        byte = self._part[self.place]
        self.place += 1
        return byte

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return number
        raise UnfitParquetError("expected a page header, was a number without end")

    def _int32(self) -> int:
        number = self._zigzag()
        if number not in _INT32:
            raise UnfitParquetError("expected a page header, was a number of more than 32 bits")
        return number

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
