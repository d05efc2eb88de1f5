"""Writes a bundle as a folder that another server loads: a BentoML service, or an MLflow model with a pyfunc flavour.

Both hold the bundle's files as they are and a scorer of numpy and onnxruntime (exported/signalbox_ensemble.py). No pickle: MLflow
takes a loader module instead of a pickled object. The bundle is verified before, the folder is written under another name and
then renamed. Formats: https://docs.bentoml.com, https://mlflow.org/docs/latest/ml/model (loader_module).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from local.library.errors import PackageError
from signalbox.inference import Ensemble, load_bundle
from signalbox.labels import CONTRACTS

CODE: Final = Path(__file__).with_name("exported")
_SCORER: Final = "signalbox_ensemble.py"
_PYTHON: Final = "3.11"
_PACKAGES: Final = ("numpy", "onnxruntime")


def write_export(form: str, bundle: Path, out: Path) -> None:
    """Write a bundle as a new folder of another server's format. Raises PackageError if the folder is in use; BundleError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PackageError(f"--out: {out} is in use; name a new folder")
    ensemble = load_bundle(bundle, contracts=CONTRACTS.values())
    partial = out.with_name(f".{out.name}.exporting")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        FORMATS[form](ensemble, bundle, partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _bentoml(ensemble: Ensemble, bundle: Path, out: Path) -> None:
    _copy(bundle, out / "bundle")
    (out / _SCORER).write_bytes((CODE / _SCORER).read_bytes())
    service = (CODE / "service.py.txt").read_text(encoding="utf-8")
    name = "".join(letter if letter.isalnum() else "_" for letter in ensemble.name)  # what bentoml takes as a name
    (out / "service.py").write_text(service.replace("NAME", name), encoding="utf-8")
    (out / "requirements.txt").write_text("\n".join(["bentoml>=1.4", *_pinned(), ""]), encoding="utf-8")
    described = {
        "service": "service:SignalboxModel",
        "include": ["service.py", _SCORER, "bundle/*"],
        "python": {"requirements_txt": "./requirements.txt"},
    }
    (out / "bentofile.yaml").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")  # JSON is YAML


def _mlflow(ensemble: Ensemble, bundle: Path, out: Path) -> None:
    _copy(bundle, out / "bundle")
    (out / "code").mkdir()
    (out / "code" / _SCORER).write_bytes((CODE / _SCORER).read_bytes())
    (out / "code" / "signalbox_pyfunc.py").write_bytes((CODE / "pyfunc.py.txt").read_bytes())
    (out / "requirements.txt").write_text("\n".join(["mlflow-skinny>=3", *_pinned(), ""]), encoding="utf-8")
    environment = {"python": _PYTHON, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (out / "python_env.yaml").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
    shape = [-1, ensemble.window_bars, len(ensemble.schema.names)]
    described = {
        "flavors": {
            "python_function": {
                "loader_module": "signalbox_pyfunc",
                "data": "bundle",
                "code": "code",
                "env": {"virtualenv": "python_env.yaml"},
                "python_version": _PYTHON,
            }
        },
        "model_uuid": uuid.UUID(hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()[:32]).hex,
        "utc_time_created": ensemble.manifest.created_at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "signature": {"inputs": json.dumps([_tensor(shape)]), "outputs": json.dumps([_tensor([-1])]), "params": None},
        "metadata": {"model": ensemble.name, "feature_schema": ensemble.schema.name, "schema_hash": ensemble.schema.hash},
    }
    (out / "MLmodel").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _tensor(shape: list[int]) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}}


def _copy(bundle: Path, out: Path) -> None:
    out.mkdir()
    for path in sorted(bundle.iterdir()):  # plain files alone, as the bundle's verification found
        (out / path.name).write_bytes(path.read_bytes())


def _pinned() -> list[str]:
    return [f"{package}=={version(package)}" for package in _PACKAGES]


FORMATS: Final[Mapping[str, Callable[[Ensemble, Path, Path], None]]] = MappingProxyType({"bentoml": _bentoml, "mlflow": _mlflow})
