"""Detectors that must find nothing in sound data, and must find what is planted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from signalbox.features import Feature, FeatureSchema, get_schema
from signalbox.features.workspace import Workspace
from tests.unit.training.synthetic import walk
from training.dataset import Dataset, build_dataset
from training.evaluation import area_under_curve
from training.integrity import flip_signs, prefix_difference
from training.splits import Period, split_chronologically
from training.trees import fit_members

SCHEMA = get_schema("v31")


def _next_return(workspace: Workspace) -> NDArray[np.float64]:
    close = workspace.bars.close
    return np.append(np.log(close[1:] / close[:-1]), 0.0)


def _whole_series_mean(workspace: Workspace) -> NDArray[np.float64]:
    return workspace.bars.close / workspace.bars.close.mean()


def _planted(compute: object) -> FeatureSchema:
    leak = Feature("leak", "a leak", (1,), "", 1, "close", compute)  # type: ignore[arg-type]
    return FeatureSchema("leaky", (*SCHEMA.features, leak))


def test_v31_is_prefix_invariant() -> None:
    assert prefix_difference(SCHEMA, walk(3), np.random.default_rng(0)) <= 1e-12


@pytest.mark.parametrize("leak", [_next_return, _whole_series_mean])
def test_planted_future_feature_is_caught(leak: object) -> None:
    assert prefix_difference(_planted(leak), walk(3), np.random.default_rng(0)) > 1e-6


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


@pytest.fixture(scope="module")
def learnable() -> Dataset:
    return build_dataset(SCHEMA, [walk(60, seed=3, pull=0.02)])


def _test_auc(data: Dataset) -> tuple[float, int]:
    spans = split_chronologically(data.decided_at_ms)
    train, stopping, test = (
        data.select(spans[p].rows(data.decided_at_ms)) for p in (Period.TRAIN, Period.EARLY_STOPPING, Period.TEST)
    )
    booster = fit_members(train, stopping, 1, lambda _: None)[0]
    return area_under_curve(booster.predict(xgb.DMatrix(test.features)).astype(np.float64), test.label > 0), len(test)


def test_planted_pull_is_learnt(learnable: Dataset) -> None:
    auc, _ = _test_auc(learnable)
    assert auc > 0.6  # the detector below could find something


def test_shuffled_labels_teach_nothing(learnable: Dataset) -> None:
    rng = np.random.default_rng(0)
    shuffled = dataclasses.replace(learnable, label=rng.permutation(learnable.label))
    auc, count = _test_auc(shuffled)
    deviation = np.sqrt(1.0 / (3.0 * count))  # of the area under chance with balanced independent labels
    assert abs(auc - 0.5) < 3.5 * deviation
