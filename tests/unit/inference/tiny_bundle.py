"""Bundles of linear members, small enough to make in every test: of two rows, and of a row and two windows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from signalbox.features import get_schema
from signalbox.inference import BundleManifest, Gate, Verdict, record_of
from signalbox.inference.archive import pack_bundle
from signalbox.inference.manifest import write_manifest

SCHEMA = get_schema("v31")
WIDTH = len(SCHEMA.names)
TEMPERATURE = 1.5
WINDOW_SCALE = np.float32(0.2)  # of the weights of window members: on features as they are the probabilities stay off 0 and 1
Change = Callable[[dict[str, Any]], None]


def weights(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0.0, 0.1, (WIDTH, 1)).astype(np.float32)


def linear_member(seed: int, width: int = WIDTH) -> bytes:
    """logit = features @ weights, as ONNX."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["logit"])],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights(seed)[:width], "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def position_weights(window_bars: int) -> NDArray[np.float32]:
    """How much each row of a window counts: unlike for each, so that no two orders of rows score alike."""
    return np.asarray(np.linspace(0.2, 1.0, window_bars, dtype=np.float32).reshape(1, window_bars, 1) / window_bars, np.float32)


def window_member(seed: int, window_bars: int) -> bytes:
    """logit = (weighted sum of the rows of a window) @ weights, as ONNX: Mul, ReduceSum, Gemm."""
    nodes = [
        helper.make_node("Mul", ["features", "p"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["summed"], keepdims=0),
        helper.make_node("Gemm", ["summed", "w", "b"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "window",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", window_bars, WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"])],
        [
            numpy_helper.from_array(position_weights(window_bars), "p"),
            numpy_helper.from_array(np.array([1]), "axes"),
            numpy_helper.from_array(weights(seed) * WINDOW_SCALE, "w"),
            numpy_helper.from_array(np.zeros(1, np.float32), "b"),
            numpy_helper.from_array(np.array([-1]), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def rows(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 1.0, (count, WIDTH)).astype(np.float32).astype(np.float64)


def expected(features: NDArray[np.float64], seeds: tuple[int, int] = (1, 2)) -> NDArray[np.float64]:
    """What the bundle must say, in plain numpy."""
    first, second = (features @ weights(seed).astype(np.float64) for seed in seeds)
    mean = (first + second).reshape(-1) / 2.0
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-mean / TEMPERATURE))
    return probability


def windows(count: int, window_bars: int, seed: int = 0) -> NDArray[np.float64]:
    return rows(count * window_bars, seed).reshape(count, window_bars, WIDTH)


def expected_of_windows(seen: NDArray[np.float64], row: float, members: dict[int, int]) -> NDArray[np.float64]:
    """What `write_window_bundle` must say, in plain numpy: `members` is the window of each seed, `row` the row's weight."""
    mean = row * (seen[:, -1] @ weights(1).astype(np.float64)) if row else np.zeros((len(seen), 1))
    for seed, window_bars in members.items():
        summed = (seen[:, -window_bars:] * position_weights(window_bars).astype(np.float64)).sum(axis=1)
        mean = mean + (1.0 - row) / len(members) * (summed @ weights(seed).astype(np.float64) * WINDOW_SCALE)
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-mean.reshape(-1) / TEMPERATURE))
    return probability


def golden(features: NDArray[np.float64], probability_up: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, features=features, probability_up=probability_up)
    return buffer.getvalue()


def facts(name: str = "tiny") -> dict[str, Any]:
    """The manifest's content without its files."""
    return {
        "format": 1,
        "name": name,
        "created_at": datetime(2024, 1, 1, tzinfo=UTC),
        "code_version": "test",
        "feature_schema": {"name": SCHEMA.name, "hash": SCHEMA.hash},
        "members": [
            {"file": f"linear-{i}.onnx", "family": "xgboost", "weight": 0.5, "input": "row", "output": "logit"} for i in (1, 2)
        ],
        "ensemble": "averaged_logits",
        "calibrator": {"kind": "temperature", "temperature": TEMPERATURE},
        "label": {"name": "dir60", "horizon_minutes": 60, "entry_lag_bars": 1, "decision_minutes": 5},
        "thresholds": {"issue_margin": 0.05, "high_margin": 0.07},
        "training": {
            "symbols": ["BTC-USD"],
            "start": datetime(2023, 1, 1, tzinfo=UTC),
            "end": datetime(2023, 12, 1, tzinfo=UTC),
            "rows": 10,
            "fitted_rows": 5,
            "seed": 1,
            "sources": [],
        },
        "gates": dict.fromkeys(Gate, Verdict.NOT_EVALUATED),
        "passes_promotion": False,
    }


def write_bundle(
    folder: Path, name: str = "tiny", *, files: dict[str, bytes] | None = None, change: Change | None = None
) -> Path:
    """Write a valid bundle; `files` replaces contents before they are hashed, `change` edits the manifest's content."""
    features = rows(8)
    contents = {
        "linear-1.onnx": linear_member(1),
        "linear-2.onnx": linear_member(2),
        "golden.npz": golden(features, expected(features)),
        "report.json": b'{"headline": "test"}\n',
        **(files or {}),
    }
    content = {**facts(name), "files": {file: record_of(data) for file, data in contents.items()}}
    if change is not None:
        change(content)
    folder.mkdir(parents=True)
    for file, data in contents.items():
        (folder / file).write_bytes(data)
    write_manifest(folder, BundleManifest.model_validate(content))
    return folder


def write_window_bundle(
    folder: Path,
    members: dict[int, int],
    *,
    row: float = 0.0,
    name: str = "windows",
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write a bundle of window members, `members` the window of each seed, beside a row member of the weight `row`."""
    graphs = {f"window-{seed}.onnx": window_member(seed, window_bars) for seed, window_bars in members.items()}
    reported = [
        {
            "file": f"window-{seed}.onnx",
            "family": "lstm",
            "weight": (1.0 - row) / len(members),
            "input": "window",
            "window_bars": window_bars,
            "output": "logit",
        }
        for seed, window_bars in members.items()
    ]
    if row:
        graphs["linear-1.onnx"] = linear_member(1)
        reported.append({"file": "linear-1.onnx", "family": "xgboost", "weight": row, "input": "row", "output": "logit"})
    seen = windows(8, max(members.values()))
    contents = {
        **graphs,
        "golden.npz": golden(seen, expected_of_windows(seen, row, members)),
        "report.json": b'{"headline": "test"}\n',
        **(files or {}),
    }
    folder.mkdir(parents=True)
    for file, data in contents.items():
        (folder / file).write_bytes(data)
    records = {file: record_of(data) for file, data in contents.items()}
    write_manifest(folder, BundleManifest.model_validate({**facts(name), "members": reported, "files": records}))
    return folder


def edit_manifest(folder: Path, change: Change) -> None:
    """Edit manifest.json as an attacker or a bad merge would, unchecked."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def packed_models(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Models that score differently, each packed; the second member of the n-th has the seed 20 + n."""
    found = {}
    for seed, name in enumerate(names, 20):
        features = rows(8)
        files = {"linear-2.onnx": linear_member(seed), "golden.npz": golden(features, expected(features, (1, seed)))}
        found[name] = pack_bundle(write_bundle(folder / name, name, files=files))
    return found
