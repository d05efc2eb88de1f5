"""Reads tables from CSV, JSON arrays, Feather (Arrow IPC) and Parquet as bounded blocks of columns.

CSV and JSON are read as text, so that a price keeps its digits. An array of arrays of JSON is CSV with other brackets and is read
as such. Parquet and Feather are judged by what they declare before a page or buffer is unpacked.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from typing_extensions import override

from local.cli.data.importing.columns import BINANCE, FREQTRADE
from local.cli.data.importing.feather import is_plain, open_feather
from local.cli.data.importing.files import ImportFile, ImportFileError, PieceStream, Utf8Stream
from signalbox.adapters.lake.judged import RECORDED, judge_pages, open_parquet
from signalbox.limits import MAX_IMPORT_LINE_BYTES

_SNIFFED: Final = 64 * 1024  # bytes looked at for the form of a text file
_BATCH: Final = 200_000  # rows of a block of Parquet
_BLOCK_TEXT_BYTES: Final = 64 * 1024 * 1024  # of a column of a block; a number has 80 characters at most
_NUMBER: Final = re.compile(r'"?\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"?')
_URL: Final = re.compile(r'^"?\s*(https?://|www\.|cryptodatadownload)', re.IGNORECASE)
_SHOWN_ROWS: Final = 3


@dataclass(slots=True)
class TextForm:
    """The form of a text file: the lines to skip, the separator, and the column names if the file has them."""

    kind: str
    skip: int
    delimiter: str
    names: tuple[str, ...]
    has_header: bool


@dataclass(slots=True)
class TableFile:
    """One table: the names of its columns, its format as text, and its blocks. ragged: lines with a wrong number of columns."""

    names: tuple[str, ...]
    kind: str
    blocks: Callable[[Sequence[int]], Iterator[list[Any]]]  # of places of columns; yields the columns in that order
    ragged: list[str] = field(default_factory=list)
    ragged_rows: int = 0
    has_header: bool = True


def open_table(file: ImportFile, given_names: Sequence[str] = ()) -> TableFile:
    """Return the table in a file. Raises ImportFileError if the file holds none."""
    match file.ending:
        case ".parquet":
            return _parquet(file)
        case ".feather":
            return _feather(file)
        case ".json":
            return _text_table(file, _json_form(file), _JsonRows)
        case _:
            return _text_table(file, _csv_form(file, given_names), None)


def _csv_form(file: ImportFile, given_names: Sequence[str]) -> TextForm:
    lines = _first_lines(file)
    skip = 0
    kind = "CSV"
    while skip < len(lines) and (not lines[skip].strip() or _URL.match(lines[skip])):
        kind = "CryptoDataDownload" if "cryptodatadownload" in lines[skip].lower() else kind
        skip += 1
    if skip == len(lines):
        raise ImportFileError("holds no rows")
    delimiter = max(",;\t|", key=lines[skip].count)
    cells = [cell.strip().strip('"') for cell in lines[skip].split(delimiter)]
    if not all(_NUMBER.fullmatch(cell) for cell in cells if cell) and not _is_time(cells[0]):
        return TextForm(kind, skip + 1, delimiter, tuple(cells), has_header=True)
    if given_names:
        if len(given_names) != len(cells):
            raise ImportFileError(f"--columns: expected {len(cells)} names, got {len(given_names)}")
        return TextForm(kind, skip, delimiter, tuple(given_names), has_header=False)
    if _is_kline(cells):
        return TextForm("Binance public data", skip, delimiter, BINANCE[: len(cells)], has_header=False)
    raise ImportFileError(f"has no header and {len(cells)} columns ({', '.join(cells)[:120]}); name them with --columns")


def _is_kline(cells: Sequence[str]) -> bool:
    """Whether a row without names is Binance's: the seventh column is the bar's close, just before the next minute."""
    if not 11 <= len(cells) <= 12 or not all(re.fullmatch(r"[0-9]{1,19}", cells[place]) for place in (0, 6)):
        return False
    step = int(cells[6]) - int(cells[0]) + 1
    return step > 0 and step % (1_000 if len(cells[0]) <= 13 else 1_000_000) == 0


def _is_time(cell: str) -> bool:
    return re.match(r"\d{4}-\d\d-\d\d", cell) is not None


def _json_form(file: ImportFile) -> TextForm:
    with file.open() as stream:
        start = stream.read(_SNIFFED).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not re.match(rb"\[\s*\[", start):
        raise ImportFileError("expected an array of arrays, as freqtrade and ccxt write it")
    first = re.sub(rb"[\s\[]", b"", start.partition(b"]")[0]).split(b",")
    if len(first) == len(FREQTRADE):
        return TextForm("freqtrade", 0, ",", FREQTRADE, has_header=False)
    if _is_kline([cell.decode("ascii", "replace").strip('"') for cell in first]):
        return TextForm("Binance klines", 0, ",", BINANCE[: len(first)], has_header=False)
    raise ImportFileError(f"expected arrays of {len(FREQTRADE)} numbers (time, open, high, low, close, volume), got {len(first)}")


def _first_lines(file: ImportFile) -> list[str]:
    with file.open() as stream:
        start = stream.read(_SNIFFED)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportFileError("is UTF-16; save it as UTF-8")
    if b"\x00" in start:
        raise ImportFileError("is not a text file: it has NUL bytes")
    whole = len(start) < _SNIFFED
    lines = start.decode("utf-8-sig", "replace").splitlines()
    return lines if whole or len(lines) == 1 else lines[:-1]


def _text_table(file: ImportFile, form: TextForm, rows: Callable[[IO[bytes]], io.RawIOBase] | None) -> TableFile:
    def blocks(places: Sequence[int]) -> Iterator[list[Any]]:
        def odd(row: Any) -> str:
            table.ragged_rows += 1
            if len(table.ragged) < _SHOWN_ROWS:
                table.ragged.append(f"{row.actual_columns} columns instead of {row.expected_columns}: {str(row.text)[:80]!r}")
            return "skip"

        names = [str(place) for place in range(len(form.names))]
        table.ragged_rows = 0
        table.ragged.clear()
        with file.open() as raw:
            stream = io.BufferedReader(Utf8Stream(io.BufferedReader(rows(raw)) if rows is not None else raw))
            try:
                reader = pa_csv.open_csv(
                    pa.PythonFile(stream, mode="r"),
                    read_options=pa_csv.ReadOptions(
                        column_names=names, skip_rows=form.skip, block_size=MAX_IMPORT_LINE_BYTES, use_threads=False
                    ),
                    parse_options=pa_csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=odd),
                    convert_options=pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        include_columns=[names[place] for place in places],
                        strings_can_be_null=True,
                        null_values=["", "NaN", "nan", "null", "None", "NULL", "N/A"],
                    ),
                )
                for batch in reader:
                    yield [batch.column(place) for place in range(batch.num_columns)]
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error):
                    return
                raise ImportFileError(f"cannot be read as text: {_one_line(error)}") from error

    table = TableFile(form.names, form.kind, blocks, has_header=form.has_header)
    return table


class _JsonRows(PieceStream):
    """`[[1,2],[3,4]]` as the lines `1,2` and `3,4`, without holding more than a piece of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ready = b""
        self._held = b""
        self._began = False

    @override
    def piece(self, size: int) -> bytes:
        while not self._ready:
            content = self._stream.read(1 << 20)
            if not content:
                self._held = b""
                break
            if not self._began:
                self._began, content = True, content.removeprefix(b"\xef\xbb\xbf")
            joined = self._held + content.translate(None, b" \t\r\n[")
            # a bracket may be parted from its comma; nothing else is held, however long the stream goes on without one
            cut = len(joined) - joined.endswith(b"]")
            self._ready, self._held = joined[:cut].replace(b"],", b"\n").replace(b"]", b"\n"), joined[cut:]
        content, self._ready = self._ready[:size], self._ready[size:]
        return content


