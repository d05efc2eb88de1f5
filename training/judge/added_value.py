"""Measures whether additional features improve a model, on data that no model was fitted on.

Two boosters of the same settings are fitted on an expanding past and scored on the days after it, one on the features of a
schema, one on these and the additional ones. The figure is how much smaller the log loss of a decision is with them, with an
interval that resamples whole days. The same is done with the additional features moved to another time (the placebo): they keep
their distribution and lose their meaning, so what they seem to add is what chance and more columns add. Something is added if
the interval lies above 0 and the figure above the placebo's interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from signalbox.market.candles import MarketDataError
from training.data.dataset import Dataset
from training.data.splits import DAY_MS, EMBARGO_DAYS, Span, whole_days
from training.judge.estimates import Estimate, mean_by_day

FOLDS: Final = 4
TREES: Final = 120
LEAST_DAYS: Final = 30
CONFIDENT_SHARE: Final = 0.10  # of decisions, whose precision is shown too
_PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "max_depth": 4,
    "eta": 0.05,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "min_child_weight": 40,
    "tree_method": "hist",
    "max_bin": 64,
    "seed": 7,
}


class AddedValueVerdict(StrEnum):
    """The verdict of the measurement."""

    ADDS = "ADDS"  # decisions are better with the additional features
    NONE = "NONE"  # no difference was found that chance does not explain
    HARMS = "HARMS"  # decisions are worse with them


@dataclass(frozen=True, slots=True)
class AddedValue:
    """The result. gain: fall of the log loss per decision with the features, in nats.

    coverage: share of rows with any feature.
    """

    verdict: AddedValueVerdict
    gain: Estimate
    placebo: Estimate
    precision_without: float
    precision_with: float
    coverage: float
    days: int
    folds: int


def measure_added_value(data: Dataset, additional: NDArray[np.float32], *, folds: int = FOLDS) -> AddedValue:
    """Measure the value of additional features. additional: (n, a) float32, one row per decision of `data`; NaN where unknown.

    Raises MarketDataError for too few days, or without any additional value.
    """
    there: NDArray[np.bool_] = np.asarray(np.isfinite(additional).any(axis=1))
    if not there.any():
        raise MarketDataError("no alternative value was known at any decision; see when they were known (signalbox data report)")
    spans = _folds(data.decided_at_ms, folds)
    base = data.features
    moved = _elsewhere(data, additional)
    tables = (base, np.column_stack([base, additional]), np.column_stack([base, moved]))
    rows: list[NDArray[np.int64]] = []
    scores: list[list[NDArray[np.float64]]] = [[], [], []]
    for past, next_days in spans:
        train, test = np.flatnonzero(past.rows_of(data)), np.flatnonzero(next_days.rows_of(data))
        rows.append(test)
        for scored, table in zip(scores, tables, strict=True):
            scored.append(_scored(table[train], data.label[train], table[test]))
    judged = np.concatenate(rows)
    without, with_, placebo = (np.concatenate(one) for one in scores)
    label, day = data.label[judged].astype(np.float64), data.decided_at_ms[judged] // DAY_MS
    gain = mean_by_day(_loss(without, label) - _loss(with_, label), day)
    chance = mean_by_day(_loss(without, label) - _loss(placebo, label), day)
    return AddedValue(
        _verdict(gain, chance),
        gain,
        chance,
        _precision(without, label),
        _precision(with_, label),
        float(there[judged].mean()),
        int(np.unique(day).shape[0]),
        len(spans),
    )


def _verdict(gain: Estimate, placebo: Estimate) -> AddedValueVerdict:
    if gain.low > 0 and gain.value > max(placebo.high, 0.0):
        return AddedValueVerdict.ADDS
    return AddedValueVerdict.HARMS if gain.high < 0 else AddedValueVerdict.NONE


def _folds(decided_at_ms: NDArray[np.int64], folds: int) -> list[tuple[Span, Span]]:
    """Return pairs of a past and the days after it, with an embargo between them. The first past is half of the days."""
    first, last = whole_days(decided_at_ms, LEAST_DAYS)
    begin = first + (last - first) // 2
    edges = [begin + (last - begin) * i // folds for i in range(folds + 1)]
    return [
        (Span(first * DAY_MS, start * DAY_MS), Span((start + EMBARGO_DAYS) * DAY_MS, end * DAY_MS))
        for start, end in pairwise(edges)
    ]


def _elsewhere(data: Dataset, additional: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the additional values of each symbol, moved by two fifths of its decisions."""
    moved = np.empty_like(additional)
    for symbol in np.unique(data.symbol):
        own = np.flatnonzero(data.symbol == symbol)
        moved[own] = additional[np.roll(own, own.shape[0] * 2 // 5)]
    return moved


def _scored(train: NDArray[np.float32], label: NDArray[np.float32], test: NDArray[np.float32]) -> NDArray[np.float64]:
    booster = xgb.train(_PARAMETERS, xgb.QuantileDMatrix(train, label=label, max_bin=_PARAMETERS["max_bin"]), TREES)
    return np.asarray(booster.predict(xgb.DMatrix(test)), dtype=np.float64)


def _loss(probability: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    loss: NDArray[np.float64] = -np.log(np.clip(np.where(label > 0, probability, 1 - probability), 1e-6, None))
    return loss


def _precision(probability: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Return how often the decisions farthest from 1/2 were right."""
    margin = np.abs(probability - 0.5)
    chosen = np.argsort(-margin, kind="stable")[: max(int(margin.shape[0] * CONFIDENT_SHARE), 1)]
    return float(((probability[chosen] > 0.5) == (label[chosen] > 0)).mean())
