from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signalbox.features import FeatureMatrix, FeatureSchemaError, compute_features, get_schema, why_incomplete
from signalbox.features.stream import FeatureStream
from signalbox.market.candles import MINUTE_MS, Bars
from tests.examples import examples
from tests.unit.features.synthetic_bars import BTC, flat, minutes, select, walk, without

SCHEMA = get_schema("v31")
LIVE = SCHEMA.history_bars
SLACK = 1e-3  # of a feature's spread: near zero, a difference is judged against this instead of the value itself
ROUNDING = 1e-12  # shares of the price: what float64 leaves of a price after 240 additions, in a market that hardly moves


def newest(bars: Bars) -> NDArray[np.float64]:
    row: NDArray[np.float64] = compute_features(SCHEMA, bars).values[-1]
    return row


def assert_same_row(got: NDArray[np.float64], wanted: NDArray[np.float64], matrix: FeatureMatrix) -> None:
    spread = np.nan_to_num(np.nanstd(matrix.values, axis=0))
    worst = np.abs(got - wanted) - np.maximum(1e-9 * np.maximum(np.abs(wanted), SLACK * spread), ROUNDING)
    bad = [f"{name}: {a} != {b}" for name, a, b, w in zip(SCHEMA.names, got, wanted, worst, strict=True) if not w <= 0]
    assert not bad


@pytest.fixture(scope="module")
def bars() -> Bars:
    return walk(9_000, seed=5)


@pytest.fixture(scope="module")
def matrix(bars: Bars) -> FeatureMatrix:
    return compute_features(SCHEMA, bars)


def test_truncating_the_future_changes_nothing(bars: Bars, matrix: FeatureMatrix) -> None:
    for stop in (LIVE - 1, LIVE, 3_000, 3_001, 4_799, 8_999):
        part = compute_features(SCHEMA, bars.window(slice(0, stop)))
        np.testing.assert_allclose(part.values, matrix.values[:stop], rtol=1e-13, atol=1e-18)
        np.testing.assert_array_equal(part.is_complete, matrix.is_complete[:stop])


def test_changing_the_future_changes_nothing(bars: Bars, matrix: FeatureMatrix) -> None:
    stop = 5_003
    other = walk(9_000, seed=6)
    columns = [
        np.concatenate((getattr(bars, name)[:stop], getattr(other, name)[stop:]))
        for name in ("open", "high", "low", "close", "volume")
    ]
    changed = compute_features(SCHEMA, Bars(BTC, bars.open_time_ms, *columns))
    np.testing.assert_array_equal(changed.values[:stop], matrix.values[:stop])


@settings(max_examples=examples(25), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    step=st.sampled_from([1e-7, 1e-5, 4e-4, 5e-2]),
    price=st.sampled_from([1e-7, 1.0, 6e4]),
    calm=st.integers(0, 900),
    missing=st.lists(st.integers(0, 2_600), max_size=40),
)
def test_live_window_equals_batch(seed: int, step: float, price: float, calm: int, missing: list[int]) -> None:
    full = walk(3_000 + LIVE, seed, step=step, price=price)
    if calm:  # a stretch where nothing moves and nothing trades
        for column in (full.open, full.high, full.low, full.close):
            column[3_000 : 3_000 + calm] = full.close[2_999]
        full.volume[3_000 : 3_000 + calm] = 0.0
    keep = np.ones(len(full), dtype=np.bool_)
    keep[missing] = False
    gappy = select(full, keep)
    batch = compute_features(SCHEMA, gappy)
    for stop in (LIVE + 10, len(gappy) - 700, len(gappy)):
        assert_same_row(newest(gappy.window(slice(stop - LIVE, stop))), batch.values[stop - 1], batch)


def test_longer_live_window_gives_the_same_row(bars: Bars, matrix: FeatureMatrix) -> None:
    for extra in (1, 59, 1_440):
        assert_same_row(newest(bars.last(LIVE + extra)), matrix.values[-1], matrix)


def test_warm_up_is_never_a_number(matrix: FeatureMatrix) -> None:
    assert np.isnan(matrix.values[: LIVE - 1]).all()
    assert not matrix.is_complete[: LIVE - 1].any()
    assert matrix.is_complete[LIVE - 1 :].all()


