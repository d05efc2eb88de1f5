from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.synthetic import windows_with_a_signal
from training.errors import CheckpointError
from training.fit.checkpoints import Checkpoints, RunIdentity

DATA = windows_with_a_signal(50)
IDENTITY = RunIdentity.of("configuration", DATA, "1")


def test_last_state_is_what_is_read(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept", IDENTITY)
    assert kept.read("one") is None
    assert not (tmp_path / "kept").exists()  # made with the first state
    kept.write("one", b"first")
    kept.write("one", b"second")
    assert Checkpoints(tmp_path / "kept", IDENTITY).read("one") == b"second"
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["one", "run.json"]
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_state_that_was_half_written_is_never_read(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, IDENTITY)
    kept.write("one", b"whole")
    (tmp_path / ".one.partial").write_bytes(b"ha")  # what a kill while writing leaves
    assert Checkpoints(tmp_path, IDENTITY).read("one") == b"whole"


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (RunIdentity.of("another", DATA, "1"), "configuration"),
        (RunIdentity.of("configuration", DATA, "2"), "code"),
        (RunIdentity.of("configuration", windows_with_a_signal(50, seed=1), "1"), "data"),
        (RunIdentity.of("configuration", dataclasses.replace(DATA, label=1 - DATA.label), "2"), "data and code"),
    ],
)
def test_checkpoints_of_another_run_are_refused_by_what_differs(tmp_path: Path, other: RunIdentity, differs: str) -> None:
    Checkpoints(tmp_path, IDENTITY).write("one", b"state")
    with pytest.raises(CheckpointError, match=f"whose {differs} differs; .*give another --checkpoints DIR"):
        Checkpoints(tmp_path, other)
    assert Checkpoints(tmp_path, IDENTITY).read("one") == b"state"


def test_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(CheckpointError, match="has no checkpoints of a run"):
        Checkpoints(tmp_path, IDENTITY)
    assert (tmp_path / "precious.txt").read_text() == "keep"


def test_identity_is_of_every_bar_of_the_data() -> None:
    tensor = DATA.tensor.copy()
    tensor[7, 3] = np.nextafter(tensor[7, 3], np.float32(np.inf))
    assert RunIdentity.of("configuration", dataclasses.replace(DATA, tensor=tensor), "1").data != IDENTITY.data


def test_without_a_folder_nothing_is_kept() -> None:
    kept = Checkpoints()
    kept.write("one", b"state")
    assert kept.read("one") is None
    kept.remove()
