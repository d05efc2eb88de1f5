"""Export of models to ONNX. Each graph is compared with its model before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxmltools
import onnxruntime
import xgboost as xgb
from onnxmltools.convert.common.data_types import FloatTensorType

from signalbox.inference.ensemble import logit, sigmoid
from training.data.dataset import Dataset
from training.errors import ExportParityError
from training.fit.parity import PARITY_TOLERANCE

if TYPE_CHECKING:
    from training.fit.members import FittedMember

PARITY_BATCHES: Final = (1, 3, 64, 1_000)
_OPSET: Final = 15


def booster_to_onnx(booster: xgb.Booster, features: int, name: str, output: str = "probability_pair") -> bytes:
    """Return the ONNX graph of a booster.

    Input "features": float32 [batch, features]. Output "probabilities": [batch, 2], (down, up). A regression's
    output is "score": [batch, 1].
    """
    model: Any = onnxmltools.convert_xgboost(
        booster,
        name=name,  # without a name the converter makes up a random one
        initial_types=[("features", FloatTensorType([None, features]))],
        target_opset=_OPSET,
    )
    if output == "score":  # the converter calls it "variable"
        (found,) = model.graph.output
        for node in model.graph.node:
            node.output[:] = ["score" if one == found.name else one for one in node.output]
        found.name = "score"
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def export_members(members: Mapping[str, FittedMember], data: Dataset) -> tuple[dict[str, bytes], float]:
    """Return the graph of each member, by name, and the largest difference between a graph's probability and its member's.

    Raises ExportParityError if a difference is above 1e-5.
    """
    graphs, worst = {}, 0.0
    for name, member in members.items():
        graphs[name] = member.to_onnx(name.removesuffix(".onnx"))
        worst = max(worst, parity_difference(member, graphs[name], data, name))
    return graphs, worst


def parity_difference(member: FittedMember, graph: bytes, data: Dataset, name: str = "the graph") -> float:
    """Return the largest difference of P(up) between member and graph, over several batch sizes.

    Raises ExportParityError if it is above 1e-5, or if a batch size gives another output shape.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    spread = np.linspace(0, len(data) - 1, max(PARITY_BATCHES)).astype(np.int64)
    given = data.features[spread] if member.window_bars is None else data.windows(spread, member.window_bars)
    worst = 0.0
    for batch in PARITY_BATCHES:
        part = np.ascontiguousarray(given[:: max(PARITY_BATCHES) // batch][:batch])
        wanted = sigmoid(member.logits_of(part))
        shape: tuple[int, ...]
        if member.output == "probability_pair":
            (found,) = session.run(["probabilities"], {"features": part})
            shape = (batch, 2)
        else:
            (found,) = session.run([member.output], {"features": part})
            shape = (batch, 1) if member.output == "score" else (batch,)
        if found.shape != shape:
            raise ExportParityError(f"{name}: expected output shape {shape} for {batch} decisions, got {found.shape}")
        up = sigmoid(logit(found[:, 1].astype(np.float64)) if shape == (batch, 2) else found.reshape(-1).astype(np.float64))
        worst = max(worst, float(np.max(np.abs(up - wanted))))
    if not worst <= PARITY_TOLERANCE:
        raise ExportParityError(
            f"{name}: expected ONNX probabilities within {PARITY_TOLERANCE} of the {member.family} model, got {worst:.3g}; "
            "nothing was written"
        )
    return worst