@pytest.mark.parametrize("count", [0, 1, 2, 59, LIVE - 1])
def test_short_history_is_flagged(count: int) -> None:
    matrix = compute_features(SCHEMA, walk(count))
    assert matrix.values.shape == (count, 31)
    assert why_incomplete(matrix) == ("INSUFFICIENT_HISTORY" if count else "NO_BARS")


def test_gap_is_flagged_until_sixty_bars_follow_each_other() -> None:
    full = walk(LIVE + 300)
    gappy = without(full, LIVE + 100, LIVE + 102)
    matrix = compute_features(SCHEMA, gappy)
    assert matrix.is_complete[LIVE + 99]
    first_after = LIVE + 100
    assert not matrix.is_complete[first_after : first_after + 59].any()
    assert matrix.is_complete[first_after + 59 :].all()
    assert why_incomplete(compute_features(SCHEMA, gappy.window(slice(0, first_after + 59)))) == "GAP_IN_WINDOW"
    assert why_incomplete(matrix) is None


def test_gap_fraction_counts_the_missing_minutes_of_the_day() -> None:
    matrix = compute_features(SCHEMA, without(walk(LIVE + 300), LIVE, LIVE + 79))
    assert matrix.gap_fraction[-1] == pytest.approx(80 / 1520)


def test_two_hours_of_gap_make_no_bar(bars: Bars) -> None:
    gappy = without(bars, 4_000, 4_119)
    matrix = compute_features(SCHEMA, gappy)
    assert len(matrix) == len(bars) - 120
    np.testing.assert_array_equal(matrix.open_time_ms, gappy.open_time_ms)


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e9])
@pytest.mark.parametrize("volume", [0.0, 7.5])
def test_constant_prices_have_defined_values(price: float, volume: float) -> None:
    matrix = compute_features(SCHEMA, flat(LIVE + 5, price, volume))
    assert why_incomplete(matrix) is None
    row = dict(zip(SCHEMA.names, matrix.values[-1], strict=True))
    assert {row[n] for n in ("rsi_14", "rsi_60", "rsi_cutler_240")} == {50.0}
    assert {row[n] for n in ("bollinger_percent_b_20_2", "position_in_range_240")} == {0.5}
    zeros: tuple[str, ...] = (
        "return_1_volscaled",
        "return_1440_volscaled",
        "realised_vol_60",
        "parkinson_vol_60",
        "garman_klass_vol_60",
    )
    zeros += ("bollinger_width_20_2", "atr_14_pct", "adx_14", "efficiency_ratio_60", "volume_zscore_240", "signed_volume_60")
    assert {name: row[name] for name in zeros} == dict.fromkeys(zeros, 0.0)
    assert row["macd_12_26_9"] == pytest.approx(0.0, abs=1e-15)
    assert row["vwap_distance_240"] == pytest.approx(0.0, abs=1e-12)
    assert row["realised_vol_ratio_15_240"] == 1.0


@settings(max_examples=examples(25), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    weather=st.sampled_from(["still", "jumps", "no volume", "one price moves", "tiny", "giant"]),
)
def test_nasty_bars_give_finite_bounded_values(seed: int, weather: str) -> None:
    full = walk(LIVE + 40, seed, price={"tiny": 1e-9, "giant": 1e12}.get(weather, 100.0))
    rng = np.random.default_rng(seed)
    prices = (full.open, full.high, full.low, full.close)
    match weather:
        case "still":
            for column in prices:
                column[rng.random(len(full)) < 0.999] = 100.0
            full.low[:] = np.minimum.reduce(prices)
            full.high[:] = np.maximum.reduce(prices)
        case "jumps":
            factor = np.where(rng.random(len(full)) < 0.01, 1e3, 1.0)
            for column in prices:
                np.multiply(column, factor, out=column)
        case "no volume":
            full.volume[rng.random(len(full)) < 0.99] = 0.0
        case "one price moves":
            for column in prices:
                column[:] = 100.0
            full.high[-1] = 101.0
        case _:
            pass
    matrix = compute_features(SCHEMA, full)
    assert why_incomplete(matrix) is None
    rows = matrix.values[matrix.is_complete]
    assert np.isfinite(rows).all()
    for name, low, high in (("rsi_14", 0, 100), ("rsi_cutler_240", 0, 100), ("adx_14", 0, 100), ("position_in_range_240", 0, 1)):
        column = matrix.column(name)[matrix.is_complete]
        assert low - 1e-9 <= column.min() <= column.max() <= high + 1e-9


