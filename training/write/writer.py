"""Writes a bundle folder atomically: it is completed and verified under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox import features
from signalbox.inference import BundleManifest, Ensemble, Workspace, load_bundle, record_of
from signalbox.inference.manifest import MANIFEST_FILE, write_manifest
from signalbox.labels import CONTRACTS
from training.errors import TrainingError

VERSION = "0.1.0"
TRAINING: Final = Path(__file__).resolve().parents[1]


class BundleWriter:
    """Collects the files of a bundle for `target`. Without a call of `publish` no files remain.

    Raises TrainingError at once if `target` holds something that is not a bundle.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.with_name(f".{target.name}.partial")
        if target.exists() and not (target / MANIFEST_FILE).is_file() and not _is_empty_folder(target):
            raise TrainingError(f"{target}: is not a bundle, so it is not replaced; name another folder")

    @property
    def partial(self) -> Path:
        """The temporary folder that is being written."""
        return self._partial

    def __enter__(self) -> BundleWriter:
        shutil.rmtree(self._partial, ignore_errors=True)
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise TrainingError(f"{self._target}: cannot be written ({error.strerror})") from error
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, draft: Mapping[str, Any], contents: Mapping[str, bytes]) -> Ensemble:
        """Write these files and their manifest, load the bundle as a deployed function would, and return it."""
        files = {name: record_of(content) for name, content in sorted(contents.items())}
        manifest = BundleManifest.model_validate({**draft, "files": files})
        for name, content in contents.items():
            (self._partial / name).write_bytes(content)
        write_manifest(self._partial, manifest)
        return load_bundle(self._partial, Workspace.MACHINE, contracts=CONTRACTS.values())

    def publish(self) -> None:
        """Rename the folder to its target. A bundle that was there is replaced as a whole."""
        replaced = self._target.with_name(f".{self._target.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if self._target.exists():
            self._target.rename(replaced)
        self._partial.rename(self._target)
        shutil.rmtree(replaced, ignore_errors=True)


def report_bytes(report: Mapping[str, Any]) -> bytes:
    """Return report.json: the headline comes first; a figure without data is null, never NaN."""
    return (json.dumps(_plain(report), indent=1, allow_nan=False) + "\n").encode()


def array_bytes(**arrays: NDArray[np.float64] | NDArray[np.float32]) -> bytes:
    """Return the arrays in npz format."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def code_version() -> str:
    """Return the version and a hash of the sources that shape a bundle: all but those of the backtest."""
    library = Path(features.__file__).parents[1]  # found from the installed package, because a job's package has another layout
    digest = hashlib.sha256()
    for top, folder in (
        (library, library / "features"),
        (library, library / "inference"),
        (library, library / "labels"),
        (TRAINING, TRAINING),
    ):
        for source in sorted([*folder.rglob("*.py"), *folder.rglob("documents/*.toml")]):
            name = source.relative_to(top).as_posix()
            if not name.startswith("backtest/"):
                digest.update(name.encode() + b"\0" + source.read_bytes())
    return f"{VERSION}+src.{digest.hexdigest()[:12]}"


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if not np.isfinite(value) else round(value, 6)
    return value
