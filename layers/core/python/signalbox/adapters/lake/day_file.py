"""One day of candles as a Parquet file whose bytes depend on its rows alone. It is written and verified as a whole.

Prices are text columns: exact at any precision, and half the size of decimal128(38, 18) (33 kB for a day of BTC against 59 kB,
zstd). Arrow parses text to the nearest float64, which its cast of decimals does not. The footer states the series and day, the
number of rows, until when the venue was asked, and the checksum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signalbox.adapters.lake.judged import DAY, judge_pages, open_parquet
from signalbox.exact import MAX_DIGITS
from signalbox.limits import MAX_DAY_FILE_BYTES
from signalbox.market.candles import MAX_DECIMALS, Bars, Candle, MarketDataError, from_ms, is_bounded, to_ms
from signalbox.market.lake import VALUES, DayFault, DayFileError, DayKey, check_rows, content_checksum, decimal_text

FORMAT: Final = "1"
SCHEMA: Final = pa.schema(
    [pa.field("open_time", pa.timestamp("ms", tz="UTC"), nullable=False)]
    + [pa.field(name, pa.string(), nullable=False) for name in VALUES]
)
_FACTS: Final = ("format", "venue", "symbol", "timeframe", "date", "rows", "asked_until", "sha256")
_PREFIX: Final = "signalbox."
_MAX_DIGITS: Final = 15  # of milliseconds: enough for thirty thousand years
_SURELY_BOUNDED: Final = 1e17  # a float below it is a number below 10^18, however it was rounded
_PHYSICAL: Final = {"open_time": "INT64", **dict.fromkeys(VALUES, "BYTE_ARRAY")}


@dataclass(frozen=True, eq=False)
class DayFile:
    """A verified day file. `table` has the columns of SCHEMA, one chunk each; `columns` are float64 like those of Bars."""

    key: DayKey
    asked_until: datetime
    checksum: str
    table: Any
    open_time_ms: NDArray[np.int64]
    columns: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        return int(self.open_time_ms.shape[0])

    @property
    def bars(self) -> Bars:
        """The rows as float64, each number rounded to the nearest float."""
        return Bars(self.key.series.symbol, self.open_time_ms, *self.columns)

    @cached_property
    def candles(self) -> tuple[Candle, ...]:
        """The rows with exact numbers."""
        texts = [self.table.column(name).to_pylist() for name in VALUES]
        rows = zip(self.open_time_ms.tolist(), *texts, strict=True)
        return tuple(Candle(self.key.series.symbol, from_ms(t), *map(Decimal, numbers)) for t, *numbers in rows)


def encode(key: DayKey, candles: Sequence[Candle], asked_until: datetime) -> bytes:
    """Return a day's candles as a file. Raises MarketDataError for rows of another symbol, DayFileError for invalid rows."""
    if other := {c.symbol for c in candles} - {key.series.symbol}:
        raise MarketDataError(f"{key.path}: expected candles of {key.series.symbol}, got {', '.join(sorted(other))}")
    times = np.array([to_ms(c.open_time) for c in candles], dtype=np.int64)
    texts = [pa.array([decimal_text(getattr(c, name)) for c in candles], pa.string()) for name in VALUES]
    return encode_columns(key, times, texts, asked_until)


def encode_columns(key: DayKey, times: NDArray[np.int64], texts: Sequence[Any], asked_until: datetime) -> bytes:
    """Return a day's rows as a file. Raises DayFileError for invalid rows.

    times: (n,) open times in milliseconds. texts: for each of VALUES an Arrow text array of n canonical numbers (`decimal_text`).
    """
    columns = tuple(_floats(key, name, text) for name, text in zip(VALUES, texts, strict=True))
    check_rows(key, times, columns)
    facts = {
        "format": FORMAT,
        "venue": key.series.venue,
        "symbol": key.series.symbol,
        "timeframe": key.series.timeframe,
        "date": key.day.isoformat(),
        "rows": str(len(times)),
        "asked_until": str(to_ms(min(max(asked_until, key.start), key.end))),
    }
    facts["sha256"] = _checksum(facts, times, texts)
    table = pa.Table.from_arrays([pa.array(times).cast(pa.timestamp("ms", tz="UTC")), *texts], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=6,
        use_dictionary=False,
        column_encoding={"open_time": "DELTA_BINARY_PACKED"},
        store_schema=False,
        write_statistics=["open_time"],
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_PREFIX + name: facts[name] for name in _FACTS})
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(key: DayKey, content: bytes) -> DayFile:
    """Return the day in a file's content, verified. Raises DayFileError."""
    file = _opened(content)
    facts = _facts(file.metadata.metadata or {})
    rows, asked_until = _whole_number(facts, "rows"), _whole_number(facts, "asked_until")
    stated = (facts["venue"], facts["symbol"], facts["timeframe"], facts["date"])
    if stated != (asked := (key.series.venue, key.series.symbol, key.series.timeframe, key.day.isoformat())):
        raise DayFileError(DayFault.OTHER_DAY, f"expected the day {' '.join(asked)}, but the file states {' '.join(stated)}")
    if not to_ms(key.start) <= asked_until <= to_ms(key.end):
        raise DayFileError(DayFault.METADATA_ABSENT, f"expected the footer's asked_until within {key.day}, got {asked_until} ms")
    if file.metadata.num_rows != rows:
        raise DayFileError(DayFault.ROWS_SHORT, f"expected {rows} rows, got {file.metadata.num_rows}")
    table = _unpacked(file, content)
    if table.num_rows != rows:
        raise DayFileError(DayFault.ROWS_SHORT, f"expected {rows} rows, got {table.num_rows}")
    table = table.combine_chunks()
    if nulls := sum(column.null_count for column in table.columns):
        raise DayFileError(DayFault.SCHEMA_DIFFERS, f"expected no nulls, got {nulls}")
    times = np.ascontiguousarray(_chunk(table, "open_time").cast(pa.int64()).to_numpy())
    texts = [_chunk(table, name) for name in VALUES]
    if (checksum := _checksum(facts, times, texts)) != facts["sha256"]:
        raise DayFileError(
            DayFault.CHECKSUM_DIFFERS, f"the footer states sha256 {facts['sha256'][:12]}, the content has {checksum[:12]}"
        )
    columns = tuple(_floats(key, name, text) for name, text in zip(VALUES, texts, strict=True))
    check_rows(key, times, columns)
    for name, text, values in zip(VALUES, texts, columns, strict=True):
        _require_bounded(key, name, text, values)
    return DayFile(key, from_ms(asked_until), checksum, table, times, columns)


