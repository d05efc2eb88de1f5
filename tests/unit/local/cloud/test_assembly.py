"""The synthesised templates: made once however many start at the same time, and there whole or not at all."""

from __future__ import annotations

import fcntl
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from local.cloud import assembly
from local.cloud.assembly import synthesise
from local.errors import DeployError
from local.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A repository of one source and a state folder, both new."""
    (tmp_path / "repository" / "cdk").mkdir(parents=True)
    (tmp_path / "repository" / "cdk" / "app.py").write_text("")
    (tmp_path / "repository" / "cdk.json").write_text("{}")
    return replace(load_settings({}), repository=tmp_path / "repository", state=tmp_path / "state")


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Synth:
    """What the program of the templates does, without node: it writes a file, then the manifest."""

    def __init__(self, *, code: int = 0) -> None:
        self.calls, self.code = 0, code
        self.alone: list[bool] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        out = Path(command[-1])
        self.alone.append(is_locked(out.parent / "lock"))
        (out / "stack.template.json").write_text("{}")
        if self.code == 0:
            (out / "manifest.json").write_text(json.dumps({"artifacts": {}}))
        return subprocess.CompletedProcess(command, self.code, "", "it went wrong")


def test_two_starts_at_once_synthesise_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    synth, together = Synth(), Barrier(2)
    fingerprint = assembly._fingerprint

    def slow_fingerprint(repository: Path) -> str:
        together.wait(timeout=10)  # both have found nothing yet
        return fingerprint(repository)

    monkeypatch.setattr(assembly, "_fingerprint", slow_fingerprint)
    monkeypatch.setattr(subprocess, "run", synth)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(synthesise, [settings, settings])
    assert first == second
    assert sorted(path.name for path in first.iterdir()) == ["manifest.json", "stack.template.json"]
    assert (synth.calls, synth.alone) == (1, [True])


def test_synthesis_that_failed_leaves_nothing_that_the_next_start_takes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", Synth(code=1))
    with pytest.raises(DeployError, match="it went wrong"):
        synthesise(settings)
    assert [path for path in (settings.state / "assembly").iterdir() if path.is_dir()] == []
    monkeypatch.setattr(subprocess, "run", Synth())
    assert (synthesise(settings) / "manifest.json").is_file()


def test_sources_that_changed_are_synthesised_anew_and_three_assemblies_are_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    synth = Synth()
    monkeypatch.setattr(subprocess, "run", synth)
    for number in range(5):
        (settings.repository / "cdk" / "app.py").write_text(str(number))
        synthesise(settings)
        synthesise(settings)
    assert synth.calls == 5
    assert len([path for path in (settings.state / "assembly").iterdir() if path.is_dir()]) == assembly.KEPT_ASSEMBLIES
