"""Checks a Parquet file by its footer and page headers before any page is unpacked.

A page header declares the unpacked size of its page, and Arrow allocates that much memory: a file of 0.3 MB can ask for a
gigabyte. The footer declares the sizes of whole columns, but in a hostile file it may lie, so every page header is read too (a
few bytes). Texts become larger than their pages where a value is written once and referred to by each row: with a dictionary, or
as a prefix of the value before (DELTA_BYTE_ARRAY, which is refused).
Format: https://github.com/apache/parquet-format (PageHeader in parquet.thrift, in Thrift's compact protocol).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from signalbox.adapters.lake.thrift import I32, STRUCT, ThriftReader, UnfitParquetError
from signalbox.limits import (
    MAX_DAY_FOOTER_BYTES,
    MAX_DAY_ROWS,
    MAX_DAY_UNPACKED_BYTES,
    MAX_FOOTER_ITEMS,
    MAX_PAGES,
    MAX_RECORDED_FOOTER_BYTES,
    MAX_RECORDED_ROWS,
    MAX_RECORDED_UNPACKED_BYTES,
)

_MAGIC: Final = b"PAR1"
_TAIL: Final = 8  # bytes of the footer's length and the magic
_MAX_HEADER: Final = 64 * 1024  # bytes of a page header, whose statistics hold two values
_UNPACKED, _PACKED = 2, 3  # field ids in a page header
_ENCODING: Final = {5: 2, 8: 4}  # by the field id of a data page's own header (version 1, 2), that of its encoding
_KIND: Final = 1  # field id in a page header
_DICTIONARY: Final = 2  # a kind of page
_DELTA_BYTE_ARRAY: Final = 7  # an encoding
_REQUIRED, _OPTIONAL, _REPEATED = 0, 1, 2  # repetition types of a column
_BYTE_ARRAY: Final = 6  # id of the physical type


@dataclass(frozen=True, slots=True)
class ParquetLimits:
    """The most that a file may declare."""

    rows: int
    unpacked_bytes: int  # of the columns that are read
    footer_bytes: int


DAY: Final = ParquetLimits(MAX_DAY_ROWS, MAX_DAY_UNPACKED_BYTES, MAX_DAY_FOOTER_BYTES)
RECORDED: Final = ParquetLimits(MAX_RECORDED_ROWS, MAX_RECORDED_UNPACKED_BYTES, MAX_RECORDED_FOOTER_BYTES)


def open_parquet(content: Any, limits: ParquetLimits, *, keeps_dictionaries: bool = False) -> pq.ParquetFile:
    """Return the opened file, with its footer checked but not its pages. content: an Arrow buffer of the whole file.

    keeps_dictionaries: texts are read as a dictionary and the number of each row's text in it.
    Raises UnfitParquetError, and Arrow's errors for a malformed footer.
    """
    whole = memoryview(content)
    if len(whole) < len(_MAGIC) + _TAIL or bytes(whole[-len(_MAGIC) :]) != _MAGIC:
        raise UnfitParquetError("not a Parquet file, or cut short")
    footer = int.from_bytes(whole[-_TAIL : -len(_MAGIC)], "little")
    if footer > min(limits.footer_bytes, len(whole) - _TAIL):
        raise UnfitParquetError(f"expected a footer of at most {limits.footer_bytes} bytes within the file, got {footer}")
    try:
        _judge_footer(ThriftReader(whole[-_TAIL - footer : -_TAIL], "a footer", MAX_FOOTER_ITEMS))
    except IndexError as error:
        raise UnfitParquetError("the footer is cut short") from error
    file = _opened(content, limits, ())
    if keeps_dictionaries:
        columns = [file.schema.column(place) for place in range(len(file.schema))]
        file = _opened(content, limits, [column.path for column in columns if column.physical_type == "BYTE_ARRAY"])
    if file.metadata.num_rows > limits.rows:
        raise UnfitParquetError(f"expected at most {limits.rows} rows, got {file.metadata.num_rows}")
    return file


def _opened(content: Any, limits: ParquetLimits, dictionaries: Sequence[str]) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.BufferReader(content),
        read_dictionary=list(dictionaries),
        thrift_string_size_limit=limits.footer_bytes,
        thrift_container_size_limit=limits.footer_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column of the schema: its definition and repetition levels, and its physical type."""

    definitions: int
    repetitions: int
    physical: int


def _judge_footer(reader: ThriftReader) -> None:
    """Raise UnfitParquetError for a footer that would make Arrow end the process, which no Python code could catch.

    Arrow checks a column's size statistics when the column is read, and pyarrow lets the error escape from a function that must
    not raise. So the same checks are made here (parquet::SizeStatistics::Validate). Encrypted columns, which nobody here writes,
    and columns that are not in the schema are refused too.
    """
    leaves: list[_Leaf] = []
    for field, kind in reader.fields():
        if field == 2:
            leaves = _leaves([reader.numbers() for _ in reader.items(kind)])
        elif field == 4:
            for _ in reader.items(kind):
                _judge_group(reader, leaves)
        elif field in {8, 9}:
            raise UnfitParquetError("the file is encrypted, which is not supported")
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
                raise UnfitParquetError(f"a row group has more than the {len(leaves)} columns of the schema")
            _judge_column(reader, leaves[columns])
            columns += 1
        if columns < len(leaves):
            raise UnfitParquetError(f"a row group has {columns} of the {len(leaves)} columns of the schema")