def _parquet(file: ImportFile) -> TableFile:
    with ExitStack() as stack:
        content = stack.enter_context(pa.memory_map(str(file.path))).read_buffer()
        with _judged("Parquet"):
            opened = open_parquet(content, RECORDED, keeps_dictionaries=True)
            schema = opened.schema_arrow

    def blocks(places: Sequence[int]) -> Iterator[list[Any]]:
        names = [schema.names[place] for place in places]
        with _judged("Parquet"):
            physical = {opened.schema.column(place).path: opened.schema.column(place).physical_type for place in places}
            judge_pages(content, opened, physical, RECORDED, keeps_dictionaries=True)
            for batch in opened.iter_batches(batch_size=_BATCH, columns=names, use_threads=False):
                yield [_without_dictionary(batch.column(name)) for name in names]

    if not all(is_plain(one.type) for one in schema):
        raise ImportFileError("has nested columns or views, which candle files never have")
    return TableFile(tuple(schema.names), "Parquet", blocks)


def _without_dictionary(column: Any) -> Any:
    """Return a column with a text a row. A text of a dictionary may be long, and every row may refer to it."""
    if not pa.types.is_dictionary(column.type):
        return column
    lengths = pc.binary_length(column.dictionary)
    if (pc.sum(lengths.take(column.indices)).as_py() or 0) > _BLOCK_TEXT_BYTES:
        raise ImportFileError(
            f"has texts of more than {_BLOCK_TEXT_BYTES // _BATCH} characters a row; expected times and numbers"
        )
    return column.dictionary_decode()


def _feather(file: ImportFile) -> TableFile:
    with _judged("Feather"):
        opened = open_feather(pa.memory_map(str(file.path)).read_buffer())

    def blocks(places: Sequence[int]) -> Iterator[list[Any]]:
        with _judged("Feather"):
            yield from opened.blocks(places)

    return TableFile(opened.names, "Feather", blocks)


class _judged:  # noqa: N801 - a context manager that reads as a word
    """Turn any error of reading into an ImportFileError: Arrow raises a dozen error classes for damaged bytes."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, (ImportFileError, GeneratorExit)):
            raise ImportFileError(f"cannot be read as {self._what}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
