"""`signalbox data report`: what is there, what is missing and what is wrong, on a lake and on recorded files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.cli.data.report.command import run_data_report
from local.cli.data.report.facts import read_facts
from local.cli.data.report.heat_map import missing_by_day
from local.settings import load_settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.market.candles import MarketDataError, Symbol
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, ETH, SOL, candles, minutes

START = datetime(2024, 1, 30, tzinfo=UTC)
NOW = datetime(2024, 3, 1, tzinfo=UTC)
RECORDED = load_settings({}).recorded_candles


def table(places: Any, close: float = 10.0) -> pa.Table:
    price = np.full(len(list(places)), close)
    times = pa.array([START + minutes(int(i)) for i in places], pa.timestamp("ms", tz="UTC"))
    return pa.table({"open_time": times, **dict.fromkeys(("open", "high", "low", "close"), price), "volume": np.ones(len(price))})


def write(folder: Path, symbol: str, what: pa.Table) -> None:
    pq.write_table(what, folder / f"{symbol}-1m.parquet")


def report(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    code = run_data_report(folder, out, json_output=True, now=NOW)
    captured = capsys.readouterr()
    reported = json.loads(captured.out)
    assert json.loads((out / "report.json").read_text()) == reported
    assert (out / "coverage.png").read_bytes().startswith(b"\x89PNG")
    return code, reported, captured.err


@pytest.mark.skipif(RECORDED is None, reason="needs recorded candles: SIGNALBOX_DATA or ../shared/data")
def test_the_known_facts_of_the_recorded_data_are_found_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert RECORDED is not None
    code, reported, err = report(RECORDED, tmp_path, capsys)
    assert (code, reported["sound"]) == (0, True)
    assert {s: (one["rows"], one["missing_minutes"]) for s, one in reported["symbols"].items()} == {
        "BTC-USD": (1_151_920, 80),
        "ETH-USD": (1_151_920, 80),
        "SOL-USD": (1_151_919, 81),
    }
    halt = {"first": "2023-03-24T12:40:00+00:00", "last": "2023-03-24T13:59:00+00:00", "minutes": 80}
    minute = {"first": "2023-02-14T16:39:00+00:00", "last": "2023-02-14T16:39:00+00:00", "minutes": 1}
    assert reported["outages"] == [halt]
    assert {s: one["own_gaps"] for s, one in reported["symbols"].items()} == {"BTC-USD": [], "ETH-USD": [], "SOL-USD": [minute]}
    assert not any(
        one[k] for one in reported["symbols"].values() for k in ("duplicates", "bad_rows", "disordered", "off_minute", "jumps")
    )
    assert "2023-03-24 12:40 to 2023-03-24 13:59, 80 minutes" in err


def test_everything_that_is_wrong_is_counted_and_exit_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "BTC-USDT", pa.concat_tables([table(range(100)), table(range(90, 200))]))  # overlapping parts, joined
    wild = table(range(200))
    wild = wild.set_column(2, "high", pa.array(np.where(np.arange(200) == 50, np.nan, 10.0)))
    write(tmp_path, "ETH-USDT", wild)
    write(tmp_path, "SOL-USDT", pa.concat_tables([table(range(60)), table(range(60, 200, 5))]))
    code, reported, err = report(tmp_path, tmp_path / "out", capsys)
    assert (code, reported["sound"]) == (1, False)
    symbols = reported["symbols"]
    assert (symbols["BTC-USD"]["duplicates"], symbols["BTC-USD"]["disordered"]) == (10, 1)
    assert (symbols["ETH-USD"]["bad_rows"], symbols["ETH-USD"]["missing_minutes"]) == (1, 1)
    assert symbols["SOL-USD"]["other_timeframe_minutes"] == 5
    assert "SOL-USD: some of its candles are 5-minute candles" in err
    assert "BTC-USD: 1 row older than the row before, first " in " ".join(err.split())


@pytest.mark.parametrize(
    ("spoil", "output"),
    [
        (lambda t: t.set_column(0, "open_time", t["open_time"].cast(pa.timestamp("ms"))), "stating its time zone"),
        (lambda t: t.set_column(4, "close", t["close"].cast(pa.string())), "close is string"),
        (lambda t: t.drop_columns(["volume"]), "has no volume"),
    ],
)
def test_a_file_of_wrong_types_is_named_and_the_others_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[..., Any], output: str
) -> None:
    write(tmp_path, "BTC-USDT", table(range(100)))
    write(tmp_path, "ETH-USDT", spoil(table(range(100))))
    code, reported, err = report(tmp_path, tmp_path / "out", capsys)
    assert code == 1
    assert output in reported["symbols"]["ETH-USD"]["error"]
    assert reported["symbols"]["BTC-USD"]["sound"] is True
    assert "ETH-USDT-1m.parquet" in err


def test_a_symbol_that_stops_half_way_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "BTC-USDT", table(range(3 * 1440)))
    write(tmp_path, "ETH-USDT", table(range(1440)))
    _, reported, _ = report(tmp_path, tmp_path / "out", capsys)
    assert reported["symbols"]["ETH-USD"]["stale_minutes"] == 2 * 1440
    assert reported["symbols"]["BTC-USD"]["stale_minutes"] == 0
    assert reported["symbols"]["BTC-USD"]["age_minutes"] == (NOW - START - timedelta(days=3)) // minutes(1)


def lake(root: Path, symbol: Symbol, days: int = 3) -> list[DayKey]:
    keys = [DayKey(SeriesKey("coinbase", symbol), (START + timedelta(days=i)).date()) for i in range(days)]
    for key in keys:
        Lake(FolderStore(root)).write_day(key, candles(symbol, key.end, 1440), asked_until=key.end)
    return keys


def test_a_lake_is_reported_like_files_and_a_bad_day_is_told_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [lake(tmp_path, symbol) for symbol in (BTC, ETH, SOL)][-1]
    (tmp_path / keys[1].path).write_bytes(b"no more")
    (tmp_path / keys[1].path.replace("SOL", "ETH")).unlink()
    (tmp_path / keys[1].path.replace("SOL", "BTC")).unlink()
    code, reported, err = report(tmp_path, tmp_path / "out", capsys)
    assert code == 1
    assert reported["outages"] == [{"first": "2024-01-31T00:00:00+00:00", "last": "2024-01-31T23:59:00+00:00", "minutes": 1440}]
    assert reported["symbols"]["BTC-USD"]["rows"] == 2880
    assert [bad["fault"] for bad in reported["symbols"]["SOL-USD"]["bad_days"]] == ["UNREADABLE"]
    assert "UNREADABLE" in err
    assert (tmp_path / keys[1].path).exists()
    assert not (tmp_path / "quarantine").exists()


def test_each_venue_of_a_lake_is_reported_with_what_the_other_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fallback's candles lie beside the stage's own: neither hides the other's gaps, empties or bad files."""
    own = lake(tmp_path, BTC, 2)
    there = [DayKey(SeriesKey("kraken", BTC), key.day) for key in own]
    for key in there:
        Lake(FolderStore(tmp_path)).write_day(key, candles(BTC, key.end, 1440), asked_until=key.end)
    kept = candles(BTC, own[1].end, 1440)
    quiet = [replace(c, high=c.close, low=c.close, open=c.close, volume=Decimal(0)) for c in kept[:7]]
    Lake(FolderStore(tmp_path)).write_day(own[1], [*quiet, *kept[7:100], *kept[120:1400]], asked_until=own[1].end)
    (tmp_path / there[0].path).write_bytes(b"half a fi")
    out = tmp_path / "out"
    code = run_data_report(tmp_path, out, json_output=True, now=NOW)
    captured = capsys.readouterr()
    reported = json.loads(captured.out)
    coinbase, kraken = (reported["venues"][venue]["symbols"][BTC] for venue in ("coinbase", "kraken"))
    assert (coinbase["missing_minutes"], coinbase["empty_minutes"], coinbase["sound"]) == (20, 7, True)
    assert (kraken["missing_minutes"], kraken["sound"], code) == (0, False, 1)
    lacking = {"symbol": BTC, "venue": "coinbase", "other": "kraken", "minutes": 60, "first": "2024-01-31T01:40:00+00:00"}
    assert reported["held_by_others"] == [lacking]  # what comes before kraken's first readable minute is no gap of it
    assert "kraken has 60 minutes that coinbase lacks" in captured.err
    assert {path.name for path in out.iterdir()} == {"report.json", "coverage-coinbase.png", "coverage-kraken.png"}
    assert (tmp_path / there[0].path).exists()


