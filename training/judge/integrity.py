"""Leak checks that need no labels: prefix invariance of the features, and the sign-flip placebo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from signalbox.features import FeatureMatrix, FeatureSchema, compute_features, find_reference
from signalbox.inference.ensemble import Ensemble
from signalbox.inference.judged import read_arrays
from signalbox.inference.manifest import GOLDEN_FILE
from signalbox.market.candles import MINUTE_MS, Bars
from training.data.dataset import DECISION_MINUTES, build_dataset
from training.data.splits import DAY_MS, Span
from training.fit.parity import PARITY_TOLERANCE
from training.judge.estimates import Estimate, mean_by_day
from training.judge.kept_scores import KeptScores
from training.judge.scoring import score

PLACEBO_DAYS: Final = 270  # the newest days of the period; a shorter period is flipped several times
PLACEBO_EVERY: Final = 6  # decisions: two within each horizon say nearly as much as all twelve (docs/decisions/0120)
_PLACEBO_TAIL: Final = 0.0005
_MAX_FLIPS: Final = 60
_ANOTHER_CALENDAR: Final = 1_000_000  # days added per flip, so that no two flips share a day
_CUTS: Final = 5
_PREFIX_BARS: Final = 20_000
_FLIP_SEED: Final = 1


class Compute(Protocol):
    """Computes features: `compute_features`, or a replacement in a test."""

    def __call__(self, schema: FeatureSchema, bars: Bars, *, reference: Bars | None = None) -> FeatureMatrix: ...


@dataclass(frozen=True, slots=True)
class Integrity:
    """Results of the checks of gate G0."""

    prefix_difference: float  # largest relative change of a feature when later bars are cut off
    onnx_difference: float  # largest difference between a probability and that of the source model
    placebo_precision: Estimate

    @property
    def passed(self) -> bool:
        same = self.prefix_difference <= 1e-9 and self.onnx_difference <= PARITY_TOLERANCE
        return same and self.placebo_precision.low <= 0.5  # a leak raises the precision

    @override
    def __str__(self) -> str:
        placebo = self.placebo_precision
        return (
            f"prefix {self.prefix_difference:.1e}, ONNX {self.onnx_difference:.1e}, "
            f"placebo {placebo.value:.4f} [{placebo.low:.4f}, {placebo.high:.4f}] (99.9 %), n = {placebo.n}"
        )


def prefix_difference(
    schema: FeatureSchema, bars: Sequence[Bars], rng: np.random.Generator, compute: Compute = compute_features
) -> float:
    """Return the largest relative change of any feature of the longest series when later bars are cut off.

    Infinity if a row becomes complete or incomplete. The reference symbol, found among the bars, is cut at the same instant.
    """
    longest, reference = max(bars, key=len), find_reference(schema, bars)
    whole = compute(schema, longest, reference=reference)
    worst = 0.0
    for stop in rng.integers(schema.history_bars, len(longest), _CUTS):
        cut = longest.window(slice(0, int(stop)))
        known = None if reference is None else _closed_by(reference, int(cut.open_time_ms[-1]))
        part = compute(schema, cut, reference=known)
        kept = whole.values[:stop]
        if (part.is_complete != whole.is_complete[:stop]).any() or (np.isnan(part.values) != np.isnan(kept)).any():
            return float("inf")
        scale = np.maximum(np.abs(kept), 1e-9)
        worst = max(worst, float(np.nanmax(np.abs(part.values - kept) / scale)))
    return worst


def _closed_by(bars: Bars, newest_open_ms: int) -> Bars:
    return bars.window(slice(0, int(np.searchsorted(bars.open_time_ms, newest_open_ms, side="right"))))


def flip_signs(bars: Bars, rng: np.random.Generator) -> Bars:
    """Return bars in which a coin toss decides the direction of every minute; sizes, volumes and times are kept.

    Each bar is mirrored, or not, around the close before it, in logarithms.
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


def placebo_precision(ensemble: Ensemble, bars: Sequence[Bars], span: Span, kept: KeptScores | None = None) -> Estimate:
    """Return the precision of issued signals on sign-flipped bars of the period. Without a leak it is one half.

    For a contract with barriers it is one half plus the lift over a random side, which is 0 without a leak. Where a contract
    issues only what covers its cost, all that reaches the margin is judged: a leak is in the probabilities, and few are issued.

    A short period is flipped several times, each time with other coins, until there are enough days. The interval is a 99.9 %
    one: it stops a sound model once in two thousand times, and a leak would cost much more than that. Every sixth decision is
    scored, each day beginning at the next one, so that every time of day is.
    """
    span = Span(max(span.start_ms, span.end_ms - PLACEBO_DAYS * DAY_MS), span.end_ms)
    warm_up_ms = (ensemble.history_bars + 1440) * MINUTE_MS
    hit, day = [], []
    for flip in range(min(-(-PLACEBO_DAYS * DAY_MS // max(span.end_ms - span.start_ms, 1)), _MAX_FLIPS)):
        rng = np.random.default_rng((_FLIP_SEED, flip))
        flipped = []
        for one in bars:
            low, high = np.searchsorted(one.open_time_ms, [span.start_ms - warm_up_ms, span.end_ms])
            if high > low:
                flipped.append(flip_signs(one.window(slice(int(low), int(high))), rng))
        data = build_dataset(ensemble.schema, flipped, window_bars=ensemble.window_bars, contract=ensemble.contract)
        chosen = span.rows_of(data) & scored_by_placebo(data.decided_at_ms, flip)
        scored = score(ensemble, data.select(chosen), kept=kept)
        judged = np.abs(scored.probability_up - 0.5) >= ensemble.thresholds.issue_margin  # covering its cost or not
        hit.append(scored.fair_hit[judged])
        day.append(scored.day[judged] + flip * _ANOTHER_CALENDAR)
    return mean_by_day(np.concatenate(hit), np.concatenate(day), _PLACEBO_TAIL)


def scored_by_placebo(decided_at_ms: NDArray[np.int64], flip: int) -> NDArray[np.bool_]:
    """Return which decisions the placebo scores: of a day every sixth, from one that moves on with each day and each flip."""
    decision = decided_at_ms // (DECISION_MINUTES * MINUTE_MS)
    chosen: NDArray[np.bool_] = (decision + decided_at_ms // DAY_MS + flip) % PLACEBO_EVERY == 0
    return chosen


def golden_difference(ensemble: Ensemble, folder: Path) -> float:
    """Return the largest difference between a probability and that of the source model when the bundle was written."""
    golden = read_arrays((folder / GOLDEN_FILE).read_bytes(), {"features": (2, 3), "probability_up": (1,)})
    return float(np.max(np.abs(ensemble.predict(golden["features"]) - golden["probability_up"])))


def check_integrity(
    ensemble: Ensemble,
    folder: Path,
    bars: Sequence[Bars],
    span: Span,
    *,
    exported: float = 0.0,
    kept: KeptScores | None = None,
) -> Integrity:
    """Return the results of the checks of G0 on a period.

    exported: the ONNX difference measured at export; the larger one counts.
    """
    newest = [one.until(span.end).last(_PREFIX_BARS) for one in bars]
    return Integrity(
        prefix_difference=prefix_difference(ensemble.schema, newest, np.random.default_rng(0)),
        onnx_difference=max(exported, golden_difference(ensemble, folder)),
        placebo_precision=placebo_precision(ensemble, bars, span, kept),
    )
