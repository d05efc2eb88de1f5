"""`signalbox data export` and `signalbox data sample`: what goes out comes in again, and what is synthetic says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from local.cli.data.export import run_data_export
from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.run import ImportEnding, run_import
from local.cli.data.report.command import run_data_report
from local.cli.data.sample import run_data_sample
from local.errors import DataError
from local.market.parquet import ParquetSource
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.series import find_series
from signalbox.adapters.lake.stores import FolderStore
from signalbox.market.candles import MarketDataError
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, candles
from tests.unit.local.cli.test_data_import import Told
from tests.unit.training.synthetic import walk, write_candles

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_sample_is_the_same_for_a_seed_and_says_that_it_is_of_no_market(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert run_data_sample(tmp_path / name, days=2, seed=seed, json_output=False) == 0
    hashes = {name: [series.sha256() for series in find_series(tmp_path / name)] for name in "abc"}
    assert hashes["a"] == hashes["b"]
    assert hashes["a"] != hashes["c"]
    assert [series.symbol for series in find_series(tmp_path / "a")] == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert all(series.name.startswith("synthetic candles, of no market") for series in find_series(tmp_path / "a"))
    assert ParquetSource(tmp_path / "a", [BTC]).name.startswith("synthetic candles, of no market")
    capsys.readouterr()
    assert run_data_report(tmp_path / "a", None, json_output=False, now=NOW) == 0  # nothing in it is bad
    shown = capsys.readouterr().out
    assert "synthetic candles, of no market" in shown
    assert "outages of all symbols: 0 gaps, 0 minutes" in shown
    assert sum(len(series.bars()) for series in find_series(tmp_path / "a")) == 3 * 2 * 1_440


def test_a_sample_is_never_put_beside_the_candles_of_a_market(tmp_path: Path) -> None:
    key = DayKey(SeriesKey("coinbase", BTC), datetime(2024, 3, 1, tzinfo=UTC).date())
    Lake(FolderStore(tmp_path)).write_day(key, candles(BTC, key.end, 1440), asked_until=key.end)
    with pytest.raises(DataError, match="holds candles of coinbase; choose a folder for synthetic ones alone"):
        run_data_sample(tmp_path, days=2, seed=7, json_output=False)


@pytest.mark.parametrize("form", ["csv", "freqtrade"])
def test_what_is_exported_comes_in_again_without_a_difference(tmp_path: Path, form: str) -> None:
    run_data_sample(tmp_path / "lake", days=2, seed=7, json_output=False)
    out = tmp_path / "data/kraken"
    out.mkdir(parents=True)
    run_data_export(tmp_path / "lake", out, form=form, start=None, end=None, json_output=False)
    again = ImportRequest(paths=(out,), out=tmp_path / "again", now=NOW, venue="synthetic")
    assert run_import(again, Lake(FolderStore(tmp_path / "again")), Told()).ending is ImportEnding.OK
    assert {p.relative_to(tmp_path / "lake"): p.read_bytes() for p in (tmp_path / "lake").rglob("*.parquet")} == {
        p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*.parquet")
    }


def test_recorded_files_and_periods_are_exported(tmp_path: Path) -> None:
    write_candles(tmp_path / "recorded", walk(0.1))
    out = tmp_path / "out"
    out.mkdir()
    start, end = datetime(2024, 1, 1, 0, 10, tzinfo=UTC), datetime(2024, 1, 1, 0, 20, tzinfo=UTC)
    run_data_export(tmp_path / "recorded", out, form="csv", start=start, end=end, json_output=False)
    (path,) = out.iterdir()
    lines = path.read_text().splitlines()
    assert len(lines) == 11
    assert lines[0] == '"open_time_ms","open","high","low","close","base_volume"'.replace(
        '"', lines[0][:1] if lines[0][0] == '"' else ""
    )
    np.testing.assert_array_equal([float(line.split(",")[4]) for line in lines[1:]], walk(0.1).close[10:20])


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--format: expected csv or freqtrade, got xml"):
        run_data_export(tmp_path, tmp_path, form="xml", start=None, end=None, json_output=False)


def test_a_folder_without_candles_names_its_files_and_the_command_that_converts_them(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"the folder is empty: .*signalbox data sample"):
        find_series(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("BTC_USDT-1m.feather", "sub/BTCUSDT-1m-2024-03.zip"):
        (tmp_path / name).write_text("x")
    with pytest.raises(
        MarketDataError,
        match=r"it holds BTC_USDT-1m.feather, sub/BTCUSDT-1m-2024-03.zip: convert them with signalbox data import",
    ):
        find_series(tmp_path)
