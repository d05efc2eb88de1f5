# ruff: noqa: E402 - without torch the module ends at its first statement, and says why
"""All three families in one run, from candles to a bundle that loads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make training")

from signalbox.inference import load_bundle
from tests.unit.training.networks import tiny_lstm, tiny_transformer
from tests.unit.training.synthetic import small_config, walk, write_candles
from training.command import run_evaluate, run_train
from training.config import LstmConfig, TransformerConfig
from training.errors import CheckpointError, ExportParityError, MissingPackageError
from training.evaluate import EvaluateRequest

CREATED = datetime(2024, 6, 1, tzinfo=UTC)
ALL = ["xgboost", "lstm", "transformer"]


def section(name: str, config: LstmConfig | TransformerConfig) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.model_dump().items()]
    return "\n".join([f"[{name}]", *lines, ""])


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candles(tmp_path_factory.mktemp("candles"), walk(50, seed=3, pull=0.02))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_config(tmp_path_factory.mktemp("config"))
    reported = path.read_text().partition("[lstm]")[0]
    common = {"epochs": 2, "patience": 2, "stride": 6, "members": 2}
    reported += section("lstm", tiny_lstm(**common)) + section("transformer", tiny_transformer(window_bars=15, **common))
    path.write_text(reported)
    return path


@pytest.fixture(scope="module")
def bundle(candles: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    run_train(candles, out, config=config, families=ALL, created_at=CREATED)
    return out


def test_bundle_of_all_families_loads_and_its_weights_sum_to_one(bundle: Path) -> None:
    ensemble = load_bundle(bundle)
    members = ensemble.manifest.members
    assert sum(member.weight for member in members) == pytest.approx(1.0, abs=1e-9)
    assert all(member.weight > 0 for member in members)
    assert {member.window_bars for member in members if member.family == "lstm"} <= {10}
    assert {member.window_bars for member in members if member.family == "transformer"} <= {15}
    assert {member.file for member in members} == {path.name for path in bundle.glob("*.onnx")}
    assert not list(bundle.parent.glob("*.checkpoints"))  # served their purpose


def test_report_says_what_each_family_weighs_and_what_that_bought(bundle: Path) -> None:
    report = json.loads((bundle / "report.json").read_text())
    (tried,) = report["tried"]
    assert set(tried["family_weights"]) == set(ALL)
    assert sum(tried["family_weights"].values()) == pytest.approx(1.0, abs=1e-5)
    assert tried["stopping_loss"] <= tried["equal_weights_loss"]
    assert [fact["family"] for fact in tried["members"]] == ["xgboost", "lstm", "lstm", "transformer", "transformer"]
    speeds = json.loads((bundle / "speed.json").read_text())["families"]
    assert [one["family"] for one in speeds] == ALL
    assert all(one["samples_a_second"] > 0 for one in speeds)
    if not torch.cuda.is_available():
        assert all(one["device_figures"] is None for one in speeds)
        assert speeds[1]["device"].startswith("no GPU")


def test_bundle_is_evaluated_on_other_candles(bundle: Path, tmp_path: Path) -> None:
    data = write_candles(tmp_path, walk(30, seed=9, pull=0.02))
    result = run_evaluate(EvaluateRequest(bundle, data))
    assert len(result.assessment.scored) > 7_000


def test_equal_requests_give_equal_graphs(bundle: Path, candles: Path, config: Path, tmp_path: Path) -> None:
    run_train(candles, tmp_path / "again", config=config, families=ALL, created_at=CREATED)
    for path in (*bundle.glob("*.onnx"), bundle / "report.json", bundle / "golden.npz"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_path_of_this_machine_is_in_a_graph(bundle: Path) -> None:
    for path in bundle.glob("*.onnx"):
        assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()
        assert b"site-packages" not in path.read_bytes()


def test_networks_alone_make_a_bundle(candles: Path, config: Path, tmp_path: Path) -> None:
    run_train(candles, tmp_path / "bundle", config=config, families=["lstm"], created_at=CREATED)
    ensemble = load_bundle(tmp_path / "bundle")
    assert [member.family for member in ensemble.manifest.members] == ["lstm", "lstm"]
    assert ensemble.window_bars == 10
    assert ensemble.predict(np.zeros((3, 10, 31))).shape == (3,)


def test_graph_that_differs_stops_the_run_before_anything_is_written(
    candles: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.fit.export.PARITY_TOLERANCE", -1.0)
    with pytest.raises(ExportParityError, match="nothing was written"):
        run_train(candles, tmp_path / "bundle", config=config, families=["lstm"], created_at=CREATED)
    assert not (tmp_path / "bundle").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.checkpoints"]  # hours of work are not lost with it
    with pytest.raises(CheckpointError, match="whose configuration differs"):
        run_train(candles, tmp_path / "bundle", config=config, families=["lstm"], seed=9, created_at=CREATED)


def test_folds_of_trees_alone_are_told_as_such_and_do_not_judge(config: Path, tmp_path: Path) -> None:
    data = write_candles(tmp_path / "candles", walk(80, seed=3, pull=0.02))
    path = tmp_path / "folds.toml"
    path.write_text(config.read_text().replace("folds = 0", 'folds = 6\nfold_families = ["xgboost"]'))
    result = run_train(data, tmp_path / "bundle", config=path, families=["xgboost", "transformer"], created_at=CREATED)
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert report["walk_forward"]["families"] == ["xgboost"]
    assert len(report["walk_forward"]["folds"]) == 6
    assert all(result.detail.get("kind") != "fold" for result in result.assessment.gates.values())


def test_without_torch_the_command_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.recipe.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"lstm and transformer: .*`make training`.*--families xgboost"):
        run_train(tmp_path, tmp_path / "bundle")


def test_run_is_tracked_by_epoch_and_by_its_bundle(candles: Path, config: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: make training")
    run_train(candles, tmp_path / "bundle", config=config, families=["lstm"], created_at=CREATED, tracking=tmp_path / "runs")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("signalbox").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["lstm.hidden"] == "8"
    assert "test/precision" in run.data.metrics
    losses = client.get_metric_history(run.info.run_id, "whole/lstm-1/stopping_loss")
    assert [one.step for one in losses] == [0, 1]
    assert "bundle/manifest.json" in [one.path for one in client.list_artifacts(run.info.run_id, "bundle")]
