"""Each kind of series: blocks equal steps bit for bit, and both equal what the words say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.features.moments import WindowDeviation, WindowMean
from signalbox.features.nodes import CLOSE, HIGH, OPERATIONS, Apply, Node, Ratio, Scratch, Wave
from signalbox.features.program import compile_program
from signalbox.features.windows import WINDOW_UNIT, Ema, Lag, RollingMax, RollingMin, RollingSum, StatefulUpdate
from tests.examples import examples

Values = NDArray[np.float64]
WINDOWED: dict[str, Callable[[int], Node]] = {
    "lag": lambda w: Lag(CLOSE, w),
    "sum": lambda w: RollingSum(CLOSE, w),
    "max": lambda w: RollingMax(CLOSE, w),
    "min": lambda w: RollingMin(CLOSE, w),
    "ema": lambda w: Ema(CLOSE, w),
    "mean": lambda w: WindowMean(CLOSE, w),
    "deviation": lambda w: WindowDeviation(CLOSE, w),
}
NAIVE: dict[str, Callable[[Values], float]] = {
    "sum": math.fsum,
    "max": lambda window: window.max(),
    "min": lambda window: window.min(),
    "mean": lambda window: math.fsum(window) / len(window) - window[-1],
    "deviation": lambda window: math.sqrt(math.fsum((window - math.fsum(window) / len(window)) ** 2) / len(window)),
}


def in_blocks(node: Node, values: Values, size: int = WINDOW_UNIT) -> Values:
    block, out, scratch = node.block(), np.empty(values.shape[0]), Scratch()
    with np.errstate(all="ignore"):
        for start in range(0, values.shape[0], size):
            block([values[start : start + size]], out[start : start + size], scratch)
    return out


def in_steps(node: Node, values: Values) -> Values:
    step = node.step()
    return np.array([step(value) for value in values.tolist()])


def prices(count: int, seed: int = 0) -> Values:
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 1e-3, count)))


@pytest.mark.parametrize("window", [2, 5, 20, 240, 1440])
@pytest.mark.parametrize("kind", WINDOWED)
def test_blocks_equal_steps_bit_for_bit(kind: str, window: int) -> None:
    values = prices(4 * WINDOW_UNIT + 777)
    node = WINDOWED[kind](window)
    whole = in_blocks(node, values)
    np.testing.assert_array_equal(whole, in_steps(node, values))
    np.testing.assert_array_equal(whole, in_blocks(node, values, 3 * WINDOW_UNIT))


@pytest.mark.parametrize("kind", sorted(WINDOWED.keys() - {"max", "min"}))  # extremes are of prices, which are never NaN
def test_missing_values_in_front_only_delay_the_start(kind: str) -> None:
    values = prices(2_000)
    values[:1] = np.nan
    node = WINDOWED[kind](20)
    got = in_blocks(node, values)
    np.testing.assert_array_equal(got, in_steps(node, values))
    assert np.isfinite(got[40:]).all()


@settings(max_examples=examples(40))
@given(
    kind=st.sampled_from(sorted(NAIVE)),
    window=st.sampled_from([1, 2, 3, 5, 15]),
    values=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60),
)
def test_a_window_is_what_its_name_says(kind: str, window: int, values: list[float]) -> None:
    array = np.array(values)
    got = in_steps(WINDOWED[kind](window), array)
    assert np.isnan(got[: window - 1]).all()
    for i in range(window - 1, len(values)):
        newest = array[i - window + 1 : i + 1]
        assert got[i] == pytest.approx(NAIVE[kind](newest), rel=1e-12, abs=1e-7 * float(newest.max() - newest.min()) + 1e-9)


def test_a_sum_after_a_giant_value_is_exactly_zero() -> None:
    values = np.array([1e18] + [0.0] * 20)
    assert (in_steps(RollingSum(CLOSE, 5), values)[5:] == 0.0).all()
    assert (in_blocks(RollingSum(CLOSE, 5), values)[5:] == 0.0).all()


def test_a_sum_forgets_a_missing_value_when_it_leaves_the_window() -> None:
    values = prices(60)
    values[30] = np.nan
    for got in (in_steps(RollingSum(CLOSE, 5), values), in_blocks(RollingSum(CLOSE, 5), values)):
        assert np.isnan(got[30:35]).all()
        assert np.isfinite(got[35:]).all()


def test_a_deviation_in_a_market_that_hardly_moves_keeps_its_digits() -> None:
    small = np.random.default_rng(1).normal(0.0, 1e-9, 300)
    got = in_steps(WindowDeviation(CLOSE, 20), 40_000.0 + np.round(small * 2**40) * 2**-20)
    exact = np.round(small * 2**40) * 2**-20
    assert got[250] == pytest.approx(float(np.std(exact[231:251])), rel=1e-9)


@pytest.mark.parametrize("span", [2, 9, 26, 27, 119, 130])
def test_the_average_is_talibs_bit_for_bit_in_batch_in_blocks_and_in_its_stream(span: int) -> None:
    values = prices(3 * WINDOW_UNIT + 99, seed=span)
    batch = talib.EMA(values, timeperiod=span)
    np.testing.assert_array_equal(in_blocks(Ema(CLOSE, span), values), batch)
    np.testing.assert_array_equal(in_steps(Ema(CLOSE, span), values), batch)
    handle = talib.stream.EMA(values[:500], timeperiod=span)
    np.testing.assert_array_equal([handle.update(value) for value in values[500:].tolist()], batch[500:])


@settings(max_examples=examples(60))
@given(
    average=st.floats(1e-300, 1e300) | st.floats(1e-9, 1e9).map(lambda x: -x) | st.just(0.0),
    span=st.sampled_from([9, 27, 119, 130]),
)
def test_an_average_continues_from_any_number_exactly(average: float, span: int) -> None:
    step = Ema(CLOSE, span).step()
    assert isinstance(step, StatefulUpdate)
    numbers = np.zeros(step.size)
    numbers[:2] = 1.0, average
    step.load(numbers)
    assert step.save()[1] == average


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_average_never_recovers_from_a_value_that_is_not_finite(bad: float) -> None:
    values = prices(3 * WINDOW_UNIT)
    values[WINDOW_UNIT + 7] = bad
    node = Ema(CLOSE, 27)
    got = in_blocks(node, values)
    np.testing.assert_array_equal(got, in_steps(node, values))
    assert np.isnan(got[WINDOW_UNIT + 7 :]).all()


@settings(max_examples=examples(40))
@given(kind=st.sampled_from(sorted(WINDOWED)), cut=st.integers(0, 199), window=st.sampled_from([2, 15, 60]))
def test_a_saved_step_continues_bit_for_bit(kind: str, cut: int, window: int) -> None:
    values = prices(200).tolist()
    node = WINDOWED[kind](window)
    one, other = node.step(), node.step()
    assert isinstance(one, StatefulUpdate)
    assert isinstance(other, StatefulUpdate)
    for value in values[:cut]:
        one(value)
    saved = one.save()
    assert saved.shape == (one.size,)
    other.load(saved)
    np.testing.assert_array_equal([other(value) for value in values[cut:]], [one(value) for value in values[cut:]])


@pytest.mark.parametrize("window", [7, 100, 1441])
def test_a_window_that_blocks_cannot_hold_is_refused(window: int) -> None:
    for kind in (RollingSum, WindowMean, WindowDeviation):
        with pytest.raises(ValueError, match="divides 1440"):
            kind(CLOSE, window)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_rounds_alike_in_blocks_and_in_steps(name: str) -> None:
    rng = np.random.default_rng(2)
    arity = 1 if name in {"negative", "absolute", "floor", "sqrt", "log", "log1p", "known", "or_zero"} else 2
    inputs = [np.exp(rng.normal(0.0, 5.0, 2_000)) for _ in range(arity)]
    if name not in {"sqrt", "log", "log1p", "divide"}:
        inputs = [values * rng.choice([-1.0, 1.0], 2_000) for values in inputs]
    if name != "floor":
        inputs[0][::97] = np.nan
    out = np.empty(2_000)
    node = Apply(name, (CLOSE, HIGH)[:arity])
    node.block()(inputs, out, Scratch())
    np.testing.assert_array_equal(out, [node.step()(*row) for row in zip(*(values.tolist() for values in inputs), strict=True)])


def test_a_ratio_uses_the_fallback_only_where_the_divisor_is_too_small() -> None:
    node = Ratio(CLOSE, HIGH, 0.5)
    rows = [(1.0, 2.0), (1.0, 0.0), (np.nan, 1.0), (1.0, np.nan), (np.nan, 0.0), (0.0, -1.0)]
    out = np.empty(len(rows))
    with np.errstate(all="ignore"):
        numerator, denominator = (np.array(column) for column in zip(*rows, strict=True))
        node.block()([numerator, denominator, 0.5, 0.0], out, Scratch())
    np.testing.assert_array_equal(out, [0.5, 0.5, np.nan, np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(out, [node.step()(a, b, 0.5, 0.0) for a, b in rows])


def test_a_series_that_two_features_share_is_computed_once() -> None:
    total = RollingSum(CLOSE, 60)
    program = compile_program([total + 1.0, RollingSum(CLOSE, 60) * 2.0, total])
    assert [instruction.node for instruction in program.instructions] == [total, total + 1.0, total * 2.0]


def test_a_kind_of_series_without_both_ways_cannot_be_built() -> None:
    class OnlyBatch(Lag):
        step = Node.step  # as if it had never been written

    OnlyBatch.__abstractmethods__ = frozenset({"step"})
    with pytest.raises(TypeError, match="step"):
        OnlyBatch(CLOSE, 1)


@pytest.mark.parametrize(("period", "unit"), [(1440, 1), (10_080, 1), (10_080, 1440)])
def test_a_wave_has_its_period(period: int, unit: int) -> None:
    step = Wave("sin", period, unit).step()
    got = [step(float(place)) for place in range(period // unit)]
    assert got[0] == 0.0
    assert sum(got) == pytest.approx(0.0, abs=1e-9)
    assert len(set(np.round(got, 12))) > 1
