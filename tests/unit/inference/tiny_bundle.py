"""A bundle of two linear members, small enough to make in every test."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from signalbox.features import get_schema
from signalbox.inference import BundleManifest, Gate, Verdict, record_of
from signalbox.inference.manifest import write_manifest

SCHEMA = get_schema("v31")
WIDTH = len(SCHEMA.names)
TEMPERATURE = 1.5
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


def rows(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 1.0, (count, WIDTH)).astype(np.float32).astype(np.float64)


def expected(features: NDArray[np.float64], seeds: tuple[int, int] = (1, 2)) -> NDArray[np.float64]:
    """What the bundle must say, in plain numpy."""
    mean = sum(features @ weights(seed).astype(np.float64) for seed in seeds).reshape(-1) / 2.0
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-mean / TEMPERATURE))
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


def edit_manifest(folder: Path, change: Change) -> None:
    """Edit manifest.json as an attacker or a bad merge would, unchecked."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
