"""Parquet files that become gigabytes, or lie about it: refused before a page is unpacked. Real ones are read as before."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.lake.day_file import SCHEMA, DayFile, decode, encode
from signalbox.adapters.lake.judged import RECORDED, ParquetLimits, judge_pages, open_parquet
from signalbox.adapters.lake.lake import BadDay, Lake
from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.stores import FolderStore, LakeStorageError
from signalbox.adapters.lake.thrift import UnfitParquetError
from signalbox.limits import MAX_LAKE_FILE_BYTES, MAX_RECORDED_ROWS
from signalbox.market.candles import MarketDataError
from signalbox.market.lake import VALUES, DayFault, DayFileError, DayKey, SeriesKey
from tests.builders import BTC, candles, minutes
from tests.fakes.memory import run_measured
from tests.unit.training.synthetic import table_of, walk

DAY = DayKey(SeriesKey("coinbase", BTC), date(2024, 3, 1))
HONEST = encode(DAY, candles(BTC, DAY.start + minutes(90), 90), DAY.end)
MANY = 5_000_000  # rows: 40 MB a column, packed to kilobytes


def test_a_footer_of_lists_in_lists_is_refused_and_not_followed() -> None:
    footer = b"\x59" + b"\x19" * 200_000  # a list of one list of one list ...
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(UnfitParquetError, match="a field of kind 9"):
        open_parquet(pa.py_buffer(content), RECORDED)


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", **options)
    return sink.getvalue()


def facts_of(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = pq.ParquetFile(pa.BufferReader(content)).metadata.metadata
    return {name: value for name, value in found.items() if name.startswith(b"signalbox.")}


def day_of_long_texts() -> bytes:
    """A day of one row as its footer says, whose price is 150 MB of zeros."""
    texts = [pa.array(["0" * 150_000_000])] + [pa.array(["1"])] * 4
    table = pa.Table.from_arrays([pa.array([0], pa.timestamp("ms", tz="UTC")), *texts], schema=SCHEMA)
    return parquet(table.replace_schema_metadata({**facts_of(HONEST), b"signalbox.rows": b"1"}), use_dictionary=False)


def day_of_many_rows() -> bytes:
    times = pa.array(np.zeros(MANY, np.int64)).cast(pa.timestamp("ms", tz="UTC"))
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(MANY, np.int8)), pa.array(["1"])).cast(pa.string())
    table = pa.Table.from_arrays([times, *[texts] * 5], schema=SCHEMA)
    return parquet(table.replace_schema_metadata(facts_of(HONEST)))


def recorded_of_many_rows() -> bytes:
    """One row more than a recorded file may have."""
    zeros = pa.array(np.zeros(MAX_RECORDED_ROWS + 1))
    times = pa.array(np.zeros(MAX_RECORDED_ROWS + 1, np.int64)).cast(pa.timestamp("ms", tz="UTC"))
    return parquet(pa.table({"open_time": times, **dict.fromkeys(VALUES, zeros)}), use_dictionary=False)


def test_files_that_become_gigabytes_are_refused_for_the_price_of_small_ones(tmp_path: Path) -> None:
    contents = {
        "long.parquet": day_of_long_texts(),
        "many.parquet": day_of_many_rows(),
        "recorded.parquet": recorded_of_many_rows(),
    }
    for name, content in contents.items():
        assert len(content) < 2_000_000
        (tmp_path / name).write_bytes(content)
    reported = run_measured(
        "from datetime import date\nfrom pathlib import Path\nfrom signalbox.adapters.lake.day_file import decode\n"
        "from signalbox.adapters.lake.recorded import RecordedFile\nfrom signalbox.market.lake import DayKey, SeriesKey\n"
        "key = DayKey(SeriesKey('coinbase', 'BTC-USD'), date(2024, 3, 1))\n"
        "reported = [measured(decode, key, Path(name).read_bytes()) for name in ('long.parquet', 'many.parquet')]\n"
        "reported += [measured(RecordedFile('BTC-USD', Path('recorded.parquet')).bars)]",
        tmp_path,
    )
    assert [output.partition(" ")[0] for output, _ in reported] == ["DayFileError", "DayFileError", "MarketDataError"]
    assert f"at most {MAX_RECORDED_ROWS} rows" in reported[2][0]
    assert max(mib for _, mib in reported) < 64


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


def test_page_that_becomes_more_than_the_footer_says_is_refused() -> None:
    file = pq.ParquetFile(pa.BufferReader(HONEST))
    start = file.metadata.row_group(0).column(1).data_page_offset
    head = HONEST[start : start + 8]
    assert head[:3] == b"\x15\x00\x15"  # field 1, a data page; field 2, unpacked bytes
    length = next(i for i in range(3, 8) if not head[i] & 0x80) + 1 - 3
    huge = b"\x15\x00\x15" + b"\xfe\xff\xff\xff\x0f"  # 2^31 - 1 in zigzag
    lying = HONEST[:start] + huge + HONEST[start + 3 + length :]
    with pytest.raises(DayFileError) as error:
        decode(DAY, lying)
    assert error.value.fault is DayFault.UNREADABLE


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def zigzag(number: int) -> bytes:
    return varint(2 * number if number >= 0 else -2 * number - 1)


def whole(field: int, number: int, kind: int = 5) -> bytes:
    """A whole number of a Thrift struct with its field's id in full; kind 5 is an int32."""
    return bytes([kind]) + zigzag(field) + zigzag(number)


