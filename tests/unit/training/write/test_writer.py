"""A bundle names the sources that made it: all of training but the backtest, in whichever folder they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from training.write import writer
from training.write.writer import TRAINING, code_version

FOLDERS = sorted({path.parent.relative_to(TRAINING).as_posix() for path in TRAINING.rglob("*.py")})


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of training's sources that a test may edit."""
    copied = tmp_path / "training"
    shutil.copytree(TRAINING, copied, ignore=shutil.ignore_patterns("__pycache__", "starter_bundle"))
    monkeypatch.setattr(writer, "TRAINING", copied)
    return copied


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_edit_in_a_folder_changes_the_version_unless_it_is_the_backtest(sources: Path, folder: str) -> None:
    before = code_version()
    edited = sorted((sources / folder).glob("*.py"))[-1]
    edited.write_text(edited.read_text() + "# edited\n")
    assert (code_version() == before) is (folder == "backtest")


def test_a_source_that_moves_to_another_folder_changes_the_version(sources: Path) -> None:
    before = code_version()
    (sources / "fit" / "trees.py").rename(sources / "judge" / "trees.py")
    assert code_version() != before


def test_a_copy_elsewhere_has_the_same_version(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = code_version()
    monkeypatch.setattr(writer, "TRAINING", TRAINING)
    assert code_version() == copied
    assert sources != TRAINING
