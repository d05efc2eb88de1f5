"""That the benchmark of the features runs and reports; its figures are for docs/performance.md, not for a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.bench.features import BenchOptions, run_bench
from local.cli.command import app
from signalbox.errors import SignalboxError
from signalbox.features import SCHEMAS

FIGURES = {
    "rows",
    "seconds",
    "rows_per_s",
    "pandas_seconds",
    "speedup",
    "latest_bar_ms",
    "latest_bar_pandas_ms",
    "latest_bar_speedup",
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_figure_has_its_peer_from_the_same_run(schema: str) -> None:
    found = run_bench(BenchOptions(None, schema, bars=5_000, repeats=1, live_minutes=50))
    assert (found.symbols, found.rows, found.features) == (3, 15_000, len(SCHEMAS[schema].names))
    assert found.source == "random walk"
    assert found.speedup == pytest.approx(found.pandas_seconds / found.seconds, rel=0.2)
    assert found.latest_bar_speedup == pytest.approx(found.latest_bar_pandas_ms / found.latest_bar_ms, rel=0.2)
    assert found.latest_bar_ms <= found.latest_bar_p99_ms


def test_a_named_folder_without_candles_is_an_error_not_a_walk(tmp_path: Path) -> None:
    run = ["bench", "features", "--bars", "5000", "--repeats", "1", "--json"]
    done = CliRunner(env={"SIGNALBOX_DATA": str(tmp_path)}).invoke(app, run)
    assert isinstance(done.exception, SignalboxError)


def test_json_on_a_walk(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench(BenchOptions(None, "v31", bars=5_000, repeats=1, live_minutes=50, json_output=True))
    output = json.loads(capsys.readouterr().out)
    assert output.keys() >= FIGURES
    assert output["machine"]["cores"]
