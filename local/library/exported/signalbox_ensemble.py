"""Scores a Signalbox bundle with numpy and onnxruntime alone; exports for BentoML and MLflow bring this file along.

It computes what Signalbox's own `Ensemble.predict` computes. On loading it verifies the size and sha256 of every file, and the
golden vectors: if the probabilities of this machine differ from the recorded ones, it raises ValueError and serves nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

GOLDEN_TOLERANCE = 1e-5
_CLIP = 1e-7


class StandaloneEnsemble:
    """A verified bundle. window_bars, features: the second and third size of what `predict` takes."""

    def __init__(self, folder: str | Path) -> None:
        bundle = Path(folder)
        self.manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_bytes())
        contents = {name: _verified(bundle / name, record) for name, record in self.manifest["files"].items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._members = [
            (
                member,
                onnxruntime.InferenceSession(
                    contents[member["file"]], options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
                ),
            )
            for member in self.manifest["members"]
        ]
        golden = np.load(io.BytesIO(contents["golden.npz"]), allow_pickle=False)
        rows = golden["features"]
        self.features = int(rows.shape[-1])
        self.window_bars = max(member.get("window_bars") or 1 for member in self.manifest["members"])
        worst = float(np.max(np.abs(self.predict(rows) - golden["probability_up"])))
        if not worst <= GOLDEN_TOLERANCE:
            raise ValueError(f"expected the golden probabilities within {GOLDEN_TOLERANCE}, got {worst:.3g} apart")

    def predict(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return (k,) calibrated probabilities that the price rises, for (k, window_bars, features) rows, oldest first.

        (k, features) is accepted if window_bars is 1. Raises ValueError for another shape, and for a value that is not finite.
        """
        rows = np.asarray(features, dtype=np.float32)
        if rows.ndim == 2 and self.window_bars == 1:
            rows = rows[:, np.newaxis, :]
        if rows.shape[1:] != (self.window_bars, self.features):
            raise ValueError(f"expected (k, {self.window_bars}, {self.features}) features, got {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("expected finite features")
        total = np.zeros(rows.shape[0])
        if not rows.shape[0]:
            return total
        for member, session in self._members:
            seen = rows[:, -1] if member["input"] == "row" else rows[:, -member["window_bars"] :]
            given = {"features": np.ascontiguousarray(seen)}
            if member["output"] == "probability_pair":
                up = np.clip(session.run(["probabilities"], given)[0][:, 1].astype(np.float64), _CLIP, 1.0 - _CLIP)
                odds = np.log(up) - np.log1p(-up)
            else:
                odds = session.run(["logit"], given)[0].reshape(-1).astype(np.float64)
            total += member["weight"] * odds
        probability: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * total / self.manifest["calibrator"]["temperature"]))
        return probability

    def tiers(self, probability_up: NDArray[np.float64]) -> list[str]:
        """Return HIGH, MEDIUM or LOW for each probability, by the thresholds frozen with the model."""
        limits = self.manifest["thresholds"]
        margins = np.abs(probability_up - 0.5)
        return [
            "HIGH" if margin >= limits["high_margin"] else "MEDIUM" if margin >= limits["issue_margin"] else "LOW"
            for margin in margins.tolist()
        ]


def _verified(path: Path, record: dict[str, Any]) -> bytes:
    content = path.read_bytes()
    if len(content) != record["size"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise ValueError(f"{path.name}: expected {record['size']} bytes with sha256 {record['sha256']}")
    return content