def _opened(content: bytes) -> Any:
    """Return the file after checking its size, footer and schema, before anything is unpacked."""
    if len(content) > MAX_DAY_FILE_BYTES:
        raise DayFileError(DayFault.UNREADABLE, f"expected at most {MAX_DAY_FILE_BYTES} bytes, got {len(content)}")
    with _readable(content):
        file = open_parquet(pa.py_buffer(content), DAY)
        schema = file.schema_arrow
    found = [(field.name, str(field.type)) for field in schema]
    if found != (expected := [(field.name, str(field.type)) for field in SCHEMA]):
        raise DayFileError(DayFault.SCHEMA_DIFFERS, f"expected {_columns(expected)}, got {_columns(found)}")
    return file


def _unpacked(file: Any, content: bytes) -> Any:
    with _readable(content):
        judge_pages(pa.py_buffer(content), file, _PHYSICAL, DAY)
        return file.read(use_threads=False)


@contextmanager
def _readable(content: bytes) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Arrow raises a dozen error classes for damaged bytes
        detail = f"its {len(content)} bytes are not a whole Parquet file: {type(error).__name__}: {str(error)[:200]}"
        raise DayFileError(DayFault.UNREADABLE, detail) from error


def _checksum(facts: dict[str, str], times: NDArray[np.int64], texts: Sequence[Any]) -> str:
    recorded = "\n".join(facts[name] for name in _FACTS if name != "sha256")
    return content_checksum(recorded.encode(), times, [_buffers(text) for text in texts])


def _columns(found: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in found)


def _facts(metadata: dict[bytes, bytes]) -> dict[str, str]:
    facts = {name: metadata.get((_PREFIX + name).encode(), b"").decode(errors="replace") for name in _FACTS}
    if missing := [name for name, value in facts.items() if not value]:
        raise DayFileError(DayFault.METADATA_ABSENT, f"the footer lacks {', '.join(missing)}")
    if facts["format"] != FORMAT:
        raise DayFileError(DayFault.METADATA_ABSENT, f"expected format {FORMAT}, got {facts['format']}")
    return facts


def _whole_number(facts: dict[str, str], name: str) -> int:
    if not (facts[name].isascii() and facts[name].isdecimal() and len(facts[name]) <= _MAX_DIGITS):
        raise DayFileError(DayFault.METADATA_ABSENT, f"expected a number as {name}, got {facts[name][:40]!r}")
    return int(facts[name])


def _chunk(table: Any, name: str) -> Any:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _buffers(text: Any) -> tuple[NDArray[np.int32], bytes]:
    """Return the offsets of an Arrow text array, counted from 0, and its characters joined."""
    if len(text) == 0:
        return np.zeros(1, dtype=np.int32), b""
    _, offsets, data = text.buffers()
    places = np.frombuffer(offsets, dtype=np.int32)[text.offset : text.offset + len(text) + 1]
    joined = b"" if data is None else data.to_pybytes()[int(places[0]) : int(places[-1])]
    return places - places[0], joined


def _require_bounded(key: DayKey, name: str, text: Any, values: NDArray[np.float64]) -> None:
    """Raise DayFileError for a number that no Candle holds, so that every verified row can be read exactly.

    Most columns need no look at a single number: no text is long enough for too many decimals, none has an exponent, and every
    value is far below the bound. The others are read number by number.
    """
    places, characters = _buffers(text)
    longest = int(np.diff(places).max(initial=0))
    has_exponent = b"e" in characters or b"E" in characters
    if longest <= MAX_DECIMALS and not has_exponent and float(values.max(initial=0.0)) < _SURELY_BOUNDED:
        return
    detail = f"{key.day} {name}: expected numbers below 10^{MAX_DIGITS} with at most {MAX_DECIMALS} decimals"
    try:
        bounded = all(is_bounded(Decimal(number)) for number in text.to_pylist())
    except ArithmeticError as error:  # an exponent that Decimal itself has no room for
        raise DayFileError(DayFault.PRICES_IMPOSSIBLE, detail) from error
    if not bounded:
        raise DayFileError(DayFault.PRICES_IMPOSSIBLE, detail)


def _floats(key: DayKey, name: str, text: Any) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise DayFileError(
            DayFault.PRICES_IMPOSSIBLE, f"{key.day}: column {name} holds a text that is no number: {str(error)[:200]}"
        ) from error
    return values
