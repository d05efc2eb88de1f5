from __future__ import annotations

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features.rolling import lagged, ratio, rolling_max, rolling_min, rolling_sum, wilder_average


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=80),
    window=st.integers(1, 30),
)
def test_rolling_sum_equals_the_sum_of_each_window(values: list[float], window: int) -> None:
    array = np.array(values, dtype=np.float64)
    got = rolling_sum(array, window)
    assert np.isnan(got[: window - 1]).all()
    for i in range(window - 1, len(values)):
        assert got[i] == pytest.approx(np.sum(array[i - window + 1 : i + 1]), rel=1e-12, abs=1e-8)


def test_rolling_sum_after_a_giant_value_is_exactly_zero() -> None:
    values = np.array([1e18] + [0.0] * 20)
    assert (rolling_sum(values, 5)[5:] == 0.0).all()


def test_lagged_shifts_and_leaves_nan() -> None:
    np.testing.assert_array_equal(lagged(np.array([1.0, 2.0, 3.0]), 1), [np.nan, 1.0, 2.0])
    assert np.isnan(lagged(np.array([1.0]), 5)).all()


def test_ratio_uses_the_fallback_only_where_the_divisor_is_too_small() -> None:
    got = ratio(np.array([1.0, 1.0, np.nan]), np.array([2.0, 0.0, 1.0]), 0.5)
    np.testing.assert_array_equal(got, [0.5, 0.5, np.nan])


def test_wilder_average_equals_the_rsi_smoothing_of_talib() -> None:
    rng = np.random.default_rng(3)
    close = 100 + np.cumsum(rng.normal(0, 1e-2, 3000))
    change = np.diff(close, prepend=np.nan)
    gain, loss = wilder_average(np.maximum(change, 0), 14), wilder_average(np.maximum(-change, 0), 14)
    np.testing.assert_allclose((100 * gain / (gain + loss))[600:], talib.RSI(close, 14)[600:], rtol=1e-10)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_short_series_give_nan(count: int) -> None:
    values = np.ones(count)
    for got in (rolling_sum(values, 5), rolling_max(values, 5), rolling_min(values, 5), wilder_average(values, 5)):
        assert got.shape == (count,)
        assert np.isnan(got).all()
