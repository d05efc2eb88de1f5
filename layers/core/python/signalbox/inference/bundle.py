"""Loads a bundle folder as an Ensemble, or raises the error that says why it may not be used.

All checks precede any use, in this order: the manifest; exactly the listed files; their sizes and sha256; the feature schema and
its hash; the signal contract and its hash; the ONNX graphs are plain; they load, and the golden vectors give the probabilities
that the writer of the bundle got.
Loading and running a graph is tried in a child process first (trial.py), because a graph may compute without end or crash.
Sizes that a file declares are checked before memory is allocated (`signalbox.limits`), and the graphs' memory is bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from signalbox.features import FeatureSchema, FeatureSchemaError, get_schema, with_hash
from signalbox.inference.ensemble import Ensemble
from signalbox.inference.errors import (
    BundleContractError,
    BundleError,
    BundleGoldenError,
    BundleIncompleteError,
    BundleSchemaError,
    BundleTamperedError,
)
from signalbox.inference.judged import GraphBudget, UnfitFileError, judge_graph, read_arrays
from signalbox.inference.manifest import GOLDEN_FILE, MANIFEST_FILE, BundleManifest, FileRecord, read_manifest
from signalbox.inference.trial import require_trial
from signalbox.labels import DIR60, LabelKind, PromisedEvent, SignalContract, UnknownContractError, contract_named
from signalbox.limits import MAX_GRAPH_TENSOR_BYTES, MAX_SCORING_SECONDS

GOLDEN_TOLERANCE: Final = 1e-5  # largest difference of a probability


class Workspace(Enum):
    """The limits on the memory of a bundle's graphs."""

    BOUNDED = "bounded"  # MAX_GRAPH_TENSOR_BYTES for all bundles of a process together: for serving
    MACHINE = "machine"  # all memory of the machine: for scoring years at once


def load_bundle(
    folder: Path, workspace: Workspace = Workspace.BOUNDED, *, contracts: Collection[SignalContract] = (DIR60,)
) -> Ensemble:
    """Return the verified ensemble of a bundle folder. The folder is not needed afterwards.

    contracts: those that the caller treats as what they are. A bundle of another one is refused, never taken for dir60.
    Raises the BundleError of the first fault, whatever it is. Verification always runs in a bounded workspace.
    """
    try:
        return _load(folder, workspace, contracts)
    except BundleError:
        raise
    except Exception as error:  # too little memory, too deep nesting: no bundle may crash the process that loads it
        raise BundleIncompleteError(f"{folder.name} does not load: {type(error).__name__}: {error}") from error


def _load(folder: Path, workspace: Workspace, contracts: Collection[SignalContract]) -> Ensemble:
    manifest = read_manifest(folder)
    contents = _verified_contents(folder, manifest)
    schema = _matching_schema(folder.name, manifest)
    contract = _matching_contract(folder.name, manifest)
    if contract not in contracts:
        known = ", ".join(one.title for one in contracts)
        raise BundleContractError(
            f"{folder.name}: made for contract {contract.title}; expected {known} here: this part does not know the others yet "
            "(docs/contracts.md); use train and evaluate"
        )
    graphs = [(member.file, contents[member.file]) for member in manifest.members]
    _judge(folder.name, graphs)

    def verified() -> Ensemble:
        ensemble = Ensemble(
            manifest, schema, _sessions(folder.name, graphs, Workspace.BOUNDED), MAX_SCORING_SECONDS, contract=contract
        )
        _check_golden(ensemble, contents[GOLDEN_FILE])
        return ensemble

    require_trial(folder.name, verified)
    if workspace is Workspace.BOUNDED:
        return verified()
    return Ensemble(manifest, schema, _sessions(folder.name, graphs, workspace), contract=contract)


def record_of(content: bytes) -> FileRecord:
    """Return the manifest's record of a file with this content."""
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _verified_contents(folder: Path, manifest: BundleManifest) -> dict[str, bytes]:
    present = {path.name for path in folder.iterdir()} - {MANIFEST_FILE}
    if missing := sorted(set(manifest.files) - present):
        raise BundleIncompleteError(f"{folder.name}: missing files: {', '.join(missing)}")
    if extra := sorted(present - set(manifest.files)):
        raise BundleTamperedError(f"{folder.name}: files that the manifest does not list: {', '.join(extra)}")
    contents: dict[str, bytes] = {}
    for name, wanted in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise BundleTamperedError(f"{folder.name}: expected {name} to be a plain file")
        if (size := path.stat().st_size) > wanted.size:  # so that at most the size in the manifest, which is bounded, is read
            raise BundleTamperedError(
                f"{folder.name}: expected {name} with sha256 {wanted.sha256} of {wanted.size}, got {size} bytes"
            )
        content = path.read_bytes()  # hashed and used from memory, so that nobody can change it in between
        found = record_of(content)
        if found.size < wanted.size:
            raise BundleIncompleteError(f"{folder.name}: expected {name} of {wanted.size} bytes, got {found.size}")
        if found != wanted:
            raise BundleTamperedError(f"{folder.name}: expected {name} with sha256 {wanted.sha256}, got {found.sha256}")
        contents[name] = content
    return contents


