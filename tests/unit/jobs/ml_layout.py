"""A folder laid out like /opt/ml, and the entry points run in it as a container does: a process of its own, variables set."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Layout:
    root: Path

    @classmethod
    def make(cls, root: Path, channels: dict[str, Path], parameters: dict[str, Any]) -> Layout:
        """`input/`, `model/`, `output/` and the parameters as SageMaker writes them: text, every one."""
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (root / name).mkdir(parents=True)
        for name, source in channels.items():
            (root / "input" / "data" / name).symlink_to(source, target_is_directory=True)
        text = {key: str(value) for key, value in parameters.items()}
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(text))
        return cls(root)

    def variables(self) -> dict[str, str]:
        """What a training container sets for its script."""
        reported = json.loads((self.root / "input" / "config" / "hyperparameters.json").read_text())
        channels = {f"SM_CHANNEL_{one.name.upper()}": str(one) for one in (self.root / "input" / "data").iterdir()}
        return {
            "SM_MODEL_DIR": str(self.root / "model"),
            "SM_OUTPUT_DATA_DIR": str(self.root / "output" / "data"),
            "SM_HPS": json.dumps(reported),
            **channels,
        }

    def run(self, program: str, *arguments: str, variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SM_")}  # noqa: TID251 - of a child
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "sagemaker" / program), "--root", str(self.root), *arguments],
            env={**kept, **(variables or {}), "COLUMNS": "200"},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def run_here(self, program: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str | None:
        """The same without a process of its own, for what ends early: seconds of imports less. Return what it exits with."""
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        path = REPOSITORY / "sagemaker" / program
        monkeypatch.setattr(sys, "argv", [str(path), "--root", str(self.root)])
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stopped:
            return str(stopped.code)
        return None

    @property
    def failure(self) -> str | None:
        path = self.root / "output" / "failure"
        return path.read_text() if path.is_file() else None
