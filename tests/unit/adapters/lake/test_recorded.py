from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.market.candles import MarketDataError
from tests.unit.training.synthetic import table_of, walk, write_candles

BARS = walk(0.1)
TABLE = table_of(BARS)


def _with(name: str, column: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, column)


def _edited(name: str, row: int, value: float) -> pa.Table:
    column = np.array(TABLE[name].to_numpy())
    column[row] = value
    return _with(name, pa.array(column))


def test_files_become_canonical_symbols_in_product_order(tmp_path: Path) -> None:
    write_candles(tmp_path, walk(0.1, symbol="SOL-USD"), walk(0.1, symbol="AAA-USD"), walk(0.1), walk(0.1, symbol="ETH-USD"))
    (tmp_path / "notes.txt").write_text("not candles")
    assert [file.symbol for file in find_series(tmp_path)] == ["BTC-USD", "ETH-USD", "SOL-USD", "AAA-USD"]


def test_round_trip_is_exact_and_bounded_by_start_and_end(tmp_path: Path) -> None:
    (file,) = find_series(write_candles(tmp_path, BARS))
    whole = require_bars(file)
    np.testing.assert_array_equal(whole.close, BARS.close)
    np.testing.assert_array_equal(whole.open_time_ms, BARS.open_time_ms)
    part = require_bars(file, datetime(2024, 1, 1, 0, 10, tzinfo=UTC), datetime(2024, 1, 1, 0, 20, tzinfo=UTC))
    assert len(part) == 10


def test_missing_folder_and_empty_folder_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"nowhere is not a directory: expected candles such as"):
        find_series(tmp_path / "nowhere")
    with pytest.raises(MarketDataError, match="found none"):
        find_series(tmp_path)


def test_two_files_of_one_symbol_are_refused(tmp_path: Path) -> None:
    write_candles(tmp_path, BARS)
    pq.write_table(TABLE, tmp_path / "BTC-USD-1m.parquet")
    with pytest.raises(MarketDataError, match=r"BTC-USDT-1m.*BTC-USD-1m.*keep one|BTC-USD-1m.*BTC-USDT-1m|keep one"):
        find_series(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: TABLE.drop_columns(["close"]), "close"),
        (lambda: TABLE.drop_columns(["open_time"]), "open_time"),
        (lambda: TABLE.slice(0, 0), "no candles"),
        (lambda: TABLE.take(pa.array([1, 0, 2, 3])), "not sorted"),
        (lambda: pa.concat_tables([TABLE.slice(0, 3), TABLE.slice(2, 5)]), "occur twice"),
        (lambda: _with("close", TABLE["close"].cast(pa.string())), "close is string.*signalbox data import"),
        (lambda: _with("volume", TABLE["volume"].cast(pa.string())), "volume is string"),
        (lambda: _with("open_time", TABLE["open_time"].cast(pa.timestamp("ms"))), "time zone"),
        (lambda: _with("open_time", TABLE["open_time"].cast(pa.int64())), "open_time is int64"),
        (lambda: _with("open_time", pc.add(TABLE["open_time"], pa.scalar(1_000, pa.duration("ms")))), "off the minute"),
        (lambda: _edited("close", 3, np.nan), "1 candles are impossible.*00:03"),
        (lambda: _edited("low", 4, -1.0), "impossible"),
        (lambda: _edited("high", 5, 1.0), "impossible"),
        (lambda: _edited("volume", 6, -0.1), "impossible"),
        (lambda: TABLE.take(pa.array(range(0, TABLE.num_rows, 5))), "holds 5-minute candles"),
        (
            lambda: pa.concat_tables([TABLE.slice(0, 60), TABLE.take(pa.array(range(60, 143, 3)))]),
            "from .*01:00.* 3-minute candles",
        ),
    ],
)
def test_unusable_candles_are_refused_naming_the_file(tmp_path: Path, change: Callable[[], pa.Table], message: str) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(change(), path)
    with pytest.raises(MarketDataError, match=rf"BTC-USDT-1m\.parquet.*{message}"):
        RecordedFile(BARS.symbol, path).bars()


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", b"time,open\n1,2\n"])
def test_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match="cannot be read as Parquet"):
        RecordedFile(BARS.symbol, path).bars()


def test_period_without_candles_is_refused(tmp_path: Path) -> None:
    (file,) = find_series(write_candles(tmp_path, BARS))
    with pytest.raises(MarketDataError, match="--start and --end"):
        require_bars(file, datetime(2030, 1, 1, tzinfo=UTC))


def test_zero_volume_and_huge_or_tiny_prices_are_candles(tmp_path: Path) -> None:
    table = TABLE.slice(0, 3)
    for name, values in {
        "open": [1e-12, 5.0, 1e12], "high": [1e-12, 5.0, 1e13], "low": [1e-13, 5.0, 1e11], "close": [1e-13, 5.0, 1e13],
        "volume": [0.0, 0.0, 1e18],
    }.items():  # fmt: skip
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, tmp_path / "BTC-USDT-1m.parquet")
    bars = find_series(tmp_path)[0].bars()
    assert bars.close.tolist() == [1e-13, 5.0, 1e13]
    assert bars.volume.tolist() == [0.0, 0.0, 1e18]


def test_only_the_row_groups_of_the_period_are_read(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(TABLE, path, row_group_size=10)
    file = RecordedFile(BARS.symbol, path)
    times, _ = file.columns(datetime(2024, 1, 1, 0, 15, tzinfo=UTC), datetime(2024, 1, 1, 0, 25, tzinfo=UTC))
    assert len(times) == 20
    assert len(file.bars(datetime(2024, 1, 1, 0, 15, tzinfo=UTC), datetime(2024, 1, 1, 0, 25, tzinfo=UTC))) == 10
    assert file.ends() == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 2, 24, tzinfo=UTC))


def test_a_file_of_another_timeframe_is_named(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "BTC-USDT-5m.parquet")
    with pytest.raises(MarketDataError, match=r"found none of 1 minute \(there are 5m\)"):
        find_series(tmp_path)


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "+00:00", "GMT", "Zulu", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_instant_is_the_same_however_its_zone_and_unit_are_written(tmp_path: Path, zone: str, unit: str) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(_with("open_time", TABLE["open_time"].cast(pa.timestamp(unit, tz=zone))), path)
    np.testing.assert_array_equal(RecordedFile(BARS.symbol, path).bars().open_time_ms, BARS.open_time_ms)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.float32()])
def test_whole_numbers_and_short_floats_are_volumes(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(_with("volume", pa.array(np.arange(TABLE.num_rows) % 90).cast(kind)), path)
    np.testing.assert_array_equal(RecordedFile(BARS.symbol, path).bars().volume, np.arange(TABLE.num_rows) % 90)


def test_a_short_float_keeps_its_decimal(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    table = TABLE
    for name in ("open", "high", "low", "close"):
        table = table.set_column(table.column_names.index(name), name, pa.array(np.full(TABLE.num_rows, 0.1, dtype=np.float32)))
    pq.write_table(table, path)
    assert set(RecordedFile(BARS.symbol, path).bars().close.tolist()) == {0.1}
