from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signalbox.market.candles import MarketDataError
from tests.unit.training.synthetic import table_of, walk, write_candles
from training.candles import CandleFile, find_candle_files, read_bars

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
    assert [file.symbol for file in find_candle_files(tmp_path)] == ["BTC-USD", "ETH-USD", "SOL-USD", "AAA-USD"]


def test_round_trip_is_exact_and_bounded_by_start_and_end(tmp_path: Path) -> None:
    (file,) = find_candle_files(write_candles(tmp_path, BARS))
    whole = read_bars(file)
    np.testing.assert_array_equal(whole.close, BARS.close)
    np.testing.assert_array_equal(whole.open_time_ms, BARS.open_time_ms)
    part = read_bars(file, datetime(2024, 1, 1, 0, 10, tzinfo=UTC), datetime(2024, 1, 1, 0, 20, tzinfo=UTC))
    assert len(part) == 10


def test_missing_folder_and_empty_folder_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"nowhere: expected a folder"):
        find_candle_files(tmp_path / "nowhere")
    with pytest.raises(MarketDataError, match=r"BTC-USDT-1m\.parquet, found none"):
        find_candle_files(tmp_path)


def test_two_files_of_one_symbol_are_refused(tmp_path: Path) -> None:
    write_candles(tmp_path, BARS)
    pq.write_table(TABLE, tmp_path / "BTC-USD-1m.parquet")
    with pytest.raises(MarketDataError, match=r"BTC-USDT-1m.*BTC-USD-1m.*keep one|BTC-USD-1m.*BTC-USDT-1m|keep one"):
        find_candle_files(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: TABLE.drop_columns(["close"]), "close"),
        (lambda: TABLE.drop_columns(["open_time"]), "open_time"),
        (lambda: TABLE.slice(0, 0), "no candles"),
        (lambda: TABLE.take(pa.array([1, 0, 2, 3])), "not sorted"),
        (lambda: pa.concat_tables([TABLE.slice(0, 3), TABLE.slice(2, 5)]), "occur twice"),
        (lambda: _with("close", TABLE["close"].cast(pa.float32())), "close is float"),
        (lambda: _with("volume", TABLE["volume"].cast(pa.string())), "volume is string"),
        (lambda: _with("open_time", TABLE["open_time"].cast(pa.timestamp("ms"))), "time zone"),
        (lambda: _with("open_time", TABLE["open_time"].cast(pa.int64())), "open_time is int64"),
        (lambda: _with("open_time", pc.add(TABLE["open_time"], pa.scalar(1_000, pa.duration("ms")))), "off the minute"),
        (lambda: _edited("close", 3, np.nan), "1 candles are impossible.*00:03"),
        (lambda: _edited("low", 4, -1.0), "impossible"),
        (lambda: _edited("high", 5, 1.0), "impossible"),
        (lambda: _edited("volume", 6, -0.1), "impossible"),
    ],
)
def test_unusable_candles_are_refused_naming_the_file(tmp_path: Path, change: Callable[[], pa.Table], message: str) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(change(), path)
    with pytest.raises(MarketDataError, match=rf"BTC-USDT-1m\.parquet.*{message}"):
        read_bars(CandleFile(BARS.symbol, path))


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", b"time,open\n1,2\n"])
def test_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "BTC-USDT-1m.parquet"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match="cannot be read as Parquet"):
        read_bars(CandleFile(BARS.symbol, path))


def test_period_without_candles_is_refused(tmp_path: Path) -> None:
    (file,) = find_candle_files(write_candles(tmp_path, BARS))
    with pytest.raises(MarketDataError, match="--start and --end"):
        read_bars(file, datetime(2030, 1, 1, tzinfo=UTC))
