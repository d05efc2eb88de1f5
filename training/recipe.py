"""The recipe: fit → stop early → calibrate → freeze thresholds, each on its own period; and its walk-forward.

Where several configurations are tried, the one with the least log loss on the early-stopping period is taken. The test
periods choose nothing; what every configuration earned there is kept for G5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from signalbox.inference.ensemble import sigmoid
from signalbox.inference.manifest import FrozenThresholds
from training.calibration import fit_temperature, freeze_thresholds
from training.config import TrainConfig, XgboostConfig
from training.costs import CostModel
from training.dataset import Dataset
from training.overfitting import Trials, daily_returns
from training.scoring import Scored
from training.splits import Period, Span
from training.stability import Stability, by_stretch
from training.trees import fit_members
from training.walk_forward import WalkForward

Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """A fitted ensemble with everything that is chosen for it, before the test is looked at."""

    name: str
    config: XgboostConfig
    boosters: list[xgb.Booster]
    stopping_loss: float  # log loss of the averaged logits on the early-stopping period
    temperature: float
    thresholds: FrozenThresholds

    def probability(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n,) calibrated probabilities."""
        return sigmoid(mean_logits(self.boosters, rows) / self.temperature)

    def score(self, data: Dataset) -> Scored:
        """Return what it says of decisions."""
        return Scored.of(data, self.probability(data.features), self.thresholds)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResults:
    """The walk-forward of a recipe: the chosen configuration on every fold's test, and all of them for G5."""

    scored: Scored
    stability: Stability
    daily_bps: NDArray[np.float64]  # (days, configurations)
    spans: list[dict[Period, Span]]
    chosen: list[str]


def periods_of(data: Dataset, spans: Mapping[Period, Span]) -> dict[Period, Dataset]:
    """Return the decisions of each period."""
    return {period: data.select(span.rows(data.decided_at_ms)) for period, span in spans.items()}


def freeze_all(config: TrainConfig, parts: Mapping[Period, Dataset], tell: Tell) -> list[Frozen]:
    """Return every configuration, fitted and frozen, the one to take first."""
    found = []
    for i, (name, candidate) in enumerate(config.candidates.items()):
        share = _share_of(tell, i, len(config.candidates))
        found.append(_freeze(name, candidate, config, parts, share))
    return sorted(found, key=lambda one: one.stopping_loss)


def run_folds(config: TrainConfig, data: Dataset, cost: CostModel, tell: Tell) -> FoldResults:
    """Return the walk-forward: at each fold everything is fitted, chosen and frozen anew on what was known."""
    folds = WalkForward(config.folds).spans(data.decided_at_ms)
    probability, issued, high = np.full(len(data), np.nan), np.zeros(len(data), np.bool_), np.zeros(len(data), np.bool_)
    daily, chosen, tests = [], [], {}
    for i, spans in enumerate(folds):
        frozen = freeze_all(config, periods_of(data, spans), _share_of(tell, i, len(folds)))
        rows = spans[Period.TEST].rows(data.decided_at_ms)
        scored = {one.name: one.score(data.select(rows)) for one in frozen}
        best = scored[frozen[0].name]
        probability[rows], issued[rows], high[rows] = best.probability_up, best.issued, best.high
        daily.append(np.column_stack([daily_returns(scored[name], cost) for name in config.candidates]))
        chosen.append(frozen[0].name)
        tests[f"{spans[Period.TEST].start:%Y-%m-%d}"] = rows
    tested = ~np.isnan(probability)
    pooled = Scored(data.select(tested), probability[tested], issued[tested], high[tested])
    stability = by_stretch("fold", pooled, {name: rows[tested] for name, rows in tests.items()}, cost)
    return FoldResults(pooled, stability, np.concatenate(daily), folds, chosen)


def trials_of(frozen: Sequence[Frozen], test: Dataset, folds: FoldResults | None, cost: CostModel) -> Trials:
    """Return what was tried, with daily returns out of sample: of the folds where there are any, else of the test period."""
    if folds is not None:
        return Trials(len(frozen), folds.daily_bps)
    in_order = sorted(frozen, key=lambda one: one.name)
    return Trials(len(frozen), np.column_stack([daily_returns(one.score(test), cost) for one in in_order]))


def mean_logits(boosters: Sequence[xgb.Booster], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n,) averaged logits."""
    matrix = xgb.DMatrix(rows)
    margins = [booster.predict(matrix, output_margin=True).astype(np.float64) for booster in boosters]
    mean: NDArray[np.float64] = np.mean(margins, axis=0)
    return mean


def _freeze(name: str, candidate: XgboostConfig, config: TrainConfig, parts: Mapping[Period, Dataset], tell: Tell) -> Frozen:
    stopping, calibration = parts[Period.EARLY_STOPPING], parts[Period.CALIBRATION]
    boosters = fit_members(candidate, parts[Period.TRAIN], stopping, config.seed, tell)
    temperature = fit_temperature(mean_logits(boosters, calibration.features), calibration.label.astype(np.float64))
    margins = sigmoid(mean_logits(boosters, parts[Period.THRESHOLDS].features) / temperature)
    loss = _log_loss(mean_logits(boosters, stopping.features), stopping.label.astype(np.float64))
    return Frozen(name, candidate, boosters, loss, temperature, freeze_thresholds(margins, config.coverage))


def _log_loss(logits: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    return float(np.mean(np.logaddexp(0.0, logits) - label * logits))


def _share_of(tell: Tell, index: int, count: int) -> Tell:
    return lambda fraction: tell((index + fraction) / count)
