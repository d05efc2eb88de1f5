"""Where candles come from, and what is said when they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.errors import DataError
from local.market.choice import choose_source
from local.market.parquet import ParquetSource
from local.market.simulator import SimulatedSource
from local.replay.replay import default_window, load_feed
from local.settings import Settings, load_settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.contracts import SYMBOLS
from signalbox.market.candles import Symbol
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import candles

ALL = [Symbol(s) for s in SYMBOLS]
START = datetime(2024, 3, 1, tzinfo=UTC)


def settings(tmp_path: Path, **environ: str) -> Settings:
    loaded = load_settings(environ)
    return Settings(tmp_path / "repo", tmp_path / "state", loaded.data, ci=True, base_env={})


def write_candles(folder: Path, *, minutes: int = 3 * 1440, skip: range = range(0), quote: str = "USDT") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kept = [n for n in range(minutes) if n not in skip]
    for index, symbol in enumerate(ALL):
        price = [100.0 + index + n / 1000 for n in kept]
        table = pa.table(
            {
                "open_time": pa.array([START + timedelta(minutes=n) for n in kept], pa.timestamp("ms", tz="UTC")),
                **dict.fromkeys(("open", "high", "low", "close"), price),
                "volume": [1.0] * len(kept),
            }
        )
        pq.write_table(table, folder / f"{symbol.partition('-')[0]}-{quote}-1m.parquet", row_group_size=500)
    return folder


@pytest.mark.parametrize("quote", ["USD", "USDT", "USDC"])
def test_window_is_read_across_row_groups(tmp_path: Path, quote: str) -> None:
    source = ParquetSource(write_candles(tmp_path, quote=quote), ALL)
    start = START + timedelta(minutes=490)
    bars = source.bars(ALL[1], start, start + timedelta(minutes=30))
    assert len(bars) == 30
    assert bars.close[0] == pytest.approx(101.49)
    assert source.coverage(ALL).last == START + timedelta(days=3)


def test_missing_minutes_stay_missing(tmp_path: Path) -> None:
    source = ParquetSource(write_candles(tmp_path, skip=range(700, 720)), ALL)
    assert len(source.bars(ALL[0], START + timedelta(minutes=690), START + timedelta(minutes=730))) == 20


def test_folder_without_files_or_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a directory"):
        ParquetSource(tmp_path / "nowhere", ALL)
    with pytest.raises(DataError, match=r"BTC-USDT-1m\.parquet"):
        ParquetSource(tmp_path, ALL)


def test_wrong_columns_or_no_parquet_at_all_is_an_error(tmp_path: Path) -> None:
    write_candles(tmp_path)
    pq.write_table(pa.table({"open_time": [1], "close": [1.0]}), tmp_path / "BTC-USDT-1m.parquet")
    with pytest.raises(DataError, match="has no open"):
        ParquetSource(tmp_path, ALL)
    (tmp_path / "BTC-USDT-1m.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        ParquetSource(tmp_path, ALL)


def test_replay_outside_of_the_data_says_what_there_is(tmp_path: Path) -> None:
    source = ParquetSource(write_candles(tmp_path), ALL)
    with pytest.raises(DataError, match="covers 2024-03-01 00:00 to 2024-03-04 00:00 UTC"):
        load_feed(source, tuple(ALL), START, START + timedelta(hours=6))
    start, end = default_window(source, 6, None)
    assert (start, end) == (START + timedelta(hours=66), START + timedelta(hours=72))
    feed = load_feed(source, tuple(ALL), start, end)
    assert len(feed.bars(ALL[0], start, end)) == 360


def test_named_folder_wins_over_the_environment_which_wins_over_the_shared_one(tmp_path: Path) -> None:
    named, environment = write_candles(tmp_path / "named"), write_candles(tmp_path / "environment" / "candles")
    shared = write_candles(tmp_path / "shared" / "data" / "candles")
    with_all = settings(tmp_path, SIGNALBOX_DATA=str(environment.parent))
    assert choose_source(named, with_all, ALL).name.endswith(str(named))
    assert choose_source(None, with_all, ALL).name.endswith(str(environment))
    assert choose_source(None, settings(tmp_path), ALL).name.endswith(str(shared))


def test_folder_that_was_asked_for_is_never_replaced_by_another_source(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        choose_source(None, settings(tmp_path, SIGNALBOX_DATA=str(tmp_path / "typo")), ALL)


def test_simulated_replay_is_the_same_every_time() -> None:
    assert default_window(SimulatedSource(7), 2, None) == default_window(SimulatedSource(7), 2, None)


def test_a_lake_is_a_source_like_recorded_files(tmp_path: Path) -> None:
    lake = Lake(FolderStore(tmp_path))
    for symbol in ALL:
        for day in range(3):
            key = DayKey(SeriesKey("coinbase", symbol), (START + timedelta(days=day)).date())
            lake.write_day(key, candles(symbol, key.end, 1440), asked_until=key.end)
    source = ParquetSource(tmp_path, ALL)
    assert source.coverage(ALL).first == START
    assert default_window(source, 6.0, None)[1] == START + timedelta(days=3)
    start = START + timedelta(hours=23)
    assert len(source.bars(ALL[2], start, start + timedelta(hours=2))) == 120
    with pytest.raises(DataError, match="no candles of DOGE-USD, only of BTC-USD, ETH-USD, SOL-USD"):
        ParquetSource(tmp_path / "candles" / "venue=coinbase", [*ALL, Symbol("DOGE-USD")])
