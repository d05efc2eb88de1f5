"""A Parquet file, judged by its footer and its page headers before a page of it is unpacked.

A page header says how many bytes its page becomes, and Arrow takes that much memory for it: 0.3 MB can ask for a gigabyte. The
footer says the same of whole columns, but a hostile one lies, so every page header is read too (a few bytes each).
Format: https://github.com/apache/parquet-format (PageHeader in parquet.thrift, in Thrift's compact protocol).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from signalbox.adapters.lake.thrift import STRUCT, ThriftReader, UnfitParquetError
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
_REQUIRED, _OPTIONAL, _REPEATED = 0, 1, 2  # of a column
_BYTE_ARRAY: Final = 6  # physical type


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
    try:
        _judge_footer(ThriftReader(whole[-_TAIL - footer : -_TAIL], "a footer"))
    except IndexError as error:
        raise UnfitParquetError("expected a whole footer, was cut short") from error
    file = pq.ParquetFile(
        pa.BufferReader(content),
        thrift_string_size_limit=limits.footer_bytes,
        thrift_container_size_limit=limits.footer_bytes,
    )
    if file.metadata.num_rows > limits.rows:
        raise UnfitParquetError(f"expected at most {limits.rows} rows, was {file.metadata.num_rows}")
    return file


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column of the schema: how many levels its values have, and its physical type."""

    definitions: int
    repetitions: int
    physical: int


def _judge_footer(reader: ThriftReader) -> None:
    """Raise UnfitParquetError for a footer at which Arrow would end the process, where no Python code could catch it.

    It checks the statistics of sizes of a column when somebody looks at the column, and pyarrow lets the error out of a function
    that may raise none. So what it asks of them is asked here: parquet::SizeStatistics::Validate. Encrypted columns, which nobody
    here writes, and columns that the schema has not, are refused as well.
    """
    leaves: list[_Leaf] = []
    for field, kind in reader.fields():
        if field == 2:
            leaves = _leaves([reader.numbers() for _ in reader.items(kind)])
        elif field == 4:
            for _ in reader.items(kind):
                _judge_group(reader, leaves)
        elif field in {8, 9}:
            raise UnfitParquetError("expected a file that is not encrypted")
        else:
            reader.skip(kind)


def _judge_group(reader: ThriftReader, leaves: Sequence[_Leaf]) -> None:
    for field, kind in reader.fields():
        if field != 1:
            reader.skip(kind)
            continue
        columns = 0
        for _ in reader.items(kind):
            if columns == len(leaves):
                raise UnfitParquetError(f"expected {len(leaves)} columns in a row group, was more")
            _judge_column(reader, leaves[columns])
            columns += 1
        if columns < len(leaves):
            raise UnfitParquetError(f"expected {len(leaves)} columns in a row group, was {columns}")


def _judge_column(reader: ThriftReader, leaf: _Leaf) -> None:
    for field, kind in reader.fields():
        if field in {8, 9}:
            raise UnfitParquetError("expected columns that are not encrypted")
        if field != 3 or kind != STRUCT:
            reader.skip(kind)
            continue
        for inner, inner_kind in reader.fields():
            if inner == 16 and inner_kind == STRUCT:
                _judge_sizes(reader, leaf)
            else:
                reader.skip(inner_kind)


def _judge_sizes(reader: ThriftReader, leaf: _Leaf) -> None:
    for field, kind in reader.fields():
        if field in {2, 3}:
            counts, levels = reader.whole_numbers(kind), leaf.repetitions if field == 2 else leaf.definitions
            if counts and (len(counts) != levels + 1 or min(counts) < 0):
                raise UnfitParquetError(f"expected statistics of {levels + 1} levels, was of {len(counts)}")
        elif field == 1 and leaf.physical != _BYTE_ARRAY:
            raise UnfitParquetError("expected no statistics of text in a column of numbers")
        else:
            reader.skip(kind)


def _leaves(schema: Sequence[Mapping[int, int]]) -> list[_Leaf]:
    """Return the columns of a schema, which is a tree written from its root on: type 1, repetition 3, children 5."""
    found: list[_Leaf] = []
    open_nodes: list[tuple[int, int, int]] = [(1, 0, 0)]  # how many are still to come, and the levels above them
    for place, element in enumerate(schema):
        while open_nodes and open_nodes[-1][0] == 0:
            open_nodes.pop()
        if not open_nodes:
            raise UnfitParquetError("expected one tree of columns, was more")
        left, definitions, repetitions = open_nodes.pop()
        open_nodes.append((left - 1, definitions, repetitions))
        if place:
            if (repetition := element.get(3, -1)) not in {_REQUIRED, _OPTIONAL, _REPEATED}:
                raise UnfitParquetError(f"expected a column that is required, optional or repeated, was {repetition}")
            definitions += repetition != _REQUIRED
            repetitions += repetition == _REPEATED
        if (children := element.get(5, 0)) > 0 or not place:
            open_nodes.append((children, definitions, repetitions))
        else:
            found.append(_Leaf(definitions, repetitions, element.get(1, -1)))
    return found


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
    reader = ThriftReader(part, "a page header")
    try:
        return reader.numbers(), reader.place
    except IndexError as error:
        raise UnfitParquetError("expected a page header, was cut short") from error
