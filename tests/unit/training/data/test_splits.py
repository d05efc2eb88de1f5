"""Periods, folds and weights: no label window of one period touches another, no timestamp is in two."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from signalbox.market.candles import MINUTE_MS, MarketDataError
from tests.examples import examples
from tests.unit.training.synthetic import DAY, START_MS
from training.data.dataset import DECISION_MINUTES, HORIZON_MINUTES, PURGE_MS
from training.data.splits import DAY_MS, EMBARGO_MS, Span, SplitName, split_chronologically
from training.data.walk_forward import FreshTail, WalkForward
from training.errors import TrainingError
from training.fit.uniqueness import average_uniqueness

FIVE = DECISION_MINUTES * MINUTE_MS


def decisions(days: int, offset: int = 0) -> NDArray[np.int64]:
    return START_MS + offset * MINUTE_MS + FIVE * np.arange(days * 288, dtype=np.int64)


def assert_apart(spans: Mapping[SplitName, Span], decided: NDArray[np.int64]) -> None:
    assert list(spans) == list(SplitName)
    rows = {period: decided[span.rows(decided)] for period, span in spans.items()}
    assert all(len(own) for own in rows.values())
    for before, after in pairwise(SplitName):
        assert spans[after].start_ms - spans[before].end_ms >= EMBARGO_MS
        assert rows[before].max() + PURGE_MS <= spans[before].end_ms  # its newest label is known inside its own period
    for one, other in combinations(SplitName, 2):
        # the label window is [decided, decided + purge]: none meets another, so no timestamp is in both
        assert rows[one].max() + PURGE_MS < rows[other].min() or rows[other].max() + PURGE_MS < rows[one].min()


@settings(max_examples=examples(40))
@given(days=st.integers(46, 600), offset=st.integers(0, DAY - 1))
def test_periods_share_no_minute_and_keep_their_embargo(days: int, offset: int) -> None:
    decided = decisions(days, offset)
    spans = split_chronologically(decided)
    assert_apart(spans, decided)
    assert all(span.start_ms % DAY_MS == 0 for span in spans.values())


@settings(max_examples=examples(15))
@given(days=st.integers(75, 500), offset=st.integers(0, DAY - 1), folds=st.integers(6, 9))
def test_folds_share_no_minute_inside_and_test_every_stretch_once(days: int, offset: int, folds: int) -> None:
    decided = decisions(days, offset)
    found = WalkForward(folds).spans(decided)
    assert len(found) == folds
    for spans in found:
        assert_apart(spans, decided)
    tests = [spans[SplitName.TEST] for spans in found]
    assert all(before.end_ms == after.start_ms for before, after in pairwise(tests))
    assert len({test.days for test in tests}) == 1
    trained = [spans[SplitName.TRAIN].days for spans in found]
    assert trained == sorted(trained)
    assert trained[0] >= 10


@settings(max_examples=examples(15))
@given(
    days=st.integers(150, 500),
    offset=st.integers(0, DAY - 1),
    folds=st.integers(6, 9),
    tail=st.builds(FreshTail, st.integers(36, 45), st.integers(7, 15)),
)
def test_fresh_folds_end_as_long_before_their_test_as_the_bundle_before_its_use(
    days: int, offset: int, folds: int, tail: FreshTail
) -> None:
    decided = decisions(days, offset)
    deployed = tail.newest(decided)
    found = WalkForward(folds, tail).spans(decided)
    tests = [spans.pop(SplitName.TEST) for spans in found]
    assert all(before.end_ms == after.start_ms for before, after in pairwise(tests))
    for spans in (*found, deployed):
        assert spans.pop(SplitName.EARLY_STOPPING) == spans[SplitName.CALIBRATION]
        train, calibration, thresholds = (spans[p] for p in (SplitName.TRAIN, SplitName.CALIBRATION, SplitName.THRESHOLDS))
        assert calibration.start_ms - train.end_ms == thresholds.start_ms - calibration.end_ms == EMBARGO_MS
        assert (calibration.days, thresholds.days) == (tail.calibration_days, tail.thresholds_days)
        assert train.days >= 10
    for spans, test in zip(found, tests, strict=True):
        assert test.start_ms - spans[SplitName.THRESHOLDS].end_ms == EMBARGO_MS
    assert deployed[SplitName.THRESHOLDS].end_ms == tests[-1].end_ms  # nothing is left over


def test_data_too_short_is_refused_with_the_days_needed() -> None:
    with pytest.raises(MarketDataError, match="at least 45 whole days"):
        split_chronologically(decisions(5))
    with pytest.raises(MarketDataError, match=r"at least \d+ whole days"):
        WalkForward().spans(decisions(30))
    with pytest.raises(MarketDataError, match="at least 127 whole days"):
        WalkForward(6, FreshTail(36, 14)).spans(decisions(100))


def test_fewer_than_six_folds_are_refused() -> None:
    with pytest.raises(TrainingError, match="at least 6 folds, got 5"):
        WalkForward(5)


def test_folds_serve_scikit_learn_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    decided = rng.permutation(decisions(80))
    rows = rng.normal(size=(len(decided), 2))
    label = (rows[:, 0] + rng.normal(size=len(decided)) > 0).astype(int)
    scores = cross_val_score(LogisticRegression(), rows, label, groups=decided, cv=WalkForward(), scoring="accuracy")
    assert scores.shape == (6,)
    assert scores.min() > 0.65
    for train, test in WalkForward().split(rows, label, decided):
        assert decided[train].max() + PURGE_MS < decided[test].min()


def test_splitting_without_times_is_refused() -> None:
    with pytest.raises(TrainingError, match="groups=decided_at_ms"):
        next(WalkForward().split(np.zeros((3, 1))))


def naive_uniqueness(decided: NDArray[np.int64]) -> list[float]:
    windows = [set(range(int(t) // MINUTE_MS, int(t) // MINUTE_MS + HORIZON_MINUTES)) for t in decided]
    return [sum(1.0 / sum(minute in other for other in windows) for minute in own) / HORIZON_MINUTES for own in windows]


@settings(max_examples=examples(25))
@given(st.lists(st.integers(0, 60), min_size=1, max_size=25, unique=True))
def test_uniqueness_equals_its_naive_twin(boundaries: list[int]) -> None:
    decided = START_MS + FIVE * np.array(boundaries, dtype=np.int64)
    np.testing.assert_allclose(average_uniqueness(decided), naive_uniqueness(decided), rtol=1e-9)


def test_lonely_label_weighs_twelve_crowded_ones() -> None:
    crowd, lonely = decisions(1), decisions(1)[-1:] + DAY_MS
    found = average_uniqueness(np.concatenate((crowd, lonely)))
    assert found[-1] == pytest.approx(1.0)
    assert found[100] == pytest.approx(1.0 / 12.0)
