"""Leak detectors that need no labels to be believed: prefix invariance of the features, and the sign-flip placebo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from signalbox.features import FeatureSchema, compute_features
from signalbox.inference.ensemble import Ensemble
from signalbox.market.candles import Bars
from training.dataset import build_dataset
from training.evaluation import Estimate, evaluate
from training.export import PARITY_TOLERANCE
from training.splits import Span

_CUTS: Final = 5
_FLIP_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Integrity:
    """What the checks of G0 found."""

    prefix_difference: float  # largest relative change of a feature when the future is cut off
    onnx_difference: float  # largest difference of a probability from the model it was exported from
    placebo_precision: Estimate

    @property
    def passed(self) -> bool:
        same = self.prefix_difference <= 1e-9 and self.onnx_difference <= PARITY_TOLERANCE
        return same and self.placebo_precision.low <= 0.5  # a leak pushes it up

    @override
    def __str__(self) -> str:
        placebo = self.placebo_precision
        return (
            f"prefix {self.prefix_difference:.1e}, ONNX {self.onnx_difference:.1e}, "
            f"placebo {placebo.value:.4f} [{placebo.low:.4f}, {placebo.high:.4f}], n = {placebo.n}"
        )


def prefix_difference(schema: FeatureSchema, bars: Bars, rng: np.random.Generator) -> float:
    """Return the largest relative change of any feature of any row when later bars are cut off; infinity if a flag changes."""
    whole = compute_features(schema, bars)
    worst = 0.0
    for stop in rng.integers(schema.history_bars, len(bars), _CUTS):
        part = compute_features(schema, bars.window(slice(0, int(stop))))
        kept = whole.values[:stop]
        if (part.is_complete != whole.is_complete[:stop]).any() or (np.isnan(part.values) != np.isnan(kept)).any():
            return float("inf")
        scale = np.maximum(np.abs(kept), 1e-9)
        worst = max(worst, float(np.nanmax(np.abs(part.values - kept) / scale)))
    return worst


def flip_signs(bars: Bars, rng: np.random.Generator) -> Bars:
    """Return bars whose every minute went up or down by a coin: sizes, volumes and times are kept, direction is noise.

    Each bar is mirrored, or not, around the close before it, in logs.
    """
    sign = rng.choice(np.array([-1.0, 1.0]), len(bars))
    before = np.concatenate((bars.open[:1], bars.close[:-1]))

    def moved(price: NDArray[np.float64]) -> NDArray[np.float64]:
        return sign * np.log(price / before)

    level = np.log(bars.open[0]) + np.cumsum(moved(bars.close))
    base = np.concatenate((np.log(bars.open[:1]), level[:-1]))
    open_, close = np.exp(base + moved(bars.open)), np.exp(level)
    one, other = np.exp(base + moved(bars.high)), np.exp(base + moved(bars.low))
    high = np.maximum.reduce((one, other, open_, close))
    low = np.minimum.reduce((one, other, open_, close))
    return Bars(bars.symbol, bars.open_time_ms, open_, high, low, close, bars.volume)


def placebo_precision(ensemble: Ensemble, bars: Sequence[Bars], span: Span) -> Estimate:
    """Return the precision of issued signals on sign-flipped bars of the test period; without a leak it is one half."""
    rng = np.random.default_rng(_FLIP_SEED)
    warm_up_ms = (ensemble.schema.history_bars + 1440) * 60_000
    flipped = []
    for one in bars:
        low, high = np.searchsorted(one.open_time_ms, [span.start_ms - warm_up_ms, span.end_ms])
        flipped.append(flip_signs(one.window(slice(int(low), int(high))), rng))
    data = build_dataset(ensemble.schema, flipped)
    data = data.select(span.rows(data.decided_at_ms))
    probability = ensemble.predict(data.features.astype(np.float64))
    return evaluate(data, probability, ensemble.thresholds, train_up_rate=0.5).issued.precision