def with_fields(extra: bytes) -> bytes:
    """A file of 20 texts whose one page header has these fields more and no statistics, and is as long as it was."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"t": ["abcdefghij" * 6] * 20}), sink, compression="none", use_dictionary=False)
    content = sink.getvalue()
    column = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0).column(0)
    start, size = column.data_page_offset, 20 * (4 + 60) + 6  # definition levels take 6 bytes
    length = column.total_compressed_size - size
    values = whole(1, 20) + whole(2, 0) + whole(3, 3) + whole(4, 3)
    header = whole(1, 0) + whole(2, size) + whole(3, size) + b"\x0c" + zigzag(5) + values + b"\x00" + extra
    padding = length - len(header) - 5  # a text in field 100, and the end
    header += b"\x08" + zigzag(100) + bytes([padding]) + bytes(padding) + b"\x00"
    assert len(header) == length
    return content[:start] + header + content[start + length :]


def judge(content: bytes) -> pq.ParquetFile:
    file = open_parquet(pa.py_buffer(content), RECORDED)
    judge_pages(pa.py_buffer(content), file, {"t": "BYTE_ARRAY"}, RECORDED)
    return file


HUGE = 1_500_000_000  # bytes that a page asks for


@pytest.mark.parametrize("field", [6, 2**15 - 1])
def test_page_header_with_a_field_that_is_not_known_is_read(field: int) -> None:
    assert judge(with_fields(whole(field, HUGE))).read().num_rows == 20


@pytest.mark.parametrize(
    "extra",
    [
        whole(2**16 + 2, HUGE), whole(2 - 2**16, HUGE), whole(2**32 + 2, HUGE), whole(0, 1), whole(-1, 1), whole(2**15, 1),
        whole(6, 1) + whole(6, 1), whole(5, 1), whole(2, 1280, kind=6), whole(4, 2**31), whole(4, -(2**31) - 1),
        whole(2**15 - 1, 1) + b"\x35" + zigzag(HUGE),  # three more than the largest id
    ],
    ids=[
        "2 in 16 bits", "2 in 16 bits from below", "2 in 32 bits", "0", "-1", "2^15", "twice", "another kind", "a second size",
        "2^31", "below -2^31", "by steps",
    ],
)  # fmt: skip
def test_page_header_that_arrow_could_read_in_another_way_is_refused(extra: bytes) -> None:
    with pytest.raises(UnfitParquetError, match="expected a page header"):
        judge(with_fields(extra))


@pytest.mark.parametrize("limit", ["rows", "unpacked_bytes", "footer_bytes"])
def test_every_limit_is_asked(limit: str) -> None:
    content, columns = pa.py_buffer(HONEST), {"open_time": "INT64", **dict.fromkeys(VALUES, "BYTE_ARRAY")}
    file = open_parquet(content, RECORDED)
    judge_pages(content, file, columns, RECORDED)
    small = {"rows": 89, "unpacked_bytes": 100, "footer_bytes": 100}
    tight = ParquetLimits(**{name: small[name] if name == limit else getattr(RECORDED, name) for name in small})
    with pytest.raises(UnfitParquetError):
        judge_pages(content, open_parquet(content, tight), columns, tight)


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}, {"row_group_size": 100}])
@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
def test_recorded_files_of_other_writers_are_read(tmp_path: Path, options: dict[str, Any], compression: str) -> None:
    bars = walk(0.1)
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(table_of(bars), path, compression=compression, write_page_index=True, write_page_checksum=True, **options)
    np.testing.assert_array_equal(RecordedFile(BTC, path).bars().close, bars.close)


def test_file_that_no_lake_has_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / DAY.path
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        stream.truncate(MAX_LAKE_FILE_BYTES + 1)
    with pytest.raises(LakeStorageError, match="move it out of the lake"):
        Lake(FolderStore(tmp_path)).read_day(DAY)


@given(data=st.data())
def test_damaged_day_is_the_same_day_or_refused(data: st.DataObject) -> None:
    content = bytearray(HONEST)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        part = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(part)] = part
    del content[data.draw(st.integers(len(HONEST) // 2, len(HONEST))) :]
    try:
        found = decode(DAY, bytes(content))
    except DayFileError:
        return
    assert found.candles == decode(DAY, HONEST).candles
    assert isinstance(found, DayFile)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_anything_at_all_is_refused_as_a_day(middle: bytes, end: bytes) -> None:
    for content in (middle, b"PAR1" + middle + end + len(middle).to_bytes(4, "little") + b"PAR1"):
        with pytest.raises(DayFileError):
            decode(DAY, content)


@given(st.binary(max_size=200))
def test_anything_at_all_is_refused_as_a_recorded_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "BTC-USDT-1m.parquet"
    path.write_bytes(b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(MarketDataError):
        RecordedFile(BTC, path).bars()


def test_bad_day_goes_to_quarantine_and_the_others_are_read(tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    (tmp_path / DAY.path).parent.mkdir(parents=True)
    (tmp_path / DAY.path).write_bytes(day_of_long_texts())
    found = lake.read_day(DAY)
    assert isinstance(found, BadDay)
    assert found.fault is DayFault.UNREADABLE
    assert found.quarantined_to is not None
    assert json.loads((tmp_path / found.quarantined_to).with_suffix(".json").read_text())


def day_of(text: Any, **options: Any) -> bytes:
    """A whole day of 1,440 rows, each with the same texts as prices."""
    times = pa.array([0] * 1440, pa.timestamp("ms", tz="UTC"))
    table = pa.Table.from_arrays([times, *[text] * 5], names=SCHEMA.names)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({**facts_of(HONEST), b"signalbox.rows": b"1440"})
    return sink.getvalue()


def test_text_that_every_row_refers_to_is_counted_a_row(tmp_path: Path) -> None:
    """1.5 kB each, of which Arrow made 2.4 GiB and 175 MiB: a dictionary, and each value as a prefix of the one before."""
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 1440, pa.int32()), pa.array(["0" * 150_000]))
    (tmp_path / "dictionary").write_bytes(day_of(once, dictionary_pagesize_limit=2**30))
    prefixes = dict.fromkeys(VALUES, "DELTA_BYTE_ARRAY")
    repeated = pa.array(["0" * 10_000] * 1440)
    (tmp_path / "prefix").write_bytes(day_of(repeated, use_dictionary=False, column_encoding=prefixes))
    (tmp_path / "prefix2").write_bytes(day_of(repeated, use_dictionary=False, column_encoding=prefixes, data_page_version="2.0"))
    names = ("dictionary", "prefix", "prefix2")
    assert all((tmp_path / name).stat().st_size < 3_000 for name in names)
    reported = run_measured(
        "from datetime import date\nfrom pathlib import Path\nfrom signalbox.adapters.lake.day_file import decode\n"
        "from signalbox.market.lake import DayKey, SeriesKey\nkey = DayKey(SeriesKey('coinbase', 'BTC-USD'), date(2024, 3, 1))\n"
        f"reported = [measured(decode, key, Path(name).read_bytes()) for name in {names}]",
        tmp_path,
    )
    assert "unpack to more than" in reported[0][0]
    assert all("DELTA_BYTE_ARRAY" in said for said, _ in reported[1:])
    assert max(mib for _, mib in reported) < 32


def test_texts_of_a_fixed_length_are_counted_a_row() -> None:
    table = pa.table({"t": pa.array([b"0" * 2**20] * 2_000, pa.binary(2**20))})
    content = pa.py_buffer(parquet(table, dictionary_pagesize_limit=2**30))
    file = open_parquet(content, RECORDED)
    with pytest.raises(UnfitParquetError, match="unpack to more than"):
        judge_pages(content, file, {"t": "FIXED_LEN_BYTE_ARRAY"}, RECORDED)


def of_many(kind: int, count: int) -> bytes:
    """The head of a list of more than 14 elements in Thrift's compact protocol."""
    return bytes([0xF0 | kind]) + varint(count)


