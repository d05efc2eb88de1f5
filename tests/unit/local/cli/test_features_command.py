"""The feature file: what is in it, that it is whole or not there, and one clear line for every wrong input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from local.cli.command import app
from local.cli.features.command import FeaturesOptions, run_features
from signalbox.errors import SignalboxError
from signalbox.features import compute_features, get_schema
from signalbox.market.candles import Bars, Symbol
from tests.unit.features.synthetic_bars import BTC, walk, without

ETH, SOL = Symbol("ETH-USD"), Symbol("SOL-USD")
COUNT = 2_700
V50 = get_schema("v50")


def table_of(bars: Bars) -> pa.Table:
    times = pa.array(bars.open_time_ms).cast(pa.timestamp("ms", tz="UTC"))
    return pa.table(
        {
            "open_time": times,
            "open": bars.open,
            "high": bars.high,
            "low": bars.low,
            "close": bars.close,
            "volume": bars.volume,
        }
    )


def write(folder: Path, bars: Bars, table: pa.Table | None = None) -> None:
    pq.write_table(table_of(bars) if table is None else table, folder / f"{bars.symbol}T-1m.parquet")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, symbol in enumerate((BTC, ETH, SOL)):
        write(folder, walk(COUNT, seed, symbol=symbol))
    return folder


def test_the_file_has_symbol_time_features_in_order_and_completeness(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "features.parquet"
    result = run_features(FeaturesOptions(data, "v50", out))
    table = pq.read_table(out)
    assert table.column_names == ["symbol", "open_time", *V50.names, "is_complete"]
    assert table.schema.metadata[b"signalbox.schema_hash"].decode() == V50.hash
    assert result.rows == table.num_rows == 3 * COUNT
    assert result.complete_rows == 3 * (COUNT - V50.warmup_bars + 1)
    assert table["symbol"].to_pylist() == [BTC] * COUNT + [ETH] * COUNT + [SOL] * COUNT
    eth = table.slice(COUNT, COUNT)
    matrix = compute_features(V50, walk(COUNT, 1, symbol=ETH), reference=walk(COUNT, 0))
    np.testing.assert_array_equal(np.column_stack([eth[name].to_numpy() for name in V50.names]), matrix.values)
    np.testing.assert_array_equal(eth["is_complete"].to_numpy(), matrix.is_complete)
    np.testing.assert_array_equal(eth["open_time"].cast(pa.int64()).to_numpy(), matrix.open_time_ms)


def test_a_period_has_the_rows_of_the_whole(data: Path, tmp_path: Path) -> None:
    run_features(FeaturesOptions(data, "v31", tmp_path / "all.parquet"))
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=2_400)
    run_features(FeaturesOptions(data, "v31", tmp_path / "part.parquet", start, start + timedelta(minutes=60)))
    whole, part = pq.read_table(tmp_path / "all.parquet"), pq.read_table(tmp_path / "part.parquet")
    assert part.num_rows == 180
    assert part.slice(0, 60).equals(whole.slice(2_400, 60))


def test_json_says_rows_time_and_memory_and_nothing_else_is_on_stdout(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    done = CliRunner().invoke(app, ["features", "--data", str(data), "--schema", "v50", "--out", str(out), "--json"])
    assert done.exit_code == 0
    output = json.loads(done.stdout)
    assert (output["schema"], output["schema_hash"], output["rows"]) == ("v50", V50.hash, 3 * COUNT)
    assert output["wall_seconds"] > 0
    assert output["rows_per_s"] > 0
    assert output["peak_memory_bytes"] > 2**20
    assert [one["symbol"] for one in output["symbols"]] == [BTC, ETH, SOL]


def test_people_get_a_table_and_one_line_of_figures(data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["features", "--data", str(data), "--out", str(tmp_path / "f.parquet")])
    assert done.exit_code == 0
    assert re.search(r"8,100 rows in .* rows/s\), *peak memory", done.stdout.replace("\n", " "))


def test_a_symbol_that_ends_half_way_is_told_and_what_depends_on_it_is_flagged(data: Path, tmp_path: Path) -> None:
    write(data, walk(2_600, 0))  # BTC, the reference of the others
    result = run_features(FeaturesOptions(data, "v50", tmp_path / "f.parquet"))
    assert result.warnings == ("BTC-USD ends at 2024-01-02T19:19:00+00:00, 100 minutes before the others",)
    eth = pq.read_table(tmp_path / "f.parquet").slice(2_600, COUNT)
    assert eth["is_complete"].to_pylist()[2_599:] == [True] + [False] * 100
    assert not np.isfinite(eth["btc_return_5_volscaled"].to_numpy()[2_605:]).any()


def test_gaps_stay_gaps(data: Path, tmp_path: Path) -> None:
    write(data, without(walk(COUNT, 1, symbol=ETH), 2_500, 2_509))
    run_features(FeaturesOptions(data, "v31", tmp_path / "f.parquet"))
    eth = pq.read_table(tmp_path / "f.parquet").slice(COUNT, COUNT - 10)
    assert set(eth["symbol"].to_pylist()) == {ETH}
    assert not any(eth["is_complete"].to_pylist()[2_500:2_559])


def test_a_history_too_short_is_flagged_row_by_row(tmp_path: Path) -> None:
    write(tmp_path, walk(1))
    result = run_features(FeaturesOptions(tmp_path, "v31", tmp_path / "f.parquet"))
    assert (result.rows, result.complete_rows) == (1, 0)
    assert np.isnan(pq.read_table(tmp_path / "f.parquet")["rsi_14"].to_numpy()).all()


def reversed_rows(bars: Bars) -> pa.Table:
    return table_of(bars).take(np.arange(len(bars))[::-1])


def doubled_row(bars: Bars) -> pa.Table:
    return pa.concat_tables([table_of(bars).slice(0, 10), table_of(bars).slice(9)])


def overlapping(bars: Bars) -> pa.Table:
    return pa.concat_tables([table_of(bars).slice(0, 1_000), table_of(bars).slice(900)])


def five_minutes(bars: Bars) -> pa.Table:
    return table_of(bars).take(np.arange(0, len(bars), 5))


def off_the_minute(bars: Bars) -> pa.Table:
    return table_of(bars).set_column(0, "open_time", pa.array(bars.open_time_ms + 1).cast(pa.timestamp("ms", tz="UTC")))


def naive_times(bars: Bars) -> pa.Table:
    return table_of(bars).set_column(0, "open_time", pa.array(bars.open_time_ms).cast(pa.timestamp("ms")))


def no_volume(bars: Bars) -> pa.Table:
    return table_of(bars).drop_columns(["volume"])


def missing_price(bars: Bars) -> pa.Table:
    return table_of(bars).set_column(4, "close", pa.array([None, *bars.close[1:].tolist()], pa.float64()))


def negative_price(bars: Bars) -> pa.Table:
    return table_of(bars).set_column(3, "low", pa.array([-1.0, *bars.low[1:].tolist()]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (reversed_rows, "ETH-USDT-1m.parquet"),
        (doubled_row, "ETH-USDT-1m.parquet"),
        (overlapping, "ETH-USDT-1m.parquet"),
        (five_minutes, "ETH-USDT-1m.parquet: .*5-minute candles; expected 1-minute"),
        (off_the_minute, "ETH-USDT-1m.parquet"),
        (naive_times, "open_time is timestamp"),
        (no_volume, "has no volume"),
        (missing_price, "ETH-USDT-1m.parquet"),
        (negative_price, "ETH-USDT-1m.parquet"),
    ],
)
def test_a_wrong_file_is_named_and_leaves_the_old_result(
    spoil: Callable[[Bars], pa.Table], message: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    out.write_bytes(b"the result of yesterday")
    bars = walk(COUNT, 1, symbol=ETH)
    write(data, bars, spoil(bars))
    with pytest.raises(SignalboxError, match=message):
        run_features(FeaturesOptions(data, "v50", out))
    assert out.read_bytes() == b"the result of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "f.parquet"]


def test_two_files_of_one_symbol_are_refused(data: Path, tmp_path: Path) -> None:
    pq.write_table(table_of(walk(COUNT)), data / "BTC-USDC-1m.parquet")
    with pytest.raises(SignalboxError, match=r"BTC-USDT-1m\.parquet.*BTC-USD"):
        run_features(FeaturesOptions(data, "v31", tmp_path / "f.parquet"))


def test_a_folder_of_other_timeframes_is_refused(tmp_path: Path) -> None:
    pq.write_table(table_of(walk(10)), tmp_path / "BTC-USDT-5m.parquet")
    with pytest.raises(SignalboxError, match="5m"):
        run_features(FeaturesOptions(tmp_path, "v31", tmp_path / "f.parquet"))


def test_v50_without_btc_is_refused_and_v31_is_not(data: Path, tmp_path: Path) -> None:
    (data / "BTC-USDT-1m.parquet").unlink()
    with pytest.raises(SignalboxError, match=r"expected bars of the reference BTC-USD among ETH-USD, SOL-USD"):
        run_features(FeaturesOptions(data, "v50", tmp_path / "f.parquet"))
    assert run_features(FeaturesOptions(data, "v31", tmp_path / "f.parquet")).rows == 2 * COUNT


NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (NEW_YEAR + timedelta(days=1), NEW_YEAR, "expected --start before --end"),
        (NEW_YEAR, NEW_YEAR, "expected --start before --end"),
        (NEW_YEAR + timedelta(days=900), None, "between --start and --end|from 2026"),
        (NEW_YEAR + timedelta(minutes=COUNT + 5), None, r"has no candles from 2024-01-02T21:05.* newest"),
        (None, NEW_YEAR, "between --start and --end"),
    ],
)
def test_a_period_without_rows_is_refused(
    start: datetime | None, end: datetime | None, message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(SignalboxError, match=message):
        run_features(FeaturesOptions(data, "v31", tmp_path / "f.parquet", start, end))


def test_an_out_that_cannot_be_written_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SignalboxError, match="is a folder"):
        run_features(FeaturesOptions(data, "v31", tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SignalboxError, match=r"cannot write f\.parquet"):
        run_features(FeaturesOptions(data, "v31", tmp_path / "file" / "f.parquet"))


@pytest.mark.parametrize(
    "arguments", [["--schema", "v9", "--out", "x"], ["--schema", "v31"], ["--data", "nowhere", "--out", "x"]]
)
def test_a_wrong_argument_is_refused(arguments: list[str], data: Path) -> None:
    where = [] if "--data" in arguments else ["--data", str(data)]
    done = CliRunner().invoke(app, ["features", *where, *arguments])
    assert isinstance(done.exception, SignalboxError)