def test_a_lake_of_bad_files_only_is_a_report_not_a_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (key,) = lake(tmp_path, BTC, 1)
    (tmp_path / key.path).write_bytes(b"")
    code, reported, _ = report(tmp_path, tmp_path / "out", capsys)
    assert (code, reported["symbols"]["BTC-USD"]["error"]) == (1, "none of its days can be read")


def test_cells_of_the_picture_are_missing_minutes_by_day(tmp_path: Path) -> None:
    write(tmp_path, "BTC-USDT", table([*range(600, 2000), *range(2010, 3 * 1440 - 60)]))
    write(tmp_path, "ETH-USDT", table([*range(600, 1440), *range(2 * 1440, 3 * 1440 - 60)]))
    (facts,) = read_facts(tmp_path, now=NOW)
    months = [START.date().replace(day=1), START.date().replace(month=2, day=1)]
    btc, eth = (missing_by_day(one, facts.series, months) for one in facts.series)
    assert btc[0].tolist() == [-1] * 29 + [0, 10]
    assert btc[1].tolist() == [0] + [-1] * 30
    assert eth[0].tolist() == [-1] * 29 + [0, 1440]


def test_a_folder_without_candles_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="expected candles such as"):
        run_data_report(tmp_path, None, json_output=False, now=NOW)
