"""What a command or the agent writes is its owner's alone, whatever umask the caller's shell has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cli import command
from signalbox_mt5 import __main__ as agent


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def write_below(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "bundle.zip").write_bytes(b"")


def test_every_command_writes_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_words: list[str], *, is_verbose: bool) -> tuple[int, str]:
        assert not is_verbose
        write_below(tmp_path)
        return 0, ""

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(sys, "argv", ["signalbox", "train"])
    with pytest.raises(SystemExit):
        command.main()
    assert modes(tmp_path) == {0o700, 0o600}


def test_agent_writes_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_config(_path: Path) -> None:
        write_below(tmp_path)
        raise ValueError("no configuration")

    monkeypatch.setattr(agent, "read_config", read_config)
    assert agent.main(["agent.toml"]) == 2
    assert modes(tmp_path) == {0o700, 0o600}
