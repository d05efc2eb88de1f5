"""Day files: the same rows are the same bytes, numbers are exact, a bad file is never read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.adapters.lake import day_file
from signalbox.adapters.lake.day_file import DayFile, decode, encode
from signalbox.adapters.lake.lake import BadDay, Lake
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.adapters.lake.stores import FolderStore, LakeStorageError
from signalbox.market.candles import Bars, Candle, MarketDataError, Symbol, is_bounded, to_ms
from signalbox.market.lake import VALUES, DayFault, DayFileError, DayKey, SeriesKey
from tests.builders import BTC, ETH, SOL, candle, candles, minutes

SERIES = SeriesKey("coinbase", BTC)
FIRST = date(2024, 3, 1)
DAY = DayKey(SERIES, FIRST)


def days(count: int, series: SeriesKey = SERIES) -> list[DayKey]:
    return [DayKey(series, FIRST + timedelta(days=i)) for i in range(count)]


def filled(root: Path, count: int = 3, series: SeriesKey = SERIES) -> Lake:
    lake = Lake(FolderStore(root))
    for key in days(count, series):
        lake.write_day(key, candles(series.symbol, key.start + minutes(90), 90), asked_until=key.end)
    return lake


@given(
    st.lists(
        st.tuples(
            st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e12"), allow_nan=False).filter(is_bounded),
            st.decimals(min_value=0, max_value=Decimal("1e15"), allow_nan=False).filter(is_bounded),
        ),
        max_size=30,
    )
)
def test_round_trip_is_exact_for_every_decimal(rows: list[tuple[Decimal, Decimal]]) -> None:
    made = [Candle(BTC, DAY.start + minutes(i), p, p * 2, p / 2 if p > 1 else p, p, v) for i, (p, v) in enumerate(rows)]
    content = encode(DAY, made, DAY.end)
    got = decode(DAY, content)
    assert got.candles == tuple(made)
    for name in VALUES:
        np.testing.assert_array_equal(getattr(got.bars, name), getattr(Bars.from_candles(BTC, made), name))
    assert encode(DAY, got.candles, got.asked_until) == content


def test_same_numbers_written_otherwise_are_the_same_bytes() -> None:
    one = candle(BTC, DAY.start, "100.10", volume="1E+2")
    other = candle(BTC, DAY.start, "100.1", volume="100.000")
    assert encode(DAY, [one], DAY.end) == encode(DAY, [other], DAY.end)


def test_writing_again_changes_nothing_and_leaves_no_other_file(tmp_path: Path) -> None:
    lake, rows = Lake(FolderStore(tmp_path)), candles(BTC, DAY.start + minutes(60), 60)
    assert lake.write_day(DAY, rows, asked_until=DAY.end)
    before = (tmp_path / DAY.path).stat()
    assert not lake.write_day(DAY, rows, asked_until=DAY.end)
    assert (tmp_path / DAY.path).stat().st_mtime_ns == before.st_mtime_ns
    assert lake.write_day(DAY, rows[:-1], asked_until=DAY.end)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / DAY.path]


def test_a_day_says_until_when_it_was_asked_and_may_be_empty(tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    lake.write_day(DAY, [], asked_until=DAY.end)
    whole = lake.read_day(DAY)
    assert isinstance(whole, DayFile)
    assert (len(whole), whole.asked_until) == (0, DAY.end)
    lake.write_day(DAY, candles(BTC, DAY.start + minutes(5), 5), asked_until=DAY.start + minutes(5))
    half = lake.read_day(DAY)
    assert isinstance(half, DayFile)
    assert (len(half), half.asked_until) == (5, DAY.start + minutes(5))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([candle(ETH, DAY.start)], "expected candles of BTC-USD, got ETH-USD"),
        ([candle(BTC, DAY.end)], "TIMES_OUTSIDE_DAY"),
        ([candle(BTC, DAY.start + minutes(1)), candle(BTC, DAY.start)], "TIMES_UNSORTED"),
    ],
)
def test_rows_that_are_no_day_are_never_written(tmp_path: Path, rows: list[Candle], message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        Lake(FolderStore(tmp_path)).write_day(DAY, rows, asked_until=DAY.end)
    assert list(tmp_path.iterdir()) == []


class CountingStore(FolderStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []

    @override
    def read(self, path: str) -> bytes | None:
        self.opened.append(path)
        return super().read(path)


def test_only_the_days_asked_for_are_opened(tmp_path: Path) -> None:
    filled(tmp_path, 6)
    store = CountingStore(tmp_path)
    start = DAY.start + timedelta(days=2, minutes=30)
    got = Lake(store).read(SERIES, start, DAY.start + timedelta(days=4))
    assert store.opened == [key.path for key in days(6)[2:4]]
    assert len(got.bars) == 60 + 90


def _tampered(change: Any) -> bytes:
    """A file whose rows were changed by somebody who kept what it says of itself."""
    content = encode(DAY, candles(BTC, DAY.start + minutes(90), 90), DAY.end)
    file = pq.ParquetFile(pa.BufferReader(content))
    output = {k: v for k, v in file.metadata.metadata.items() if k.startswith(b"signalbox.")}
    table, output = change(file.read(), output)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(output)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _sealed_with(name: str, number: str) -> bytes:
    """A file with one other number whose writer sealed it properly."""

    def change(table: pa.Table, output: dict[bytes, bytes]) -> tuple[pa.Table, dict[bytes, bytes]]:
        column = pa.array([number, *table[name].to_pylist()[1:]])
        table = _set(table, name, column).combine_chunks()
        facts = {key.decode().removeprefix("signalbox."): value.decode() for key, value in output.items()}
        times = table["open_time"].cast(pa.int64()).to_numpy()
        facts["sha256"] = day_file._checksum(facts, times, [table[value].chunk(0) for value in VALUES])
        return table, {f"signalbox.{key}".encode(): value.encode() for key, value in facts.items()}

    return _tampered(change)


@pytest.mark.parametrize("number", ["1e-400", "1e-99999999999999999999", "0." + "0" * 36 + "1"])
def test_number_that_no_candle_holds_is_refused_though_the_file_is_sealed(number: str) -> None:
    assert float(decode(DAY, _sealed_with("volume", "0.5")).candles[0].volume) == 0.5
    with pytest.raises(DayFileError, match="at most 36 decimals") as refused:
        decode(DAY, _sealed_with("volume", number))
    assert refused.value.fault is DayFault.PRICES_IMPOSSIBLE


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


GOOD = encode(DAY, candles(BTC, DAY.start + minutes(90), 90), DAY.end)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", DayFault.UNREADABLE),
        (b"PAR1 no more", DayFault.UNREADABLE),
        (GOOD[: len(GOOD) // 2], DayFault.UNREADABLE),
        (GOOD[:-1], DayFault.UNREADABLE),
        (_tampered(lambda t, m: (t.slice(0, 80), m)), DayFault.ROWS_SHORT),
        (_tampered(lambda t, m: (_set(t, "close", pa.array(["101"] * 90)), m)), DayFault.CHECKSUM_DIFFERS),
        (_tampered(lambda t, m: (t, m | {b"signalbox.asked_until": b"1"})), DayFault.METADATA_ABSENT),  # of another day
        (_tampered(lambda t, m: (t, m | {b"signalbox.asked_until": b"%d" % to_ms(days(3)[0].start)})), DayFault.CHECKSUM_DIFFERS),
        (_tampered(lambda t, m: (t.take(pa.array([1, 0, *range(2, 90)])), m)), DayFault.CHECKSUM_DIFFERS),
        (_tampered(lambda t, m: (t, {})), DayFault.METADATA_ABSENT),
        (_tampered(lambda t, m: (t, m | {b"signalbox.format": b"9"})), DayFault.METADATA_ABSENT),
        (_tampered(lambda t, m: (t, m | {b"signalbox.rows": b"many"})), DayFault.METADATA_ABSENT),
        (_tampered(lambda t, m: (t, m | {b"signalbox.symbol": b"ETH-USD"})), DayFault.OTHER_DAY),
        (_tampered(lambda t, m: (t.drop_columns(["volume"]), m)), DayFault.SCHEMA_DIFFERS),
        (_tampered(lambda t, m: (_set(t, "close", pa.array([1.0] * 90)), m)), DayFault.SCHEMA_DIFFERS),
        (_tampered(lambda t, m: (_set(t, "open_time", t["open_time"].cast(pa.timestamp("ms"))), m)), DayFault.SCHEMA_DIFFERS),
        (_tampered(lambda t, m: (_set(t, "close", pa.array([None] * 90, pa.string())), m)), DayFault.SCHEMA_DIFFERS),
    ],
)
def test_a_bad_file_is_set_aside_with_a_report_and_the_other_days_are_read(
    tmp_path: Path, content: bytes, fault: DayFault, caplog: pytest.LogCaptureFixture
) -> None:
    lake, key = filled(tmp_path), days(3)[0]
    (tmp_path / key.path).write_bytes(content)
    got = lake.read(SERIES)
    assert len(got.bars) == 180
    (bad,) = got.bad_days
    assert (bad.key, bad.fault) == (key, fault)
    assert bad.quarantined_to is not None
    assert not (tmp_path / key.path).exists()
    assert (tmp_path / bad.quarantined_to).read_bytes() == content
    report = json.loads((tmp_path / bad.quarantined_to).with_suffix(".json").read_text())
    assert (report["path"], report["fault"], report["bytes"]) == (key.path, fault, len(content))
    assert lake.read(SERIES).bad_days == ()


def test_every_single_flipped_byte_is_noticed_or_harmless() -> None:
    rows = decode(DAY, GOOD).candles
    for place in range(0, len(GOOD), 37):
        spoilt = bytearray(GOOD)
        spoilt[place] ^= 0x40
        try:
            got = decode(DAY, bytes(spoilt))
        except DayFileError:
            continue
        assert got.candles == rows
        assert got.asked_until == DAY.end


def test_looking_leaves_a_bad_file_where_it_is(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    (tmp_path / DAY.path).write_bytes(b"no more")
    assert isinstance(lake.inspect(DAY), BadDay)
    assert (tmp_path / DAY.path).exists()
    assert lake.inspect(days(9)[8]) is None


class ReadOnlyStore(FolderStore):
    @override
    def write(self, path: str, content: bytes) -> None:
        raise LakeStorageError("cannot write: the file system is read-only")


def test_a_bad_file_that_cannot_be_moved_is_still_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path)
    (tmp_path / DAY.path).write_bytes(b"no more")
    got = Lake(ReadOnlyStore(tmp_path)).read(SERIES)
    assert len(got.bars) == 180
    assert got.bad_days[0].quarantined_to is None


def test_files_of_other_names_are_not_the_lakes(tmp_path: Path) -> None:
    lake = filled(tmp_path, 2)
    folder = (tmp_path / DAY.path).parent
    (folder / ".date=2024-03-09.parquet.x1").write_bytes(b"half a write")
    (folder / "notes.parquet").write_bytes(b"")
    assert lake.days() == tuple(days(2))


def test_a_folder_that_is_a_file_or_forbidden_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "candles").write_text("a file")
    with pytest.raises(LakeStorageError, match="a part of the path is a file"):
        filled(tmp_path)


@pytest.mark.parametrize("part", ["", "candles", "candles/venue=coinbase"])
def test_a_lake_is_found_from_its_root_its_candles_or_one_venue(tmp_path: Path, part: str) -> None:
    for symbol in ("SOL-USDT", "BTC-USD", "ETH-USDC", "BTC-EUR"):
        filled(tmp_path, 2, SeriesKey("coinbase", Symbol(symbol)))
    found = find_series(tmp_path / part)
    assert [one.symbol for one in found] == [BTC, ETH, SOL, "BTC-EUR"]
    assert found[0].name == "candles/venue=coinbase/symbol=BTC-USD/timeframe=1m"
    assert found[2].bars().symbol == SOL
    assert found[0].ends() == (DAY.start, DAY.start + timedelta(days=1, minutes=90))
    assert len(require_bars(found[1], DAY.start, DAY.end)) == 90
    assert found[0].sha256() == find_series(tmp_path)[0].sha256() != found[1].sha256()


def test_ends_pass_over_bad_and_empty_days(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lake, keys = filled(tmp_path, 4), days(4)
    (tmp_path / keys[0].path).write_bytes(b"")
    lake.write_day(keys[3], [], asked_until=keys[3].end)
    assert find_series(tmp_path)[0].ends() == (keys[1].start, keys[2].start + minutes(90))


def test_a_lake_without_any_readable_candle_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 1)
    (tmp_path / DAY.path).write_bytes(b"")
    with pytest.raises(MarketDataError, match="no candles that can be read"):
        find_series(tmp_path)[0].ends()


def test_two_venues_of_one_symbol_are_refused_until_one_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    filled(tmp_path, 1, SeriesKey("binance", Symbol("BTC-USDT")))
    with pytest.raises(MarketDataError, match=r"venue=binance.* also holds BTC-USD"):
        find_series(tmp_path)
    assert [one.symbol for one in find_series(tmp_path / "candles" / "venue=coinbase")] == [BTC]


def test_a_lake_and_recorded_files_in_one_folder_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    (tmp_path / "BTC-USDT-1m.parquet").write_bytes(b"")
    with pytest.raises(MarketDataError, match=r"holds both a lake and BTC-USDT-1m\.parquet"):
        find_series(tmp_path)


def test_a_lake_of_another_timeframe_is_named(tmp_path: Path) -> None:
    series = SeriesKey("coinbase", BTC, "5m")
    Lake(FolderStore(tmp_path)).write_day(DayKey(series, FIRST), [candle(BTC, DAY.start)], asked_until=DAY.end)
    with pytest.raises(MarketDataError, match="expected 1-minute candles, holds 5m only"):
        find_series(tmp_path)


def test_a_period_without_candles_is_refused_by_those_who_need_some(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    with pytest.raises(MarketDataError, match="--start and --end"):
        require_bars(find_series(tmp_path)[0], datetime(2030, 1, 1, tzinfo=UTC))