COLUMN = b"\x15\x02\x25\x00\x18\x00\x00"  # an int64 that is required and has no name
GROUP = b"\x19\x1c\x26\x00\x00\x16\x00\x16\x00\x00"  # one column without facts, no bytes, no rows


def schema_of(count: int) -> bytes:
    return b"\x15\x02\x19" + of_many(12, count + 1) + b"\x48\x00\x15" + zigzag(count) + b"\x00" + COLUMN * count


def test_a_footer_of_a_million_columns_or_row_groups_is_refused_before_arrow_reads(tmp_path: Path) -> None:
    """8 MiB each, of which Arrow made 1.6 GiB and 0.6 GiB."""
    footers = {
        "columns": schema_of(1_190_000) + b"\x16\x00\x19\x0c\x00",
        "groups": schema_of(15) + b"\x16\x00\x19" + of_many(12, 830_000) + GROUP * 830_000 + b"\x00",
        "keys": schema_of(15) + b"\x16\x00\x19\x0c\x19" + of_many(12, 2_700_000) + b"\x18\x00\x00" * 2_700_000 + b"\x00",
    }
    for name, footer in footers.items():
        (tmp_path / name).write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    reported = run_measured(
        "from pathlib import Path\nimport pyarrow as pa\n"
        "from signalbox.adapters.lake.judged import RECORDED, open_parquet\n"
        f"reported = [measured(open_parquet, pa.py_buffer(Path(name).read_bytes()), RECORDED) for name in {list(footers)}]",
        tmp_path,
    )
    assert ["lists have too many elements" in said or "of the 15 columns" in said for said, _ in reported] == [True] * 3
    assert max(mib for _, mib in reported) < 32
