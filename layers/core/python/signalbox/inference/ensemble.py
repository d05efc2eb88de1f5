"""Ensemble: verified ONNX members behind one `predict`. Averaged logits, then one temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema, FeatureSchemaError
from signalbox.inference.manifest import BundleManifest, FrozenThresholds, Member

if TYPE_CHECKING:
    import onnxruntime

_CLIP = 1e-7  # of a probability, before its logit


def logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(p / (1 - p)) of probabilities kept 1e-7 away from 0 and 1."""
    kept = np.clip(probability, _CLIP, 1.0 - _CLIP)
    odds: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return odds


def sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), safe for any finite x."""
    probability: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * value))
    return probability


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A bundle that passed every check of `load_bundle`. Safe to use from several threads."""

    manifest: BundleManifest
    schema: FeatureSchema
    sessions: tuple[onnxruntime.InferenceSession, ...]

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def thresholds(self) -> FrozenThresholds:
        return self.manifest.thresholds

    @property
    def issue_margin(self) -> float:
        """|p - 1/2| from which a signal is issued."""
        return self.manifest.thresholds.issue_margin

    @property
    def high_margin(self) -> float:
        """|p - 1/2| from which it is of tier HIGH."""
        return self.manifest.thresholds.high_margin

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (k,) calibrated probabilities of "up" for (k, f) features in schema order.

        Raises FeatureSchemaError for another width, or for a value that is not finite (as float32 too): an incomplete
        row is never scored.
        """
        if features.ndim != 2 or features.shape[1] != len(self.schema.names):
            raise FeatureSchemaError(
                f"expected (k, {len(self.schema.names)}) features of {self.schema.name}, was {features.shape}"
            )
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(features, dtype=np.float32)
        if not np.isfinite(rows).all():
            bad = sorted({self.schema.names[column] for column in np.nonzero(~np.isfinite(rows))[1]})
            raise FeatureSchemaError(f"expected finite features, was not in {', '.join(bad)}")
        if rows.shape[0] == 0:
            return np.empty(0)
        total = np.zeros(rows.shape[0])
        for member, session in zip(self.manifest.members, self.sessions, strict=True):
            total += member.weight * _member_logit(member, session, rows)
        return sigmoid(total / self.manifest.calibrator.temperature)


def _member_logit(member: Member, session: onnxruntime.InferenceSession, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    if member.output == "probability_pair":
        (pairs,) = session.run(["probabilities"], {"features": rows})
        return logit(pairs[:, 1].astype(np.float64))
    (logits,) = session.run(["logit"], {"features": rows})
    flat: NDArray[np.float64] = logits.reshape(-1).astype(np.float64)
    return flat
