"""Checkpoints, from which an interrupted run resumes. They belong to one configuration and one data set."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.data.dataset import Dataset
from training.errors import CheckpointError

RUN_FILE: Final = "run.json"


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Identifies a run. A run resumes only if it is equal: sha256 of the configuration and the data, and the code version."""

    configuration: str
    data: str
    code: str

    @classmethod
    def of(cls, configuration: str, data: Dataset, code: str) -> RunIdentity:
        """Return the identity of a run.

        configuration: its canonical text.
        """
        digest = hashlib.sha256(f"{data.schema.hash} {data.window_bars} {' '.join(data.symbols)}".encode())
        for array in (data.tensor, data.bar, data.decided_at_ms, data.label):
            digest.update(np.ascontiguousarray(array).data)
        return cls(hashlib.sha256(configuration.encode()).hexdigest(), digest.hexdigest(), code)


class Checkpoints:
    """The checkpoints of a run, by name. Without a folder nothing is stored. The first write creates the folder."""

    def __init__(self, folder: Path | None = None, identity: RunIdentity | None = None) -> None:
        """Raise CheckpointError if the folder holds the checkpoints of another run, or anything else."""
        self._folder, self._identity = folder, identity
        if folder is not None and folder.exists() and identity is not None:
            _require_same(folder, identity)

    def read(self, name: str) -> bytes | None:
        """Return the last state written under a name, or None."""
        if self._folder is None or not (self._folder / name).is_file():
            return None
        return (self._folder / name).read_bytes()

    def write(self, name: str, state: bytes) -> None:
        """Replace a state atomically: after a crash the file holds either the old state or the new one."""
        if self._folder is None:
            return
        try:
            if not (self._folder / RUN_FILE).is_file() and self._identity is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                _replace(self._folder / RUN_FILE, json.dumps(asdict(self._identity), indent=1).encode())
            _replace(self._folder / name, state)
        except OSError as error:
            raise CheckpointError(f"{self._folder}: cannot write a checkpoint ({error.strerror})") from error

    def remove(self) -> None:
        """Remove all checkpoints, because the run is finished."""
        if self._folder is not None and (self._folder / RUN_FILE).is_file():
            shutil.rmtree(self._folder)


def _require_same(folder: Path, identity: RunIdentity) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    try:
        kept = RunIdentity(**json.loads((folder / RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder}: has no checkpoints of a run; name another folder or remove it") from error
    differs = [part for part, own in asdict(identity).items() if getattr(kept, part) != own]
    if differs:
        raise CheckpointError(
            f"{folder}: has the checkpoints of another run, whose {' and '.join(differs)} differs; "
            "resume that run unchanged, give another --checkpoints DIR, or remove the folder"
        )


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
