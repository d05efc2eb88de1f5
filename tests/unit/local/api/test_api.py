"""The Python API on small data, and the notebooks that use it: every cell runs, in order, as Jupyter would run it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from local.cli.notebook.command import TEMPLATES, NotebookFacts, notebook_of, run_notebook
from local.errors import DataError
from signalbox import api
from signalbox.errors import SignalboxError
from signalbox.features import get_schema
from tests.unit.inference.tiny_bundle import write_bundle
from tests.unit.training.synthetic import walk, write_candles


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candles(tmp_path_factory.mktemp("data"), walk(4), walk(4, seed=2, symbol="ETH-USD"))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path / "state"))
    return write_bundle(tmp_path / "tiny", "tiny")


def test_candles_have_their_columns_in_utc_and_the_period_that_was_asked_for(data: Path) -> None:
    found = api.candles(data, start="2024-01-02", end="2024-01-02T01:00", symbols=["ETH-USD"])
    assert list(found.columns) == ["symbol", "open_time", "open", "high", "low", "close", "volume"]
    assert (len(found), set(found["symbol"]), str(found["open_time"].dt.tz)) == (60, {"ETH-USD"}, "UTC")
    assert len(api.candles(data)) == 2 * 4 * 1440


def test_what_is_not_there_is_an_error_that_names_what_is(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="BTC-USD, ETH-USD, got XRP-USD"):
        api.candles(data, symbols=["XRP-USD"])
    with pytest.raises(DataError, match="expected ISO 8601"):
        api.candles(data, start="tomorrow")
    with pytest.raises(SignalboxError):
        api.candles(tmp_path / "nowhere")


def test_features_do_not_depend_on_where_the_period_begins(data: Path) -> None:
    whole = api.features(data)
    part = api.features(data, start="2024-01-04").reset_index(drop=True)
    names = list(get_schema("v31").names)
    assert list(whole.columns) == ["symbol", "open_time", *names, "is_complete"]
    same = whole[whole["open_time"] >= pd.Timestamp("2024-01-04", tz="UTC")].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, same, rtol=1e-9)


def test_scores_and_a_backtest_agree_on_what_was_issued(data: Path, bundle: Path) -> None:
    scores = api.score(bundle, data, start="2024-01-03")
    assert list(scores.columns) == ["symbol", "decided_at", "probability_up", "direction", "outcome"]
    assert scores["probability_up"].between(0, 1).all()
    found = api.backtest(bundle, data, account="paper-25k", start="2024-01-03")
    issued = scores[scores["direction"] != "HOLD"]
    signals = found.summary["figures"]["signals"]
    assert signals["issued"] + signals["over_the_hourly_limits"] == len(issued)
    assert all(isinstance(value, Decimal) for value in found.equity["equity"])
    assert len(found.trades) == found.summary["figures"]["whole"]["trades"]


@pytest.mark.parametrize("name", ["1-data-and-features", "2-judge-a-model"])
def test_every_cell_of_a_notebook_runs(data: Path, bundle: Path, name: str) -> None:
    text = (TEMPLATES / f"{name}.md").read_text()
    run_cells(notebook_of(text, NotebookFacts(data, bundle, "ftmo-2step-100k")))


def run_cells(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run the code cells in one namespace, and return it."""
    mpl.use("agg")
    names: dict[str, Any] = {"display": print}
    codes = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert codes
    for number, code in enumerate(codes):
        exec(compile(code, f"cell {number}", "exec"), names)
    return names


def test_notebooks_are_written_once_and_keep_what_somebody_changed(data: Path, bundle: Path, tmp_path: Path) -> None:
    facts = NotebookFacts(data, bundle, "ftmo-2step-100k")
    run_notebook(tmp_path, facts, opens=False, as_json=True)
    written = sorted(tmp_path.glob("*.ipynb"))
    assert [path.stem for path in written] == [path.stem for path in sorted(TEMPLATES.glob("*.md"))]
    for path in written:
        content = json.loads(path.read_text())
        assert (content["nbformat"], {cell["cell_type"] for cell in content["cells"]}) == (4, {"code", "markdown"})
        assert "= ..." not in path.read_text()
    written[0].write_text("mine")
    run_notebook(tmp_path, facts, opens=False, as_json=True)
    assert written[0].read_text() == "mine"
