"""Detectors that must find nothing in sound data, and must find what is planted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from signalbox.features import FeatureMatrix, FeatureSchema, compute_features, get_schema
from signalbox.inference.manifest import FrozenThresholds
from signalbox.labels import CONTRACTS, DIR60, SignalContract
from signalbox.market.candles import MINUTE_MS, Bars
from tests.unit.training.synthetic import START_MS, walk
from training.config import QUICK, XgboostConfig, read_config
from training.data.dataset import Dataset, build_dataset
from training.data.splits import DAY_MS, Span, SplitName, split_chronologically
from training.data.walk_forward import WalkForward
from training.fit.members import Making
from training.fit.trees import TreeFamily
from training.judge.estimates import area_under_curve, mean_by_day
from training.judge.integrity import (
    PLACEBO_EVERY,
    Compute,
    Integrity,
    flip_signs,
    placebo_precision,
    prefix_difference,
    scored_by_placebo,
)
from training.judge.scoring import Scored

SCHEMA = get_schema("v31")
TREES = XgboostConfig(**(read_config(QUICK).model_dump()["xgboost"] | {"members": 1, "max_trees": 60, "max_bin": 32}))
Leak = Callable[[Bars], NDArray[np.float64]]


def next_return(bars: Bars) -> NDArray[np.float64]:
    return np.append(np.log(bars.close[1:] / bars.close[:-1]), 0.0)


def whole_series_mean(bars: Bars) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = bars.close / bars.close.mean()
    return scaled


def hour_bar_joined_on_its_open(bars: Bars) -> NDArray[np.float64]:
    """The close of the hour each minute is in: not known before the hour is over."""
    hour = bars.open_time_ms // 3_600_000
    last = np.searchsorted(hour, hour, side="right") - 1
    return bars.close[last] / bars.close


def planted(leak: Leak) -> Compute:
    """The real features, one column of which has learnt the future."""

    def compute(schema: FeatureSchema, bars: Bars, *, reference: Bars | None = None) -> FeatureMatrix:
        matrix = compute_features(schema, bars, reference=reference)
        values = matrix.values.copy()
        values[matrix.is_complete, 0] = leak(bars)[matrix.is_complete]
        return dataclasses.replace(matrix, values=values)

    return compute


def test_v31_is_prefix_invariant() -> None:
    assert prefix_difference(SCHEMA, [walk(3)], np.random.default_rng(0)) <= 1e-12


def test_v50_is_prefix_invariant_with_its_reference_cut_too() -> None:
    both = [walk(6, symbol="ETH-USD", seed=2), walk(5.9)]
    assert prefix_difference(get_schema("v50"), both, np.random.default_rng(0)) <= 1e-12


@pytest.mark.parametrize("leak", [next_return, whole_series_mean, hour_bar_joined_on_its_open])
def test_planted_future_feature_is_caught(leak: Leak) -> None:
    found = prefix_difference(SCHEMA, [walk(3)], np.random.default_rng(0), planted(leak))
    assert found > 1e-6
    assert not Integrity(found, 0.0, mean_by_day(np.array([0.0, 1.0]), np.array([0, 1]))).passed


def test_sign_flip_keeps_sizes_and_loses_direction() -> None:
    bars = walk(20, pull=0.02)
    flipped = flip_signs(bars, np.random.default_rng(0))
    size = np.abs(np.diff(np.log(bars.close)))
    np.testing.assert_allclose(np.abs(np.diff(np.log(flipped.close))), size, atol=1e-12)
    np.testing.assert_allclose(np.log(flipped.high / flipped.low), np.log(bars.high / bars.low), atol=1e-12)
    assert (flipped.low <= np.minimum(flipped.open, flipped.close)).all()
    assert (flipped.high >= np.maximum(flipped.open, flipped.close)).all()
    agree = np.sign(np.diff(flipped.close)) == np.sign(np.diff(bars.close))
    assert abs(agree.mean() - 0.5) < 0.02


class StandIn:
    """An ensemble as the placebo sees it: says up by the sign of one feature."""

    thresholds = FrozenThresholds(issue_margin=0.05, high_margin=0.1)
    schema = SCHEMA
    window_bars = 1
    history_bars = SCHEMA.history_bars

    def __init__(self, column: int, sign: float, margin: float = 0.2, contract: SignalContract = DIR60) -> None:
        self._column, self._sign, self._margin, self.contract = column, sign, margin, contract

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 + self._margin * self._sign * np.sign(features[..., self._column].reshape(-1))


PLACEBO_SPAN = Span(START_MS + 3 * DAY_MS, START_MS + 60 * DAY_MS)


def test_placebo_of_an_honest_model_falls_to_one_half() -> None:
    bars = walk(60, seed=3, pull=0.02)
    data = build_dataset(SCHEMA, [bars])
    reversal = StandIn(SCHEMA.names.index("return_60_volscaled"), -1.0)
    scored = Scored.of(data, reversal.predict(data.features.astype(np.float64)), reversal.thresholds)
    assert mean_by_day(scored.hit, scored.day).low > 0.55  # on the bars as they are it has skill
    found = placebo_precision(reversal, [bars], PLACEBO_SPAN)  # type: ignore[arg-type]
    assert found.low <= 0.5 <= found.high
    assert found.n > 40 * 288 / PLACEBO_EVERY * 5  # five flips, four of five decisions are issued


def test_placebo_catches_a_model_that_sees_the_next_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    def next_hour(bars: Bars) -> NDArray[np.float64]:
        return np.append(bars.close[60:] / bars.close[:-60] - 1.0, np.zeros(60))

    monkeypatch.setattr("training.data.dataset.compute_features", planted(next_hour))
    found = placebo_precision(StandIn(0, 1.0), [walk(60)], PLACEBO_SPAN)  # type: ignore[arg-type]
    assert found.low > 0.9
    assert not Integrity(0.0, 0.0, found).passed


def test_placebo_also_judges_probabilities_whose_move_covers_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.judge.integrity.PLACEBO_DAYS", 9)
    bars, contract = walk(12, seed=3), CONTRACTS["ret240@1"]
    quiet = StandIn(SCHEMA.names.index("return_60_volscaled"), -1.0, 0.02, contract)
    quiet.thresholds = FrozenThresholds(issue_margin=0.01, high_margin=0.015)
    span = Span(START_MS + 3 * DAY_MS, START_MS + 12 * DAY_MS)
    data = build_dataset(SCHEMA, [bars], contract=contract)
    assert not Scored.of(data, quiet.predict(data.features.astype(np.float64)), quiet.thresholds).issued.any()
    found = placebo_precision(quiet, [bars], span)  # type: ignore[arg-type]
    assert found.n > 300  # with none the figure is no number, and the gate stops a model that is sound
    assert Integrity(0.0, 0.0, found).passed


@pytest.fixture(scope="module")
def learnable() -> Dataset:
    return build_dataset(SCHEMA, [walk(60, seed=3, pull=0.02)])


def _test_auc(data: Dataset) -> tuple[float, int]:
    spans = split_chronologically(data.decided_at_ms)
    train, stopping, test = (
        data.select(spans[p].rows(data.decided_at_ms)) for p in (SplitName.TRAIN, SplitName.EARLY_STOPPING, SplitName.TEST)
    )
    (member,) = TreeFamily(TREES).fit(train, stopping, Making(seed=1)).members
    return area_under_curve(member.logits(test), test.label > 0), len(test)


def test_planted_pull_is_learnt(learnable: Dataset) -> None:
    auc, _ = _test_auc(learnable)
    assert auc > 0.6  # the detector below could find something


def test_shuffled_labels_teach_nothing(learnable: Dataset) -> None:
    rng = np.random.default_rng(0)
    shuffled = dataclasses.replace(learnable, label=rng.permutation(learnable.label))
    auc, count = _test_auc(shuffled)
    deviation = np.sqrt(1.0 / (3.0 * count))  # of the area under chance with balanced independent labels
    assert abs(auc - 0.5) < 3.5 * deviation


def test_random_split_with_overlapping_labels_inflates_what_walk_forward_does_not() -> None:
    data = build_dataset(SCHEMA, [walk(90, seed=9)])  # a random walk: nobody can know more than one half
    parameters = {"max_depth": 10, "eta": 0.3, "tree_method": "hist", "objective": "binary:logistic", "max_bin": 64, "nthread": 2}

    def precision(train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
        fitted = xgb.train(parameters, xgb.DMatrix(data.features[train], label=data.label[train]), 30)
        up = fitted.predict(xgb.DMatrix(data.features[test])) > 0.5
        return float((up == (data.label[test] > 0)).mean())

    rows, times = data.features, data.decided_at_ms
    random = [precision(*next(KFold(6, shuffle=True, random_state=0).split(rows)))]
    honest = [precision(train, test) for train, test in WalkForward().split(rows, groups=times)]
    assert random[0] > np.mean(honest) + 0.12
    assert abs(np.mean(honest) - 0.5) < 0.04


def test_placebo_of_a_short_period_is_flipped_until_there_are_days_enough() -> None:
    always_up = StandIn(SCHEMA.names.index("realised_vol_60"), 1.0)  # never negative: on one trending coin it looks skilled
    found = placebo_precision(always_up, [walk(10)], Span(START_MS + 4 * DAY_MS, START_MS + 10 * DAY_MS))  # type: ignore[arg-type]
    assert found.low <= 0.5 <= found.high
    assert found.n > 45 * 5.9 * 288 / PLACEBO_EVERY


@given(flip=st.integers(0, 60), day=st.integers(19_000, 22_000))
def test_placebo_scores_each_time_of_day_once_within_six_days(flip: int, day: int) -> None:
    times = (day * DAY_MS + np.arange(6 * 288) * 5 * MINUTE_MS).astype(np.int64)
    scored = scored_by_placebo(times, flip).reshape(6, 288)
    assert (scored.sum(axis=1) == 288 // PLACEBO_EVERY).all()
    assert (scored.sum(axis=0) == 1).all()