def _judge_column(reader: ThriftReader, leaf: _Leaf) -> None:
    for field, kind in reader.fields():
        if field in {8, 9}:
            raise UnfitParquetError("a column is encrypted, which is not supported")
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
                raise UnfitParquetError(f"expected size statistics of {levels + 1} levels, each 0 or more, got {counts[:9]}")
        elif field == 1 and leaf.physical != _BYTE_ARRAY:
            raise UnfitParquetError("a column of numbers has the statistics of a text column; write the file again")
        else:
            reader.skip(kind)


def _leaves(schema: Sequence[Mapping[int, int]]) -> list[_Leaf]:
    """Return the columns of a schema, a tree in depth-first order. Field ids: type 1, repetition 3, number of children 5."""
    found: list[_Leaf] = []
    open_nodes: list[tuple[int, int, int]] = [(1, 0, 0)]  # number of missing children, and the levels above them
    for place, element in enumerate(schema):
        while open_nodes and open_nodes[-1][0] == 0:
            open_nodes.pop()
        if not open_nodes:
            raise UnfitParquetError("the schema has elements outside its tree of columns")
        left, definitions, repetitions = open_nodes.pop()
        open_nodes.append((left - 1, definitions, repetitions))
        if place:
            if (repetition := element.get(3, -1)) not in {_REQUIRED, _OPTIONAL, _REPEATED}:
                raise UnfitParquetError(f"expected a column's repetition type to be 0, 1 or 2, got {repetition}")
            definitions += repetition != _REQUIRED
            repetitions += repetition == _REPEATED
        if (children := element.get(5, 0)) > 0 or not place:
            open_nodes.append((children, definitions, repetitions))
        else:
            found.append(_Leaf(definitions, repetitions, element.get(1, -1)))
    return found


def judge_pages(
    content: Any, file: pq.ParquetFile, columns: Mapping[str, str], limits: ParquetLimits, *, keeps_dictionaries: bool = False
) -> None:
    """Raise UnfitParquetError if the pages of these columns unpack to too many bytes or are outside their place in the file.

    columns: the physical type of each column, by name. keeps_dictionaries: texts with a dictionary are read as such
    (`read_dictionary`). Otherwise each row takes a text of its own, which may be as long as the dictionary.
    """
    whole, left, pages = memoryview(content), limits.unpacked_bytes, 0
    rows = sum(file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups))
    if rows != file.metadata.num_rows:
        raise UnfitParquetError(f"expected row groups of {file.metadata.num_rows} rows in total, got {rows}")
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if group.num_rows == 0:  # its columns have no place in the file and are not read
            continue
        for place in range(group.num_columns):
            column = group.column(place)
            if (wanted := columns.get(column.path_in_schema)) is None:
                continue
            if column.physical_type != wanted or column.num_values != group.num_rows:
                raise UnfitParquetError(
                    f"expected {group.num_rows} values of {wanted} in {column.path_in_schema}, "
                    f"got {column.num_values} of {column.physical_type}"
                )
            own_bytes = file.schema.column(place).length if wanted == "FIXED_LEN_BYTE_ARRAY" else 0
            left -= group.num_rows * max(own_bytes, 0)
            for page in _pages(whole, column):
                left, pages = left - page.unpacked, pages + 1
                if page.is_dictionary and wanted == "BYTE_ARRAY" and not keeps_dictionaries:
                    left -= page.unpacked * group.num_rows
                if left < 0 or pages > MAX_PAGES:
                    raise UnfitParquetError(f"its columns unpack to more than {limits.unpacked_bytes} bytes or {MAX_PAGES} pages")


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page header says: bytes, unpacked and as they lie in the file."""

    unpacked: int
    packed: int
    is_dictionary: bool


def _pages(whole: memoryview, column: Any) -> list[_Page]:
    """Return the pages of a column."""
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None and column.dictionary_page_offset > 0:
        start = min(start, column.dictionary_page_offset)
    end = start + column.total_compressed_size
    if not 0 < start <= end <= len(whole):
        raise UnfitParquetError(f"column {column.path_in_schema} is outside the file: bytes {start} to {end} of {len(whole)}")
    found = []
    place = start
    while place < end:
        page, length = _page_header(whole[place : min(end, place + _MAX_HEADER)])
        place += length + page.packed
        if page.unpacked < 0 or page.packed < 0 or place > end:
            raise UnfitParquetError(f"a page of column {column.path_in_schema} is cut short")
        found.append(page)
    return found


def _page_header(part: memoryview) -> tuple[_Page, int]:
    """Return what a page header says, and its length in bytes."""
    reader = ThriftReader(part, "a page header")
    numbers: dict[int, int] = {}
    try:
        for field, kind in reader.fields():
            if field in _ENCODING and kind == STRUCT:
                if reader.numbers().get(_ENCODING[field]) == _DELTA_BYTE_ARRAY:
                    raise UnfitParquetError("a page has the encoding DELTA_BYTE_ARRAY, which is not supported")
            elif kind == I32:  # Arrow ignores numbers of other kinds here
                numbers[field] = reader.int32()
            else:
                reader.skip(kind)
    except IndexError as error:
        raise UnfitParquetError("a page header is cut short") from error
    return _Page(numbers.get(_UNPACKED, -1), numbers.get(_PACKED, -1), numbers.get(_KIND) == _DICTIONARY), reader.place