def _matching_schema(bundle: str, manifest: BundleManifest) -> FeatureSchema:
    wanted = manifest.feature_schema
    try:
        schema = get_schema(wanted.name)
    except FeatureSchemaError as error:
        raise BundleSchemaError(
            f"{bundle}: this code cannot compute its feature schema {wanted.name} ({wanted.hash}): {error}"
        ) from error
    if (found := with_hash(schema, wanted.hash)) is None:
        former = "; its hash is in the former format: run signalbox features rehash" if wanted.hash == schema.former_hash else ""
        raise BundleSchemaError(
            f"{bundle}: fitted on feature schema {wanted.name} ({wanted.hash}), this code computes {schema.name} ({schema.hash})"
            f"{former}"
        )
    return found


def _matching_contract(bundle: str, manifest: BundleManifest) -> SignalContract:
    """Return the contract that the bundle was made for; of one that records none, dir60@1."""
    label, recorded = manifest.label, manifest.label.contract
    version = DIR60.version if recorded is None else recorded.version
    try:
        contract = contract_named(label.name, version)
    except UnknownContractError as error:
        raise BundleContractError(f"{bundle}: this code cannot settle its signals: {error}") from error
    if recorded is None and contract is not DIR60:
        raise BundleContractError(f"{bundle}: expected version and hash of its contract {label.name}, got none; train it again")
    if recorded is not None and recorded.hash != contract.hash:
        raise BundleContractError(
            f"{bundle}: made for contract {contract.title} ({recorded.hash}), this code has {contract.title} ({contract.hash})"
        )
    for name in ("horizon_minutes", "entry_lag_bars", "decision_minutes"):
        if getattr(label, name) != getattr(contract, name):
            raise BundleContractError(
                f"{bundle}: label.{name}: expected {getattr(contract, name)} of {contract.title}, got {getattr(label, name)}"
            )
    scores = {member.output == "score" for member in manifest.members}
    if scores != {contract.label is LabelKind.SCALED_RETURN}:
        outputs = ", ".join(sorted({member.output for member in manifest.members}))
        raise BundleContractError(
            f"{bundle}: members.output: expected outputs of a {contract.label} for {contract.title}, got {outputs}"
        )
    kind = "anchored" if contract.event is PromisedEvent.TARGET_FIRST else "temperature"
    if manifest.calibrator.kind != kind:
        raise BundleContractError(
            f"{bundle}: calibrator.kind: expected {kind} for {contract.title}, got {manifest.calibrator.kind}"
        )
    return contract


def _judge(bundle: str, graphs: Sequence[tuple[str, bytes]]) -> None:
    """Check all graphs against one shared budget before the first is loaded."""
    budget = GraphBudget()
    for name, content in graphs:
        try:
            judge_graph(content, budget)
        except UnfitFileError as error:
            raise BundleIncompleteError(f"{bundle}: {name} cannot be loaded as ONNX: {error}") from error


def _sessions(bundle: str, graphs: Sequence[tuple[str, bytes]], workspace: Workspace) -> tuple[onnxruntime.InferenceSession, ...]:
    return tuple(_session(bundle, name, content, workspace) for name, content in graphs)


@cache
def _bound_the_workspace() -> None:
    """Give the process one memory arena of bounded size, which sessions can ask for. onnxruntime allows one per process."""
    cpu = onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(cpu, onnxruntime.OrtArenaCfg({"max_mem": MAX_GRAPH_TENSOR_BYTES}))


def _session(bundle: str, name: str, content: bytes, workspace: Workspace) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if workspace is Workspace.BOUNDED:
        _bound_the_workspace()
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = 1  # a batch of three symbols gains nothing from threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # faults are raised, not logged
    try:
        # No constant folding: it runs while the graph loads, outside the arena, and a chain of constants grows without bound.
        return onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
        )
    except Exception as error:  # onnxruntime's errors share no base class
        raise BundleIncompleteError(f"{bundle}: {name} cannot be loaded as ONNX: {error}") from error


def _check_golden(ensemble: Ensemble, content: bytes) -> None:
    bundle = ensemble.name
    try:
        golden = read_arrays(content, {"features": (2, 3), "probability_up": (1,)})
    except UnfitFileError as error:
        raise BundleGoldenError(f"{bundle}: {GOLDEN_FILE} has no valid features and probability_up: {error}") from error
    features, wanted = golden["features"], golden["probability_up"]
    if wanted.shape != features.shape[:1] or wanted.shape[0] == 0:
        raise BundleGoldenError(
            f"{bundle}: expected one golden probability for each golden row, got shapes {features.shape} and {wanted.shape}"
        )
    try:
        found = ensemble.predict(features)
    except Exception as error:
        raise BundleGoldenError(f"{bundle}: the golden rows cannot be scored: {error}") from error
    worst = float(np.max(np.abs(found - wanted)))
    if not worst <= GOLDEN_TOLERANCE:
        raise BundleGoldenError(
            f"{bundle}: expected the golden probabilities to within {GOLDEN_TOLERANCE}, got a difference of {worst:.3g}"
        )