def test_prices_that_overflow_are_flagged_not_invented() -> None:
    full = walk(LIVE + 10)
    full.high[-1] = 1e308
    full.low[-1] = 1e-308
    assert why_incomplete(compute_features(SCHEMA, full)) == "FEATURES_NOT_FINITE"


@pytest.mark.parametrize("rows", [1, 2, 20, 60, 240])
def test_several_rows_may_be_decided_on_when_each_may_and_no_minute_is_between_them(rows: int) -> None:
    full = walk(LIVE + 700)
    keep = np.ones(len(full), dtype=np.bool_)
    keep[LIVE + 300] = False
    matrix = compute_features(SCHEMA, select(full, keep))
    whole = np.flatnonzero(matrix.is_complete)

    def until(stop: int) -> FeatureMatrix:
        cut = slice(0, stop)
        kept = (matrix.open_time_ms[cut], matrix.values[cut], matrix.is_complete[cut], matrix.has_reference[cut])
        return FeatureMatrix(matrix.symbol, SCHEMA, *kept)

    assert why_incomplete(until(SCHEMA.warmup_bars + rows - 2), rows) == "INSUFFICIENT_HISTORY"
    assert why_incomplete(until(SCHEMA.warmup_bars + rows - 1), rows) is None
    assert why_incomplete(until(LIVE + 300), rows) is None  # the newest bar is the one before the gap
    first = LIVE + 300 + 60  # bars, when the newest row is complete again
    assert (why_incomplete(until(first), 1), why_incomplete(until(first - 1), 1)) == (None, "GAP_IN_WINDOW")
    assert why_incomplete(until(first + rows - 1), rows) is None
    if rows > 1:
        assert why_incomplete(until(first + rows - 2), rows) == "GAP_IN_WINDOW"
    assert whole.shape[0] == len(matrix) - SCHEMA.warmup_bars + 1 - 59


def test_complete_rows_with_a_minute_between_them_are_no_window() -> None:
    """Of a schema that asks for no whole hour, every row may be complete beside a gap."""
    matrix = compute_features(SCHEMA, walk(LIVE + 30))
    times = matrix.open_time_ms.copy()
    times[-5:] += 60_000
    alone = replace(SCHEMA, contiguous_bars=1)
    gappy = FeatureMatrix(matrix.symbol, alone, times, matrix.values, matrix.is_complete, matrix.has_reference)
    assert [why_incomplete(gappy, rows) for rows in (1, 5, 6, 20)] == [None, None, "GAP_IN_WINDOW", "GAP_IN_WINDOW"]


@pytest.mark.parametrize(
    ("column", "value"), [("close", np.nan), ("open", 0.0), ("low", -1.0), ("high", np.inf), ("volume", -1.0), ("volume", np.nan)]
)
def test_impossible_bars_are_refused_with_symbol_and_time(column: str, value: float) -> None:
    full = walk(200)
    getattr(full, column)[3] = value
    with pytest.raises(FeatureSchemaError, match=r"BTC-USD.*2024-01-01T00:03"):
        compute_features(SCHEMA, full)


def test_times_off_the_minute_are_refused() -> None:
    full = flat(10)
    shifted = Bars(BTC, minutes(10) + 1, full.open, full.high, full.low, full.close, full.volume)
    with pytest.raises(FeatureSchemaError, match="whole minutes"):
        compute_features(SCHEMA, shifted)


