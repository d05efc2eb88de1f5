# ruff: noqa: E402 - without torch the module ends at its first statement, and says why
"""`signalbox bench training` measures the steps of a run, beside a peer that sees the same windows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make training")

from training.config import QUICK
from training.fit.neural.bench import TrainingBenchOptions, WindowPerSample, run_training_bench
from training.fit.neural.windows import DeviceRows


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    text = QUICK.read_text(encoding="utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(re.sub(r"(?m)^batch = .*$", "batch = 16", text), encoding="utf-8")
    return path


def test_figures_fit_each_other_and_threads_are_given_back(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    result = run_training_bench(TrainingBenchOptions(tiny, steps=3, threads=1, json_output=True))
    assert torch.get_num_threads() == threads
    reported = json.loads(capsys.readouterr().out)
    assert [one["network"] for one in reported["networks"] if one["chosen"]] == ["lstm", "transformer"]
    for one in result.networks:
        assert one.samples_per_s == pytest.approx(1e3 * one.batch / one.step_p50_ms, rel=0.01)
        assert one.step_p50_ms <= one.step_p99_ms
        assert one.gather_ms < one.step_p50_ms
        assert one.speedup == pytest.approx(one.samples_per_s / one.loader_samples_per_s, rel=0.02)
        assert one.all_epochs_minutes > 0
    if not torch.cuda.is_available():
        assert all(one.gpu is None and one.precision == "fp32" for one in result.networks)


def test_the_peer_is_given_the_windows_that_we_gather() -> None:
    rng = np.random.default_rng(0)
    tensor, bar = rng.normal(size=(200, 5)).astype(np.float32), np.array([19, 40, 199])
    peer = WindowPerSample(tensor, bar, np.ones(3, np.float32), 20)
    ours = DeviceRows(tensor, torch.device("cpu")).gather(torch.from_numpy(bar), 20)
    assert len(peer) == len(bar)
    for i in range(len(bar)):
        assert torch.equal(peer[i][0], ours[i])
