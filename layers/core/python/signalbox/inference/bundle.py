"""From a bundle folder to an Ensemble, or to the error that says why not.

All checks come before any use, in this order: manifest → exactly the listed files → their sizes and sha256 → the feature
schema and its hash → ONNX graphs load → golden vectors give the probabilities they gave when it was written.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from signalbox.features import FeatureSchema, FeatureSchemaError, get_schema
from signalbox.inference.ensemble import Ensemble
from signalbox.inference.errors import (
    BundleGoldenError,
    BundleIncompleteError,
    BundleSchemaError,
    BundleTamperedError,
)
from signalbox.inference.manifest import GOLDEN_FILE, MANIFEST_FILE, BundleManifest, FileRecord, read_manifest

GOLDEN_TOLERANCE: Final = 1e-5  # of a probability


def load_bundle(folder: Path) -> Ensemble:
    """Return the ensemble of a bundle folder, verified; the folder is not needed afterwards.

    Raises the BundleError that names the first thing wrong.
    """
    manifest = read_manifest(folder)
    contents = _verified_contents(folder, manifest)
    schema = _matching_schema(folder.name, manifest)
    sessions = tuple(_session(folder.name, member.file, contents[member.file]) for member in manifest.members)
    ensemble = Ensemble(manifest, schema, sessions)
    _check_golden(ensemble, contents[GOLDEN_FILE])
    return ensemble


def record_of(content: bytes) -> FileRecord:
    """Return what the manifest keeps of a file."""
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _verified_contents(folder: Path, manifest: BundleManifest) -> dict[str, bytes]:
    present = {path.name for path in folder.iterdir()} - {MANIFEST_FILE}
    if missing := sorted(set(manifest.files) - present):
        raise BundleIncompleteError(f"{folder.name}: expected {', '.join(missing)}, was missing")
    if extra := sorted(present - set(manifest.files)):
        raise BundleTamperedError(f"{folder.name}: expected only the files of the manifest, was also {', '.join(extra)}")
    contents: dict[str, bytes] = {}
    for name, wanted in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise BundleTamperedError(f"{folder.name}: expected {name} to be a plain file")
        content = path.read_bytes()  # hashed and used from memory: nobody can change it in between
        found = record_of(content)
        if found.size < wanted.size:
            raise BundleIncompleteError(f"{folder.name}: expected {name} of {wanted.size} bytes, was {found.size}")
        if found != wanted:
            raise BundleTamperedError(f"{folder.name}: expected {name} with sha256 {wanted.sha256}, was {found.sha256}")
        contents[name] = content
    return contents


def _matching_schema(bundle: str, manifest: BundleManifest) -> FeatureSchema:
    wanted = manifest.feature_schema
    try:
        schema = get_schema(wanted.name)
    except FeatureSchemaError as error:
        raise BundleSchemaError(f"{bundle}: fitted on {wanted.name} ({wanted.hash}); {error}") from error
    if schema.hash != wanted.hash:
        raise BundleSchemaError(
            f"{bundle}: fitted on feature schema {wanted.name} ({wanted.hash}), this code computes {schema.name} ({schema.hash})"
        )
    return schema


def _session(bundle: str, name: str, content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a batch of three symbols gains nothing from threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise BundleIncompleteError(f"{bundle}: expected {name} to load as ONNX: {error}") from error


def _check_golden(ensemble: Ensemble, content: bytes) -> None:
    bundle = ensemble.name
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            features, wanted = golden["features"], golden["probability_up"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleGoldenError(f"{bundle}: expected features and probability_up in {GOLDEN_FILE}: {error}") from error
    if wanted.shape != features.shape[:1] or wanted.shape[0] == 0:
        raise BundleGoldenError(
            f"{bundle}: expected golden rows with a probability each, was {features.shape} and {wanted.shape}"
        )
    try:
        found = ensemble.predict(features)
    except Exception as error:
        raise BundleGoldenError(f"{bundle}: expected the golden rows to be scored: {error}") from error
    worst = float(np.max(np.abs(found - wanted)))
    if not worst <= GOLDEN_TOLERANCE:
        raise BundleGoldenError(f"{bundle}: expected golden probabilities within {GOLDEN_TOLERANCE}, was {worst:.3g} apart")
