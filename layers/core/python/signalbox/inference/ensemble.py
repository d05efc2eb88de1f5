"""Ensemble: verified ONNX members behind one `predict`, which averages their scores and calibrates the average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema, FeatureSchemaError
from signalbox.inference.manifest import BundleManifest, Calibrator, FrozenThresholds, Member
from signalbox.labels import DIR60, SignalContract

if TYPE_CHECKING:
    import onnxruntime

_CLIP = 1e-7  # distance from 0 and 1 that a probability is kept at before its logit is taken


def logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(p / (1 - p)), with p kept at least 1e-7 away from 0 and 1."""
    kept = np.clip(probability, _CLIP, 1.0 - _CLIP)
    odds: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return odds


def sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), safe for any finite x."""
    probability: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * value))
    return probability


def calibrated(score: NDArray[np.float64], calibrator: Calibrator) -> NDArray[np.float64]:
    """Return (n,) probabilities, written as of "up": the probability of the score's side, subtracted from 1 where it is SELL.

    score: (n,) averaged logits or predicted returns; its sign is the side. A score of exactly 0 has no side and gets 1/2.
    """
    if calibrator.offset is None:
        return sigmoid(score / calibrator.temperature)
    return sigmoid(np.sign(score) * (calibrator.offset + np.abs(score) / calibrator.temperature))


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A bundle that passed every check of `load_bundle`. Safe to use from several threads."""

    manifest: BundleManifest
    schema: FeatureSchema
    sessions: tuple[onnxruntime.InferenceSession, ...]
    seconds: float | None = None  # of one prediction; None: no limit
    contract: SignalContract = DIR60

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def thresholds(self) -> FrozenThresholds:
        return self.manifest.thresholds

    @property
    def issue_margin(self) -> float:
        """The smallest |p - 1/2| for which a signal is issued; p: probability that the price rises."""
        return self.manifest.thresholds.issue_margin

    @property
    def high_margin(self) -> float:
        """The smallest |p - 1/2| for which a signal has tier HIGH; p: probability that the price rises."""
        return self.manifest.thresholds.high_margin

    @property
    def window_bars(self) -> int:
        """How many of the newest feature rows a decision needs: the longest window of any member, 1 if no member has one."""
        return max(member.window_bars or 1 for member in self.manifest.members)

    @property
    def history_bars(self) -> int:
        """How many of the newest bars a live decision needs, so that no row of its window depends on older bars."""
        return self.schema.history_bars + self.window_bars - 1

    def predict(self, features: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (k,) calibrated probabilities, as `calibrated` writes them.

        features: (k, window_bars, f) in schema order, oldest row first.

        (k, f) is accepted if window_bars is 1. A member with a shorter window gets the newest rows. Raises FeatureSchemaError
        for another shape, or if any value is not finite (also after conversion to float32): then no row of the call is scored,
        not even a complete one. Raises an error of onnxruntime for graphs that fail, or have not ended after `seconds`.
        """
        shape = (self.window_bars, len(self.schema.names))
        if features.shape[1:] != shape and (self.window_bars > 1 or features.shape[1:] != shape[1:]):
            wanted = ", ".join(str(size) for size in (shape if self.window_bars > 1 else shape[1:]))
            raise FeatureSchemaError(f"expected (k, {wanted}) features of {self.schema.name}, got {features.shape}")
        with np.errstate(over="ignore"):
            windows = np.ascontiguousarray(features, dtype=np.float32).reshape(-1, *shape)
        if not np.isfinite(windows).all():
            bad = sorted({self.schema.names[column] for column in np.nonzero(~np.isfinite(windows))[-1]})
            raise FeatureSchemaError(f"expected finite features, but these columns hold other values: {', '.join(bad)}")
        if windows.shape[0] == 0:
            return np.empty(0)
        total = np.zeros(windows.shape[0])
        with _deadline(self.seconds) as options:
            for member, session in zip(self.manifest.members, self.sessions, strict=True):
                total += member.weight * _member_logit(member, session, windows, options)
        return calibrated(total, self.manifest.calibrator)


@contextmanager
def _deadline(seconds: float | None) -> Iterator[onnxruntime.RunOptions | None]:
    """Give options that end a run after so many seconds, at the next operator of its graph."""
    if seconds is None:
        yield None
        return
    import onnxruntime  # noqa: PLC0415 - whoever has sessions has it already

    options = onnxruntime.RunOptions()
    timer = Timer(seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _member_logit(
    member: Member,
    session: onnxruntime.InferenceSession,
    windows: NDArray[np.float32],
    options: onnxruntime.RunOptions | None,
) -> NDArray[np.float64]:
    """Return (k,) logits of one member, computed from the newest rows of (k, w, f) that it needs."""
    seen = windows[:, -1] if member.window_bars is None else windows[:, -member.window_bars :]
    given = {"features": np.ascontiguousarray(seen)}
    if member.output == "probability_pair":
        (pairs,) = session.run(["probabilities"], given, options)
        return logit(pairs[:, 1].astype(np.float64))
    (logits,) = session.run([member.output], given, options)
    flat: NDArray[np.float64] = logits.reshape(-1).astype(np.float64)
    return flat
