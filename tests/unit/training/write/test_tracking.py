from __future__ import annotations

import socket
from pathlib import Path

import pytest

from training.write.tracking import EXPERIMENT, MlflowTracking, NoTracking, flat, tracking_at


def test_parameters_get_dotted_names() -> None:
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": [3]}}}) == {"a": 1, "b.c": 2, "b.d.e": [3]}


def test_nothing_asked_is_nothing_tracked() -> None:
    assert isinstance(tracking_at(None, None, print), NoTracking)


def test_missing_package_is_told_once_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("training.write.tracking.find_spec", lambda _: None)
    reported: list[str] = []
    tracking = tracking_at(tmp_path, None, reported.append)
    tracking.begin("run", {})
    tracking.metrics("one", 0, {"loss": 1.0})
    tracking.end(finished=True)
    assert len(reported) == 1
    assert "make training" in reported[0]


def test_folder_keeps_parameters_epochs_and_files(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: make training")
    reported: list[str] = []
    tracking = tracking_at(tmp_path / "runs", None, reported.append)
    tracking.begin("a run", {"seed": 7, "lstm": {"hidden": 32}})
    for epoch, loss in enumerate((0.7, 0.69, 0.68)):
        tracking.metrics("whole/lstm-0", epoch, {"stopping_loss": loss})
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "report.json").write_text("{}")
    tracking.artefacts(tmp_path / "bundle")
    tracking.end(finished=True)
    assert reported == []
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "7", "lstm.hidden": "32"}
    history = client.get_metric_history(run.info.run_id, "whole/lstm-0/stopping_loss")
    assert [(one.step, one.value) for one in history] == [(0, 0.7), (1, 0.69), (2, 0.68)]
    assert [one.path for one in client.list_artifacts(run.info.run_id, "bundle")] == ["bundle/report.json"]


def test_unreachable_server_is_told_once_and_the_run_goes_on() -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: make training")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        reported: list[str] = []
        tracking = MlflowTracking(f"http://127.0.0.1:{taken.getsockname()[1]}", reported.append)
        tracking.begin("run", {"seed": 7})
        tracking.metrics("one", 0, {"loss": 1.0})
        tracking.end(finished=True)
    assert len(reported) == 1
    assert reported[0].startswith("tracking at http://127.0.0.1:")
