"""What v50 adds: its reference, never filled and matched by time alone, and the formulas of its own features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.features import FeatureMatrix, FeatureSchemaError, compute_features, find_reference, get_schema, why_incomplete
from signalbox.market.candles import MINUTE_MS, Bars, Symbol
from tests.examples import examples
from tests.unit.features.synthetic_bars import BTC, flat, minutes, select, walk, without
from tests.unit.features.test_golden import waves

SCHEMA = get_schema("v50")
LIVE = SCHEMA.history_bars
ETH = Symbol("ETH-USD")
GOLDEN = Path(__file__).with_name("golden_v50.json")
CROSS = ("btc_return_5_volscaled", "btc_return_60_volscaled", "btc_beta_240", "btc_residual_60_volscaled")


@pytest.fixture(scope="module")
def eth() -> Bars:
    return walk(LIVE + 1_500, seed=3, price=2_500.0, symbol=ETH)


@pytest.fixture(scope="module")
def btc() -> Bars:
    return walk(LIVE + 1_500, seed=4)


@pytest.fixture(scope="module")
def matrix(eth: Bars, btc: Bars) -> FeatureMatrix:
    return compute_features(SCHEMA, eth, reference=btc)


def test_v50_still_gives_the_numbers_it_was_defined_with() -> None:
    bars = waves(LIVE + 777)
    other = waves(2 * (LIVE + 777))
    shifted = Bars(
        ETH, bars.open_time_ms, *(c[LIVE + 777 :] for c in (other.open, other.high, other.low, other.close, other.volume))
    )
    row = compute_features(SCHEMA, shifted, reference=bars).values[-1]
    golden = json.loads(GOLDEN.read_text())
    assert dict(zip(SCHEMA.names, row.tolist(), strict=True)) == {
        name: pytest.approx(value, rel=1e-8, abs=1e-12) for name, value in golden.items()
    }


def test_the_first_31_are_those_of_v31(eth: Bars, matrix: FeatureMatrix) -> None:
    own = compute_features(get_schema("v31"), eth)
    np.testing.assert_array_equal(matrix.values[LIVE - 1 :, :31], own.values[LIVE - 1 :])


def test_cross_asset_columns_equal_their_formula_in_plain_python(eth: Bars, btc: Bars, matrix: FeatureMatrix) -> None:
    i = LIVE + 700
    r, R = np.diff(np.log(eth.close))[i - 240 : i], np.diff(np.log(btc.close))[i - 240 : i]  # noqa: N806 - the formula's name
    beta = np.sum(r * R) / np.sum(R**2)
    moved, other = np.log(eth.close[i] / eth.close[i - 60]), np.log(btc.close[i] / btc.close[i - 60])
    row = dict(zip(SCHEMA.names, matrix.values[i], strict=True))
    assert row["btc_beta_240"] == pytest.approx(beta, rel=1e-9)
    assert row["btc_return_60_volscaled"] == pytest.approx(other / (np.sqrt(np.mean(R**2)) * np.sqrt(60)))
    assert row["btc_residual_60_volscaled"] == pytest.approx((moved - beta * other) / (np.sqrt(np.mean(r**2)) * np.sqrt(60)))


def test_the_other_new_columns_equal_their_formula_in_plain_python(eth: Bars, matrix: FeatureMatrix) -> None:
    i = LIVE + 321
    r = np.concatenate(([np.nan], np.diff(np.log(eth.close))))
    row = dict(zip(SCHEMA.names, matrix.values[i], strict=True))
    hour, day = slice(i - 59, i + 1), slice(i - 1439, i + 1)
    assert row["return_autocorrelation_60"] == pytest.approx(np.sum(r[hour] * r[i - 60 : i]) / np.sum(r[hour] ** 2))
    amihud = [np.sum(np.abs(r[w])) / np.sum(eth.close[w] * eth.volume[w]) for w in (hour, day)]
    assert row["amihud_share_60_1440"] == pytest.approx(amihud[0] / sum(amihud))
    x = np.log1p(eth.volume[hour])
    assert row["volume_zscore_60"] == pytest.approx((x[-1] - x.mean()) / x.std())
    four_hours = eth.close[i - 239 : i + 1]
    assert row["close_zscore_240"] == pytest.approx((four_hours[-1] - four_hours.mean()) / four_hours.std())
    low, high = eth.low[day].min(), eth.high[day].max()
    assert row["position_in_range_1440"] == pytest.approx((eth.close[i] - low) / (high - low))
    minute = (eth.open_time_ms[i] // MINUTE_MS + 1 - minutes(1)[0] // MINUTE_MS) % 10_080  # the bars begin on a Monday
    assert row["minute_of_week_sin"] == pytest.approx(np.sin(2 * np.pi * minute / 10_080), abs=1e-12)
    assert row["minute_of_week_cos"] == pytest.approx(np.cos(2 * np.pi * minute / 10_080), abs=1e-12)


def test_btc_beside_itself_has_beta_1_residual_0_and_its_own_returns(btc: Bars) -> None:
    matrix = compute_features(SCHEMA, btc)
    rows = matrix.is_complete
    assert rows.any()
    assert set(matrix.column("btc_beta_240")[rows]) == {1.0}
    assert set(matrix.column("btc_residual_60_volscaled")[rows]) == {0.0}
    np.testing.assert_array_equal(matrix.column("btc_return_60_volscaled")[rows], matrix.column("return_60_volscaled")[rows])
    np.testing.assert_array_equal(compute_features(SCHEMA, btc, reference=btc).values, matrix.values)


@pytest.mark.parametrize("price", [1e-8, 1e9])
@pytest.mark.parametrize("volume", [0.0, 7.5])
def test_constant_prices_have_defined_values(price: float, volume: float) -> None:
    still = flat(LIVE + 5, price, volume)
    matrix = compute_features(SCHEMA, Bars(ETH, *list(still_columns(still))), reference=still)
    assert why_incomplete(matrix) is None
    row = dict(zip(SCHEMA.names, matrix.values[-1].tolist(), strict=True))
    zeros: tuple[str, ...] = (
        *CROSS,
        "return_720_volscaled",
        "return_autocorrelation_60",
        "volume_zscore_60",
        "volume_zscore_1440",
    )
    zeros += ("close_zscore_240", "efficiency_ratio_240")
    assert {name: row[name] for name in zeros} == dict.fromkeys(zeros, 0.0)
    assert {row[n] for n in ("realised_vol_ratio_5_60", "parkinson_vol_ratio_15_240")} == {1.0}
    assert {row[n] for n in ("position_in_range_60", "position_in_range_1440", "amihud_share_60_1440")} == {0.5}


def still_columns(bars: Bars) -> tuple[Any, ...]:
    return (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)


def test_the_reference_is_matched_by_time_not_by_place(eth: Bars, btc: Bars, matrix: FeatureMatrix) -> None:
    late = compute_features(SCHEMA, eth.window(slice(100, None)), reference=btc)
    rows = late.is_complete
    assert rows.any()
    np.testing.assert_allclose(late.values[rows], matrix.values[100:][rows], rtol=1e-8, atol=1e-9)
    longer = walk(len(btc) + 50, seed=99)  # minutes that the symbol does not have are of no importance
    columns = [np.concatenate((getattr(btc, n), getattr(longer, n)[-50:])) for n in ("open", "high", "low", "close", "volume")]
    again = compute_features(SCHEMA, eth, reference=Bars(BTC, longer.open_time_ms, *columns))
    np.testing.assert_array_equal(again.values, matrix.values)


def test_one_lost_minute_of_the_reference_costs_an_hour_and_invents_nothing(eth: Bars, btc: Bars, matrix: FeatureMatrix) -> None:
    at = LIVE + 200
    lost = compute_features(SCHEMA, eth, reference=without(btc, at, at))
    changed = lost.is_complete != matrix.is_complete
    assert np.flatnonzero(changed).tolist() == list(range(at, at + 61))
    assert np.isnan(lost.column("btc_return_5_volscaled")[[at, at + 5]]).all()
    np.testing.assert_array_equal(lost.values[:, :46], matrix.values[:, :46])
    assert why_incomplete(compute_features(SCHEMA, eth.window(slice(0, at + 1)), reference=without(btc, at, at))) == (
        "REFERENCE_MISSING"
    )


def test_a_reference_that_was_away_is_missing_until_it_has_nine_tenths_of_four_hours(eth: Bars, btc: Bars) -> None:
    at = LIVE + 100
    lost = compute_features(SCHEMA, eth, reference=without(btc, at, at + 99))  # 101 returns
    assert lost.is_complete[at - 1]
    assert not lost.is_complete[at : at + 240 + 76].any()
    assert lost.is_complete[at + 240 + 76 :].all()


def test_a_reference_that_ends_half_way_flags_what_follows(eth: Bars, btc: Bars) -> None:
    matrix = compute_features(SCHEMA, eth, reference=btc.window(slice(0, LIVE + 50)))
    assert matrix.is_complete[LIVE - 1 : LIVE + 50].all()
    assert not matrix.is_complete[LIVE + 50 :].any()
    assert not np.isfinite(matrix.column("btc_return_5_volscaled")[LIVE + 55 :]).any()


def test_a_reference_that_begins_late_is_not_enough(eth: Bars, btc: Bars) -> None:
    matrix = compute_features(SCHEMA, eth, reference=btc.window(slice(LIVE, None)))
    assert not matrix.is_complete[: LIVE + 216].any()
    assert matrix.is_complete[LIVE + 216 :].all()


def test_no_bars_of_the_reference_at_all_are_flagged(eth: Bars, btc: Bars) -> None:
    assert why_incomplete(compute_features(SCHEMA, eth, reference=btc.last(0))) == "REFERENCE_MISSING"


def test_a_schema_with_a_reference_refuses_to_do_without_or_with_another(eth: Bars) -> None:
    with pytest.raises(FeatureSchemaError, match=r"ETH-USD: v50 expects bars of BTC-USD as its reference, got none"):
        compute_features(SCHEMA, eth)
    with pytest.raises(FeatureSchemaError, match=r"got ETH-USD"):
        compute_features(SCHEMA, eth, reference=eth)
    with pytest.raises(FeatureSchemaError, match=r"expected bars of the reference BTC-USD among ETH-USD"):
        find_reference(SCHEMA, [eth])
    assert find_reference(get_schema("v31"), [eth]) is None


def test_impossible_bars_of_the_reference_are_refused(eth: Bars, btc: Bars) -> None:
    broken = Bars(BTC, btc.open_time_ms, btc.open, btc.high, btc.low, np.where(btc.close > 0, np.nan, 0.0), btc.volume)
    with pytest.raises(FeatureSchemaError, match=r"BTC-USD.*finite prices"):
        compute_features(SCHEMA, eth, reference=broken)


def test_truncating_the_future_of_both_changes_nothing(eth: Bars, btc: Bars, matrix: FeatureMatrix) -> None:
    for stop in (LIVE - 1, LIVE, LIVE + 1, 2_880, 3_001, LIVE + 1_499):
        part = compute_features(SCHEMA, eth.window(slice(0, stop)), reference=btc.window(slice(0, stop)))
        np.testing.assert_array_equal(part.values, matrix.values[:stop])
        np.testing.assert_array_equal(part.is_complete, matrix.is_complete[:stop])


@settings(max_examples=examples(25))
@given(
    seed=st.integers(0, 2**31),
    step=st.sampled_from([1e-6, 4e-4, 5e-2]),
    missing=st.lists(st.integers(0, 2_900), max_size=40),
    lost=st.lists(st.integers(0, 2_900), max_size=40),
)
def test_live_window_equals_batch(seed: int, step: float, missing: list[int], lost: list[int]) -> None:
    count = LIVE + 900
    eth, btc = walk(count, seed, step=step, symbol=ETH), walk(count, seed + 1, step=step)
    keep, have = np.ones(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
    keep[missing], have[lost] = False, False
    bars, reference = select(eth, keep), select(btc, have)
    batch = compute_features(SCHEMA, bars, reference=reference)
    spread = np.nan_to_num(np.nanstd(batch.values[LIVE:], axis=0))
    for stop in (LIVE + 40, len(bars)):
        now = int(bars.open_time_ms[stop - 1])
        beside = reference.window(slice(0, int(np.searchsorted(reference.open_time_ms, now, side="right")))).last(LIVE)
        live = compute_features(SCHEMA, bars.window(slice(stop - LIVE, stop)), reference=beside)
        assert why_incomplete(live) == why_incomplete(compute_features(SCHEMA, bars.window(slice(0, stop)), reference=reference))
        wanted = batch.values[stop - 1]
        worst = np.maximum(1e-9 * np.maximum(np.abs(wanted), 1e-3 * spread), 1e-12)
        assert (np.abs(live.values[-1] - wanted) <= worst)[np.isfinite(wanted)].all()
        np.testing.assert_array_equal(np.isfinite(live.values[-1]), np.isfinite(wanted))
