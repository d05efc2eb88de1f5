"""XGBoost boosters to ONNX, proven equal before anything is written."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnxmltools
import onnxruntime
import xgboost as xgb
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType

from training.errors import ExportParityError

PARITY_TOLERANCE: Final = 1e-5  # of a probability
PARITY_BATCHES: Final = (1, 3, 64, 1_000)
_OPSET: Final = 15


def booster_to_onnx(booster: xgb.Booster, features: int, name: str) -> bytes:
    """Return the graph: input "features" float32 [batch, features], output "probabilities" [batch, 2] of (down, up)."""
    model: Any = onnxmltools.convert_xgboost(
        booster,
        name=name,  # without it the converter draws a random one
        initial_types=[("features", FloatTensorType([None, features]))],
        target_opset=_OPSET,
    )
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def parity_difference(booster: xgb.Booster, graph: bytes, rows: NDArray[np.float32]) -> float:
    """Return the largest difference of P(up) between booster and graph over several batch sizes.

    Raises ExportParityError when it is above 1e-5 or a batch size gives another shape.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in PARITY_BATCHES:
        part = rows[:batch] if batch < rows.shape[0] else rows
        wanted = booster.predict(xgb.DMatrix(part))
        (pairs,) = session.run(["probabilities"], {"features": part})
        if pairs.shape != (part.shape[0], 2):
            raise ExportParityError(f"expected probabilities ({part.shape[0]}, 2), was {pairs.shape}")
        worst = max(worst, float(np.max(np.abs(pairs[:, 1] - wanted))))
    if worst > PARITY_TOLERANCE:
        raise ExportParityError(f"expected ONNX within {PARITY_TOLERANCE} of XGBoost, was {worst:.3g} apart")
    return worst
