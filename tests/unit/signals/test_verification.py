"""Stored features against those derived again: equal when nothing changed, and every change is found where it is."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features import SCHEMAS, compute_features
from signalbox.market.candles import Bars, from_ms
from signalbox.market.revisions import BarRevision
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from signalbox.signals.verification import (
    MismatchCode,
    SignalVerification,
    bars_seen,
    history_of,
    relative_difference,
    symbols_of,
    verify_signals,
)
from tests.builders import ETH, minutes
from tests.unit.features.synthetic_bars import BTC, flat, walk, without

SCHEMA = SCHEMAS["v31"]
COUNT = SCHEMA.history_bars + 240


@cache
def market() -> Bars:
    return walk(COUNT, 5)


def decided(bars: Bars, place: int) -> Signal:
    """What the live cycle stores when bar `place` is the newest."""
    seen = bars.window(slice(0, place + 1)).last(SCHEMA.history_bars)
    row = compute_features(SCHEMA, seen).values[-1]
    return Signal(
        symbol=bars.symbol,
        decided_at=from_ms(int(seen.open_time_ms[-1])) + minutes(1),
        deployment="starter",
        stage=DeploymentStage.SHADOW,
        direction=Direction.HOLD,
        tier=Tier.LOW,
        probability_up=0.5,
        price=Decimal(repr(float(seen.close[-1]))),
        late=False,
        schema_name="v31",
        schema_hash=SCHEMA.hash,
        features=tuple(row.tolist()),
    )


def verify(signal: Signal, bars: Bars) -> SignalVerification:
    (found,) = verify_signals([signal], {bars.symbol: bars})
    return found


def codes(found: SignalVerification) -> list[MismatchCode]:
    return [m.code for m in found.mismatches]


places = st.integers(SCHEMA.history_bars - 1, COUNT - 1)


@given(places)
def test_what_the_live_cycle_stored_is_derived_again_bit_by_bit(place: int) -> None:
    """The lake holds more bars before and after; only those the decision saw count."""
    found = verify(decided(market(), place), market())
    assert found.agrees
    assert found.largest_difference == 0.0


@given(places, st.integers(0, len(SCHEMA.names) - 1), st.floats(1e-8, 10.0))
def test_one_changed_value_is_found_and_nothing_else(place: int, feature: int, by: float) -> None:
    signal = decided(market(), place)
    values = list(signal.features)
    values[feature] = values[feature] * (1 + by) if values[feature] else by
    found = verify(replace(signal, features=tuple(values)), market())
    assert [(m.code, m.feature) for m in found.mismatches] == [(MismatchCode.VALUE_DIFFERS, SCHEMA.names[feature])]
    assert found.largest_difference > 1e-9


@given(places, st.integers(0, 58))
def test_a_bar_missing_from_the_newest_hour_is_never_passed(place: int, back: int) -> None:
    bars = without(market(), place - back, place - back)
    found = verify(decided(market(), place), bars)
    assert not found.agrees
    assert codes(found)[0] in {MismatchCode.BARS_MISSING, MismatchCode.ROW_INCOMPLETE}


@given(places, st.integers(1, 1400))
def test_a_price_changed_in_the_lake_is_noticed(place: int, back: int) -> None:
    bars = market()
    close, high = bars.close.copy(), bars.high.copy()
    close[place - back] *= 1.05
    high[place - back] = max(high[place - back], close[place - back])
    changed = Bars(bars.symbol, bars.open_time_ms, bars.open, high, bars.low, close, bars.volume)
    found = verify(decided(market(), place), changed)
    assert set(codes(found)) == {MismatchCode.VALUE_DIFFERS}


def test_an_outage_that_the_decision_saw_too_is_no_mismatch_and_is_told() -> None:
    bars = without(market(), 500, 579)
    signal = decided(bars, len(bars) - 1)
    found = verify(signal, bars)
    assert found.agrees
    assert found.missing_minutes == (80 if len(bars) - SCHEMA.history_bars <= 500 else 0)


def test_another_price_is_told() -> None:
    signal = replace(decided(market(), COUNT - 1), price=Decimal("1"))
    assert codes(verify(signal, market())) == [MismatchCode.PRICE_DIFFERS]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema_name": "v99"}, MismatchCode.SCHEMA_UNKNOWN),
        ({"schema_hash": "0" * 64}, MismatchCode.HASH_DIFFERS),
        ({"features": (1.0, 2.0)}, MismatchCode.LENGTH_DIFFERS),
        ({"symbol": ETH}, MismatchCode.BARS_MISSING),
        ({"decided_at": from_ms(int(walk(COUNT).open_time_ms[-1])) + minutes(6)}, MismatchCode.BARS_MISSING),
        ({"decided_at": from_ms(int(walk(COUNT).open_time_ms[100])) + minutes(1)}, MismatchCode.BARS_MISSING),
    ],
)
def test_what_cannot_be_derived_is_a_mismatch(change: dict[str, Any], code: MismatchCode) -> None:
    found = verify(replace(decided(market(), COUNT - 1), **change), market())
    assert codes(found) == [code]
    assert found.largest_difference == math.inf


def test_a_signal_of_before_the_computation_was_hashed_is_derived_again_all_the_same() -> None:
    signal = replace(decided(market(), COUNT - 1), schema_hash=SCHEMA.former_hash)
    assert verify(signal, market()).agrees
    assert codes(verify(replace(signal, features=tuple(value + 1 for value in signal.features)), market()))


def test_a_still_market_is_verified_like_any_other() -> None:
    bars = flat(SCHEMA.history_bars)
    signal = decided(bars, SCHEMA.history_bars - 1)
    if all(map(math.isfinite, signal.features)):
        assert verify(signal, bars).agrees


def test_history_is_the_longest_of_the_schemas_and_unknown_ones_need_none() -> None:
    signal = decided(market(), COUNT - 1)
    assert history_of([signal]) == SCHEMA.history_bars
    assert history_of([replace(signal, schema_name="v99")]) == 0


@given(st.floats(), st.floats())
def test_difference_is_symmetric_and_zero_only_for_equals(a: float, b: float) -> None:
    got = relative_difference(a, b)
    assert got == relative_difference(b, a)
    assert (got == 0.0) == (a == b) or (got == 0.0 and abs(a - b) < 1e-300)


def test_signals_of_several_symbols_are_verified_in_order() -> None:
    eth = walk(COUNT, 9, symbol=ETH)
    signals = [decided(market(), COUNT - 1), decided(eth, COUNT - 5), decided(market(), COUNT - 3)]
    found = verify_signals(signals, {BTC: market(), ETH: eth})
    assert [one.signal for one in found] == signals
    assert all(one.agrees for one in found)
    assert isinstance(found[0].signal.decided_at, datetime)


def test_a_signal_of_a_schema_with_a_reference_is_derived_beside_it() -> None:
    schema = SCHEMAS["v50"]
    bars, btc = replace(walk(schema.history_bars + 5, 6), symbol=ETH), walk(schema.history_bars + 5, 7)
    row = compute_features(schema, bars.last(schema.history_bars), reference=btc.last(schema.history_bars)).values[-1]
    signal = replace(decided(bars, len(bars) - 1), schema_name="v50", schema_hash=schema.hash, features=tuple(row.tolist()))
    assert symbols_of([signal]) == {ETH, BTC}
    (found,) = verify_signals([signal], {ETH: bars, BTC: btc})
    assert found.agrees
    (alone,) = verify_signals([signal], {ETH: bars})
    assert codes(alone)[0] is MismatchCode.ROW_INCOMPLETE


@pytest.mark.parametrize(("after", "close"), [(0, 1.0), (4, 1.0), (5, 2.0), (9, 2.0), (10, None)])
def test_a_decision_saw_the_bar_as_it_was_before_the_first_later_revision(after: int, close: float | None) -> None:
    bars = market()
    at = from_ms(int(bars.open_time_ms[7]))
    lost = from_ms(int(bars.open_time_ms[0])) - minutes(1)  # a minute that these bars do not have
    revisions = [
        BarRevision(bars.symbol, time, at + minutes(later), number, number, number, number, 0.0)
        for time in (lost, at)
        for later, number in ((10, 2.0), (5, 1.0))
    ]
    seen = bars_seen({bars.symbol: bars}, revisions, at + minutes(after))[bars.symbol]
    assert seen.close[7] == (bars.close[7] if close is None else close)
    assert np.array_equal(np.delete(seen.close, 7), np.delete(bars.close, 7))
    assert np.array_equal(seen.open_time_ms, bars.open_time_ms)