def test_indicators_equal_talib_after_warm_up(bars: Bars, matrix: FeatureMatrix) -> None:
    macd, _, histogram = talib.MACD(bars.close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(bars.close, 20, 2, 2)
    expected = {
        "rsi_14": talib.RSI(bars.close, 14),
        "rsi_60": talib.RSI(bars.close, 60),
        "adx_14": talib.ADX(bars.high, bars.low, bars.close, 14),
        "atr_14_pct": talib.ATR(bars.high, bars.low, bars.close, 14) / bars.close,
        "macd_12_26_9": macd / bars.close,
        "macd_hist_12_26_9": histogram / bars.close,
        "bollinger_percent_b_20_2": (bars.close - lower) / (upper - lower),
        "bollinger_width_20_2": (upper - lower) / middle,
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(matrix.column(name)[LIVE:], wanted[LIVE:], rtol=1e-6, atol=1e-9, err_msg=name)


def test_returns_and_ranges_equal_their_formula_in_plain_python(bars: Bars, matrix: FeatureMatrix) -> None:
    i = 4_321
    r = np.diff(np.log(bars.close))
    assert matrix.column("return_60_volscaled")[i] == pytest.approx(
        np.log(bars.close[i] / bars.close[i - 60]) / (np.sqrt(np.mean(r[i - 240 : i] ** 2)) * np.sqrt(60))
    )
    assert matrix.column("realised_vol_60")[i] == pytest.approx(np.sqrt(np.mean(r[i - 60 : i] ** 2)))
    window = slice(i - 239, i + 1)
    typical = (bars.high + bars.low + bars.close)[window] / 3
    vwap = np.sum(typical * bars.volume[window]) / np.sum(bars.volume[window])
    assert matrix.column("vwap_distance_240")[i] == pytest.approx(np.log(bars.close[i] / vwap))
    x = np.log1p(bars.volume[window])
    assert matrix.column("volume_zscore_240")[i] == pytest.approx((x[-1] - x.mean()) / x.std())
    assert matrix.column("efficiency_ratio_60")[i] == pytest.approx(abs(r[i - 60 : i].sum()) / np.abs(r[i - 60 : i]).sum())


def test_time_features_belong_to_the_close_of_the_bar(matrix: FeatureMatrix) -> None:
    six_on_wednesday = np.flatnonzero(matrix.open_time_ms == minutes(1)[0] + MINUTE_MS * (1440 + 1440 + 6 * 60 - 1))[0]
    row = dict(zip(SCHEMA.names, matrix.values[six_on_wednesday], strict=True))
    assert row["minute_of_day_sin"] == pytest.approx(1.0)
    assert row["minute_of_day_cos"] == pytest.approx(0.0, abs=1e-12)
    assert row["day_of_week_sin"] == pytest.approx(np.sin(2 * np.pi * 2 / 7))


def test_unknown_column_is_refused(matrix: FeatureMatrix) -> None:
    with pytest.raises(FeatureSchemaError, match="'rsi_15'"):
        matrix.column("rsi_15")


def test_a_schema_may_limit_the_empty_minutes_of_its_window_and_says_so_in_its_hash() -> None:
    limited = replace(SCHEMA, most_empty_bars=2)
    assert limited.hash != SCHEMA.hash
    bars = walk(SCHEMA.history_bars + 200, seed=5)
    volume = bars.volume.copy()
    first = SCHEMA.history_bars + 20
    volume[[first, first + 7, first + 30]] = 0.0
    thin = replace(bars, volume=volume)
    whole, found = compute_features(SCHEMA, thin), compute_features(limited, thin)
    assert np.array_equal(whole.values, found.values, equal_nan=True)
    refused = np.flatnonzero(whole.is_complete & ~found.is_complete)
    # from the third one on, until the first one is an hour ago
    assert refused.tolist() == list(range(first + 30, first + 60))
    until = compute_features(limited, thin.window(slice(0, first + 31)))
    assert why_incomplete(until) == "TOO_MANY_EMPTY"
    assert why_incomplete(compute_features(SCHEMA, thin.window(slice(0, first + 31)))) is None
    stream = FeatureStream(limited)
    row = stream.replay(thin.window(slice(0, first + 31)))
    assert row is not None
    assert row.incomplete == "TOO_MANY_EMPTY"
