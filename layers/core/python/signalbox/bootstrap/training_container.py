"""The folders and parameters of a SageMaker job, read once.

Training containers set `SM_*` variables. Where they are missing, the documented layout below the root is used, so that the same
entry point runs in a container without SageMaker's tools, in a processing job (whose request sets the variables) and in a test.
Layout: ROOT/input/config/hyperparameters.json, ROOT/input/data/CHANNEL, ROOT/model, ROOT/checkpoints, ROOT/output.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signalbox.bootstrap.settings import SettingsError
from signalbox.errors import SignalboxError

DEFAULT_ROOT: Final = "/opt/ml"
ROOT_VARIABLE: Final = "SIGNALBOX_ML_ROOT"
MAX_FAILURE: Final = 1_024  # characters of the failure file that SageMaker shows as FailureReason
FAILED: Final = 1
_PARAMETER: Final = "SM_HP_"


@dataclass(frozen=True, slots=True)
class JobContainer:
    """The folders and parameters of one job."""

    root: Path
    parameters: Mapping[str, Any]
    channels: Mapping[str, Path]
    model: Path
    output: Path  # for files that are kept beside the model

    @property
    def checkpoints(self) -> Path:
        """The folder that SageMaker copies to S3 while the job runs, and restores when it continues after an interruption."""
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        """The file with the reason why the job failed. SageMaker shows its beginning as FailureReason."""
        return self.root / "output" / "failure"

    def channel(self, name: str) -> Path:
        """Return an input folder. Raises SettingsError that names the existing channels."""
        found = self.channels.get(name, self.root / "input" / "data" / name)
        if not found.is_dir():
            there = ", ".join(sorted(self.channels)) or "none"
            raise SettingsError(f"no input channel {name!r}: {found} is not a directory; channels of this job: {there}")
        return found


def read_container(root: Path | None = None, environment: Mapping[str, str] | None = None) -> JobContainer:
    """Return the folders and parameters of this process. Raises SettingsError if they cannot be read."""
    variables = os.environ if environment is None else environment  # noqa: TID251 - bootstrap reads it (docs/style.md, R17)
    base = root or Path(variables.get(ROOT_VARIABLE) or DEFAULT_ROOT)
    channels = {
        key.removeprefix("SM_CHANNEL_").lower(): Path(value) for key, value in variables.items() if key.startswith("SM_CHANNEL_")
    }
    return JobContainer(
        root=base,
        parameters=_parameters(base, variables),
        channels=channels,
        model=Path(variables.get("SM_MODEL_DIR") or base / "model"),
        output=Path(variables.get("SM_OUTPUT_DATA_DIR") or base / "output" / "data"),
    )


def _parameters(root: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return SM_HPS, or else the file that SageMaker writes; single SM_HP_NAME variables override both."""
    path = root / "input" / "config" / "hyperparameters.json"
    text, source = variables.get("SM_HPS"), "SM_HPS"
    if text is None:
        text, source = (path.read_text(encoding="utf-8"), str(path)) if path.is_file() else ("{}", str(path))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{source}: expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{source}: expected a JSON object of parameters, got {type(found).__name__}")
    single = {key.removeprefix(_PARAMETER).lower(): value for key, value in variables.items() if key.startswith(_PARAMETER)}
    return {**found, **single}


@contextmanager
def failures_reported(container: JobContainer) -> Iterator[None]:
    """Write an exception of the block to the failure file and to standard error, and exit with a non-zero status.

    One of our own errors is written as one line. A bug keeps its traceback, of which the end is written to the file.
    """
    try:
        yield
    except Exception as error:
        known = isinstance(error, SignalboxError)
        reason = f"{type(error).__name__}: {error}" if known else traceback.format_exc()
        shown = reason[:MAX_FAILURE] if known else reason[-MAX_FAILURE:]
        container.failure.parent.mkdir(parents=True, exist_ok=True)
        container.failure.write_text(shown, encoding="utf-8")
        raise SystemExit(f"{reason.strip()}") from error
