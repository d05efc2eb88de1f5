"""Windows of past rows in a data set: gathered like a naive loop would, never over a gap, and blind to the future."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.features import SPARING, FeatureMatrix, FeatureSchema, compute_features, get_schema
from signalbox.market.candles import MINUTE_MS, Bars
from tests.examples import examples
from tests.unit.training.synthetic import walk, without
from training.data.dataset import HORIZON_MINUTES, Dataset, build_dataset, rows_in_a_run
from training.errors import TrainingError

SCHEMA = get_schema("v31")
FIVE_MS = 300_000
LONGEST = 90
WALKS = (walk(2.2), walk(2.1, seed=2, symbol="ETH-USD"))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return build_dataset(SCHEMA, [without(WALKS[0], 2_500, 2_500), WALKS[1]], window_bars=LONGEST)


def naive(data: Dataset, row: int, window_bars: int) -> NDArray[np.float32]:
    return np.array([data.tensor[data.bar[row] - back] for back in range(window_bars - 1, -1, -1)])


@settings(max_examples=examples(40))
@given(window_bars=st.integers(1, LONGEST), chosen=st.lists(st.integers(0, 10**6), min_size=0, max_size=9))
def test_windows_are_what_a_naive_loop_gathers(data: Dataset, window_bars: int, chosen: list[int]) -> None:
    rows = np.array([index % len(data) for index in chosen], dtype=np.int64)
    found = data.windows(rows, window_bars)
    assert (found.shape, found.dtype) == ((len(rows), window_bars, len(SCHEMA.names)), np.dtype(np.float32))
    assert found.flags.c_contiguous
    for window, row in zip(found, rows, strict=True):
        np.testing.assert_array_equal(window, naive(data, int(row), window_bars))
    np.testing.assert_array_equal(found[:, -1], data.features[rows])


def test_a_slice_a_mask_and_indices_choose_the_same_windows(data: Dataset) -> None:
    mask = np.zeros(len(data), np.bool_)
    mask[4:40:3] = True
    wanted = data.windows(np.flatnonzero(mask), 20)
    np.testing.assert_array_equal(data.windows(slice(4, 40, 3), 20), wanted)
    np.testing.assert_array_equal(data.windows(mask, 20), wanted)
    np.testing.assert_array_equal(data.select(mask).windows(slice(None), 20), wanted)


def test_selections_share_the_rows_of_the_bars(data: Dataset) -> None:
    part = data.select(np.arange(5)).select(np.array([True, False, True, False, True]))
    assert part.tensor is data.tensor
    assert part.window_bars == LONGEST
    assert data.tensor.flags.c_contiguous
    assert data.tensor.dtype == np.float32
    assert data.tensor.shape == (len(WALKS[0]) - 1 + len(WALKS[1]), len(SCHEMA.names))


@pytest.mark.parametrize("window_bars", [0, -1, LONGEST + 1])
def test_a_window_longer_than_the_decisions_were_chosen_for_is_refused(data: Dataset, window_bars: int) -> None:
    with pytest.raises(TrainingError, match=f"1 to {LONGEST} bars.*got {window_bars}"):
        data.windows(slice(0, 1), window_bars)


def test_the_rows_are_those_of_the_matrix(data: Dataset) -> None:
    matrix = compute_features(SCHEMA, WALKS[1])
    own = data.tensor[len(WALKS[0]) - 1 :]
    np.testing.assert_array_equal(own, matrix.values.astype(np.float32))  # NaN in the warm-up of each


@given(complete=st.lists(st.booleans(), max_size=40))
def test_a_run_ends_at_an_incomplete_row(complete: list[bool]) -> None:
    wanted: list[int] = []
    for whole in complete:
        wanted.append(0 if not whole else 1 + (wanted[-1] if wanted else 0))
    assert rows_in_a_run(np.array(complete, dtype=np.bool_)).tolist() == wanted


def may_be_decided(bars: Bars, matrix: FeatureMatrix, at: int, window_bars: int) -> bool:
    """The rule, one row after the other: the whole window complete and without a gap, and an outcome without one."""
    window = range(at - window_bars + 1, at + 1)
    exit_ = at + 1 + HORIZON_MINUTES
    if window[0] < 0 or exit_ >= len(bars):
        return False
    times = bars.open_time_ms
    whole = all(matrix.is_complete[i] for i in window) and times[at] - times[window[0]] == (window_bars - 1) * MINUTE_MS
    return bool(whole and times[exit_] - times[at] == (HORIZON_MINUTES + 1) * MINUTE_MS)


@settings(max_examples=examples(12))
@given(
    window_bars=st.integers(1, LONGEST),
    gaps=st.lists(st.tuples(st.integers(1_700, 3_000), st.integers(1, 80)), max_size=3),
)
def test_a_window_with_a_gap_is_never_a_decision_and_no_other_is_lost(window_bars: int, gaps: list[tuple[int, int]]) -> None:
    keep = np.ones(len(WALKS[0]), np.bool_)
    for first, length in gaps:
        keep[first : first + length] = False
    whole = WALKS[0]
    columns = (whole.open, whole.high, whole.low, whole.close, whole.volume)
    bars = Bars(whole.symbol, whole.open_time_ms[keep], *(column[keep] for column in columns))
    matrix = compute_features(SCHEMA, bars)
    boundaries = np.flatnonzero((bars.open_time_ms + MINUTE_MS) % FIVE_MS == 0)
    wanted = [int(at) for at in boundaries if may_be_decided(bars, matrix, int(at), window_bars)]
    data = build_dataset(SCHEMA, [bars], window_bars=window_bars)
    assert data.bar.tolist() == wanted
    assert np.isfinite(data.windows(slice(None), window_bars)).all()
    counts = data.counts[bars.symbol]
    left_out = counts.warm_up + counts.gap_in_features + counts.gap_in_window + counts.gap_in_label + counts.beyond_the_end
    assert counts.boundaries == len(boundaries) == counts.kept + left_out
    if window_bars == 1:
        assert counts.gap_in_window == 0


def test_a_longer_window_leaves_out_the_decisions_after_a_gap_and_counts_them() -> None:
    bars = without(WALKS[0], 2_500, 2_500)
    short, long = (build_dataset(SCHEMA, [bars], window_bars=size) for size in (1, 60))
    one, other = (data.counts[bars.symbol] for data in (short, long))
    assert (one.gap_in_features, other.gap_in_features) == (12, 12)  # the bars of minutes 2,504 to 2,559
    assert other.gap_in_window == 11  # 2,564 to 2,614, whose windows reach back to an incomplete row
    assert other.warm_up == one.warm_up + 11
    assert other.kept == one.kept - 22
    lost = np.setdiff1d(short.decided_at_ms, long.decided_at_ms)
    assert lost.shape[0] == 22
    same = np.isin(short.decided_at_ms, long.decided_at_ms)
    np.testing.assert_array_equal(short.features[same], long.features)
    np.testing.assert_array_equal(short.outcome[same], long.outcome)


@settings(max_examples=examples(8))
@given(window_bars=st.integers(1, LONGEST), cut=st.integers(2_300, 3_000))
def test_windows_do_not_change_when_the_future_is_cut_off(window_bars: int, cut: int) -> None:
    whole = build_dataset(SCHEMA, [WALKS[0]], window_bars=window_bars)
    known = build_dataset(SCHEMA, [WALKS[0].window(slice(0, cut))], window_bars=window_bars)
    count = len(known)
    assert 0 < count < len(whole)
    np.testing.assert_array_equal(known.decided_at_ms, whole.decided_at_ms[:count])
    np.testing.assert_array_equal(known.windows(slice(None), window_bars), whole.windows(slice(0, count), window_bars))


def test_a_window_knows_nothing_that_closed_after_its_decision(data: Dataset) -> None:
    opened = np.concatenate([without(WALKS[0], 2_500, 2_500).open_time_ms, WALKS[1].open_time_ms])
    np.testing.assert_array_equal(opened[data.bar] + MINUTE_MS, data.decided_at_ms)
    first = data.bar - (LONGEST - 1)
    np.testing.assert_array_equal(opened[data.bar] - opened[first], (LONGEST - 1) * MINUTE_MS)
    second = data.symbol == 1
    assert first[second].min() >= len(WALKS[0]) - 1 + SCHEMA.warmup_bars - 1  # never a row of another symbol


def test_a_row_that_is_not_finite_in_single_precision_is_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    def huge(schema: FeatureSchema, bars: Bars, *, reference: Bars | None = None) -> FeatureMatrix:
        matrix = compute_features(schema, bars, reference=reference)
        values = matrix.values.copy()
        values[2_399, 7] = 1e300  # the bar of a decision
        return dataclasses.replace(matrix, values=values)

    sound = build_dataset(SCHEMA, [WALKS[0]], window_bars=10)
    monkeypatch.setattr("training.data.dataset.compute_features", huge)
    found = build_dataset(SCHEMA, [WALKS[0]], window_bars=10)
    assert np.setdiff1d(sound.bar, found.bar).tolist() == [2_399, 2_404]
    assert (found.counts[WALKS[0].symbol].gap_in_features, found.counts[WALKS[0].symbol].gap_in_window) == (1, 1)


def test_schema_that_spares_a_minute_leaves_out_a_quarter_of_an_hour() -> None:
    bars = without(WALKS[0], 2_500, 2_500)
    lost = int(WALKS[0].open_time_ms[2_500])
    strict, spared = (build_dataset(schema, [bars], window_bars=60, unjudged=True) for schema in (SCHEMA, SPARING["v31"]))
    after = np.setdiff1d(spared.decided_at_ms, strict.decided_at_ms)
    assert np.setdiff1d(strict.decided_at_ms, spared.decided_at_ms).size == 0
    assert after.min() - lost > 16 * MINUTE_MS >= after.min() - lost - FIVE_MS
    assert np.diff(after).max() == FIVE_MS
    counts = spared.counts[bars.symbol]
    assert (counts.gap_in_features, counts.gap_in_window) == (3, 0)
    assert np.isfinite(spared.windows(slice(None), 60)).all()
    judged = build_dataset(SPARING["v31"], [bars], window_bars=60)
    entered = judged.decided_at_ms[judged.decided_at_ms <= lost]
    assert lost - entered.max() >= HORIZON_MINUTES * MINUTE_MS  # a label is still made across no gap
