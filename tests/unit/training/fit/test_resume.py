# ruff: noqa: E402 - without torch the module ends at its first statement, and says why
"""A run that was killed goes on from its last whole epoch, and ends with the weights that it would have had."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make training")

from tests.unit.training.networks import tiny_lstm, tiny_transformer
from tests.unit.training.synthetic import parts_of, windows_with_a_signal
from training.errors import CheckpointError
from training.fit.checkpoints import Checkpoints, RunIdentity
from training.fit.members import Making
from training.fit.neural.family import NeuralFamily, NeuralMember, device_rows

REPOSITORY = Path(__file__).parents[4]
DATA = windows_with_a_signal(600)
CONFIGS = {"lstm": tiny_lstm(members=2, epochs=4, stride=2), "transformer": tiny_transformer(members=2, epochs=4, stride=2)}
BOTH = pytest.mark.parametrize("name", list(CONFIGS))
IDENTITY = RunIdentity.of("one configuration", DATA, "1")


def fit(name: str, making: Making) -> list[dict[str, np.ndarray]]:
    train, stopping, _ = parts_of(DATA, 0.6, 0.8)
    config = CONFIGS[name]
    members = NeuralFamily(name, config, device_rows(DATA.tensor)).fit(train, stopping, making).members  # type: ignore[arg-type]
    assert all(isinstance(member, NeuralMember) for member in members)
    return [{key: value.numpy() for key, value in member.network.state_dict().items()} for member in members]  # type: ignore[attr-defined]


def main(name: str, folder: str) -> None:
    """What the subprocess of the test below runs: says each epoch as soon as its checkpoint is there."""

    def say(series: str, epoch: int, _: Mapping[str, float]) -> None:
        sys.stdout.write(f"{series} {epoch}\n")
        sys.stdout.flush()

    fit(name, Making(seed=5, on_epoch=say, checkpoints=Checkpoints(Path(folder), IDENTITY)))


class Killed(BaseException):
    """As a signal would: nothing in training may catch it."""


def die_after(series: str, epoch: int) -> Making:
    def maybe_die(found: str, at: int, _: Mapping[str, float]) -> None:
        if (found, at) == (series, epoch):
            raise Killed

    return Making(seed=5, on_epoch=maybe_die)


@BOTH
@pytest.mark.parametrize("place", [(0, 0), (0, 3), (1, 1)], ids=["first epoch", "last epoch of a member", "second member"])
def test_run_stopped_anywhere_ends_with_the_same_weights(name: str, place: tuple[int, int], tmp_path: Path) -> None:
    whole = fit(name, Making(seed=5))
    member, epoch = place
    with pytest.raises(Killed):
        fit(name, dataclasses.replace(die_after(f"whole/{name}-{member}", epoch), checkpoints=Checkpoints(tmp_path, IDENTITY)))
    seen: list[tuple[str, int]] = []
    making = Making(seed=5, on_epoch=lambda series, at, _: seen.append((series, at)), checkpoints=Checkpoints(tmp_path, IDENTITY))
    resumed = fit(name, making)
    for one, other in zip(whole, resumed, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)
    everything = [(f"whole/{name}-{m}", e) for m in range(2) for e in range(4)]
    assert seen == everything[everything.index((f"whole/{name}-{member}", epoch)) + 1 :]  # no epoch twice


@BOTH
def test_process_killed_in_the_middle_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    code = f"from tests.unit.training.fit.test_resume import main; main({name!r}, {str(tmp_path / 'kept')!r})"
    paths = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'layers/core/python')!r}]; "
    with subprocess.Popen([sys.executable, "-c", paths + code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == f"whole/{name}-0 1":
                process.send_signal(signal.SIGKILL)  # at whatever it is by now
                break
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    resumed = fit(name, Making(seed=5, checkpoints=Checkpoints(tmp_path / "kept", IDENTITY)))
    for one, other in zip(fit(name, Making(seed=5)), resumed, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_broken_state_is_named(tmp_path: Path) -> None:
    fit("lstm", Making(seed=5, checkpoints=Checkpoints(tmp_path, IDENTITY)))
    (tmp_path / "whole.lstm-1.pt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"whole\.lstm-1\.pt: cannot be read as a checkpoint"):
        fit("lstm", Making(seed=5, checkpoints=Checkpoints(tmp_path, IDENTITY)))
