"""A schema that spares one missing minute: what it lets through, alike in batch, window and stream, and never more than that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.features import (
    SCHEMAS,
    SPARING,
    Bar,
    FeatureMatrix,
    FeatureStream,
    compute_features,
    get_schema,
    have_enough_minutes,
    why_incomplete,
    with_hash,
)
from signalbox.market.candles import MINUTE_MS
from tests.examples import examples
from tests.unit.features.synthetic_bars import select, walk, without

STRICT, SPARED = get_schema("v31"), SPARING["v31"]
LIVE = STRICT.history_bars
AHEAD = 260  # minutes after the warm-up
WALK = walk(LIVE + AHEAD)


def until(matrix: FeatureMatrix, stop: int) -> FeatureMatrix:
    cut = slice(0, stop)
    kept = (matrix.open_time_ms[cut], matrix.values[cut], matrix.is_complete[cut], matrix.has_reference[cut])
    return FeatureMatrix(matrix.symbol, matrix.schema, *kept)


def may_decide(times: NDArray[np.int64], at: int, rows: int) -> bool:
    """The rule in plain words: of the minutes from the oldest bar that is needed on, one may be missing, and no new one."""
    minutes = (times // MINUTE_MS).tolist()
    oldest, newest = minutes[at - (rows + 59 - 1)], minutes[at]
    there = set(minutes)
    missing = [minute for minute in range(oldest, newest + 1) if minute not in there]
    return not missing or (len(missing) == 1 and newest - missing[0] > 15)


def test_the_narrow_windows_alone_need_the_newest_minutes() -> None:
    needed = {feature.name: feature.whole_bars for feature in SPARED.features if feature.whole_bars > 2}
    assert needed == {
        "return_5_volscaled": 6,
        "return_15_volscaled": 16,
        "realised_vol_ratio_15_240": 16,
        "rsi_14": 15,
        "macd_12_26_9": 10,
        "macd_hist_12_26_9": 10,
        "atr_14_pct": 15,
        "adx_14": 15,
    }
    assert (SPARED.whole_bars, STRICT.whole_bars) == (16, 60)


def test_the_form_that_spares_computes_the_same_numbers_under_another_hash() -> None:
    bars = without(WALK, LIVE + 40, LIVE + 40)
    strict, spared = compute_features(STRICT, bars), compute_features(SPARED, bars)
    assert np.array_equal(strict.values, spared.values, equal_nan=True)
    assert not (strict.is_complete & ~spared.is_complete).any()
    assert len({STRICT.hash, SPARED.hash, replace(SPARED, most_missing_bars=2).hash}) == 3
    assert with_hash(STRICT, STRICT.hash) is STRICT
    assert with_hash(STRICT, SPARED.hash) is SPARED
    assert with_hash(STRICT, "0" * 64) is None
    assert with_hash(SCHEMAS["v50"], SPARED.hash) is None


def test_no_other_schema_spares_a_minute_because_no_model_of_it_was_measured() -> None:
    assert set(SPARING) == {"v31"}
    assert {schema.most_missing_bars for schema in SCHEMAS.values()} == {0}


@pytest.mark.parametrize("rows", [1, 20, 60])
def test_one_missing_minute_refuses_fifteen_minutes_and_two_all_of_them(rows: int) -> None:
    lost = LIVE + 70
    one = compute_features(SPARED, without(WALK, lost, lost))
    refused = [stop for stop in range(lost, lost + 130) if why_incomplete(until(one, stop), rows) is not None]
    assert refused == list(range(lost + 1, lost + 16))  # a stop is the number of bars; the newest is one minute older
    assert {why_incomplete(until(one, stop), rows) for stop in refused} == {"GAP_IN_WINDOW"}
    two = compute_features(SPARED, without(WALK, lost, lost + 1))
    refused = [stop for stop in range(lost, lost + 130) if why_incomplete(until(two, stop), rows) is not None]
    assert refused == list(range(lost + 1, lost + rows + 59))


MISSING = st.sets(st.integers(LIVE, LIVE + AHEAD - 1), max_size=4)


@settings(max_examples=examples(25))
@given(missing=MISSING, rows=st.integers(1, 60), stops=st.lists(st.integers(LIVE + 60, LIVE + AHEAD - 5), max_size=6))
def test_window_and_data_set_refuse_as_the_rule_in_plain_words(missing: set[int], rows: int, stops: list[int]) -> None:
    keep = np.ones(len(WALK), dtype=np.bool_)
    keep[list(missing)] = False
    matrix = compute_features(SPARED, select(WALK, keep))
    times = matrix.open_time_ms
    for stop in stops:
        wanted = may_decide(times, stop - 1, rows)
        assert (why_incomplete(until(matrix, stop), rows) is None) == wanted
        enough = bool(have_enough_minutes(SPARED, times, np.array([stop - 1]), rows)[0])
        assert (enough and bool(matrix.is_complete[stop - rows : stop].all())) == wanted


@settings(max_examples=examples(4))
@given(missing=MISSING, saved=st.integers(LIVE, LIVE + AHEAD - 5))
def test_the_stream_refuses_as_the_window_does(missing: set[int], saved: int) -> None:
    keep = np.ones(len(WALK), dtype=np.bool_)
    keep[list(missing)] = False
    bars = select(WALK, keep)
    matrix = compute_features(SPARED, bars)
    stream = FeatureStream(SPARED)
    for stop, bar in enumerate(Bar.each(bars), start=1):
        row = stream.update(bar)
        if stop >= LIVE:
            assert row.incomplete == why_incomplete(until(matrix, stop)), stop
            np.testing.assert_array_equal(row.values, matrix.values[stop - 1])
        if stop == saved:
            stream = FeatureStream.restore(SPARED, stream.state())
