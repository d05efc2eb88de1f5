"""The stream gives the batch's bits, whatever the market, the gaps and the restarts."""

from __future__ import annotations

import functools
import json
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.features import (
    SCHEMAS,
    Bar,
    FeatureMatrix,
    FeatureSchema,
    FeatureSchemaError,
    FeatureStream,
    compute_features,
    get_schema,
    why_incomplete,
)
from signalbox.features.nodes import Input, Node
from signalbox.features.schema import Reference
from signalbox.limits import MAX_STREAM_STATE_BYTES
from signalbox.market.candles import MINUTE_MS, Bars, Symbol
from tests.builders import candle
from tests.examples import examples
from tests.unit.features.synthetic_bars import BTC, flat, select, walk, without

ETH = Symbol("ETH-USD")
FEATURES = [(schema.name, name) for schema in SCHEMAS.values() for name in schema.names]
COUNT = 4_500


def replayed(schema: FeatureSchema, bars: Bars, reference: Bars | None, restarts: frozenset[int] = frozenset()) -> FeatureMatrix:
    """Every bar through a stream, saved and restored before the bars of `restarts`."""
    stream = FeatureStream(schema)
    beside = {bar.open_time_ms: bar for bar in Bar.each(bars if reference is None else reference)}
    rows = []
    for i, bar in enumerate(Bar.each(bars)):
        if i in restarts:
            stream = FeatureStream.restore(schema, stream.state())
        rows.append(stream.update(bar, beside.get(bar.open_time_ms) if schema.reference else None))
    values = np.array([row.values for row in rows]).reshape(len(rows), len(schema.names))
    complete = np.array([row.is_complete for row in rows], dtype=np.bool_)
    referenced = np.array([row.incomplete != "REFERENCE_MISSING" for row in rows], dtype=np.bool_)
    return FeatureMatrix(bars.symbol, schema, bars.open_time_ms, values, complete, referenced)


@functools.cache
def weather() -> tuple[Bars, Bars]:
    """A symbol and its reference with trends, a still hour, jumps, zero volume, and gaps in one, the other and both."""
    eth, btc = walk(COUNT, seed=11, price=2_500.0, symbol=ETH), walk(COUNT, seed=12)
    for column in (eth.open, eth.high, eth.low, eth.close):
        column[2_600:2_700] = eth.close[2_599]
        column[3_400:] *= 1.3
    eth.volume[2_550:2_720] = 0.0
    gappy = without(without(eth, 3_000, 3_001), 4_100, 4_100)
    return gappy, without(without(without(btc, 3_000, 3_000), 3_700, 3_702), 4_300, 4_300)


@functools.cache
def batch_and_stream(name: str) -> tuple[FeatureMatrix, FeatureMatrix]:
    schema, (bars, reference) = get_schema(name), weather()
    return compute_features(schema, bars, reference=reference), replayed(schema, bars, reference)


@pytest.mark.parametrize(("schema", "feature"), FEATURES)
def test_batch_equals_the_replayed_stream_bit_for_bit(schema: str, feature: str) -> None:
    batch, stream = batch_and_stream(schema)
    np.testing.assert_array_equal(stream.column(feature), batch.column(feature))
    assert np.isfinite(batch.column(feature)[batch.is_complete]).all()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_batch_and_stream_flag_the_same_rows_for_the_same_reason(schema: str) -> None:
    batch, stream = batch_and_stream(schema)
    np.testing.assert_array_equal(stream.is_complete, batch.is_complete)
    assert batch.is_complete.any()
    warm = slice(batch.schema.warmup_bars - 1, None)
    np.testing.assert_array_equal(stream.has_reference[warm], batch.has_reference[warm])


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_feature_is_declared_with_both_ways_of_computing_it(schema: FeatureSchema) -> None:
    for instruction in schema.program.instructions:
        assert callable(instruction.node.block())
        assert callable(instruction.node.step())
    assert not any(isinstance(feature.expression, Input) for feature in schema.features)
    assert all(isinstance(feature.expression, Node) for feature in schema.features)
    assert len({feature.expression for feature in schema.features}) == len(schema.features)


@settings(max_examples=examples(40))
@given(
    name=st.sampled_from(sorted(SCHEMAS)),
    seed=st.integers(0, 2**31),
    step=st.sampled_from([1e-7, 4e-4, 5e-2]),
    price=st.sampled_from([1e-7, 1.0, 6e4]),
    missing=st.lists(st.integers(0, 2_700), max_size=30),
    lost=st.lists(st.integers(1_000, 2_700), max_size=30),
    restarts=st.frozensets(st.integers(0, 2_700), max_size=3),
)
def test_any_market_with_gaps_and_restarts_equals_batch(
    name: str, seed: int, step: float, price: float, missing: list[int], lost: list[int], restarts: frozenset[int]
) -> None:
    schema = get_schema(name)
    eth, btc = walk(2_750, seed, step=step, price=price, symbol=ETH), walk(2_750, seed + 1, step=step)
    keep, have = np.ones(2_750, dtype=np.bool_), np.ones(2_750, dtype=np.bool_)
    keep[missing], have[lost] = False, False
    bars, reference = select(eth, keep), select(btc, have)
    batch = compute_features(schema, bars, reference=reference)
    stream = replayed(schema, bars, reference, restarts)
    np.testing.assert_array_equal(stream.values, batch.values)
    np.testing.assert_array_equal(stream.is_complete, batch.is_complete)


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("cut", [0, 1, 59, 1_439, 1_440, 2_309, 3_333])
def test_restart_from_a_saved_state_changes_nothing(name: str, cut: int) -> None:
    schema, (bars, reference) = get_schema(name), weather()
    stream = FeatureStream(schema)
    stream.replay(bars.window(slice(0, cut)), reference)
    restored = FeatureStream.restore(schema, stream.state())
    assert (len(restored), restored.newest_open_time_ms) == (len(stream), stream.newest_open_time_ms)
    assert restored.state() == stream.state()
    stop = max(cut, schema.warmup_bars) + 40
    rest = bars.window(slice(cut, stop))
    one, other = stream.replay(rest, reference), restored.replay(rest, reference)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(other.values, one.values)
    assert np.isfinite(one.values).all()
    assert restored.state() == stream.state()


def test_warm_up_is_never_a_number_and_the_first_row_after_it_is_complete() -> None:
    schema = get_schema("v31")
    matrix = replayed(schema, walk(schema.warmup_bars), None)
    assert np.isnan(matrix.values[:-1]).all()
    assert matrix.is_complete.tolist() == [False] * (schema.warmup_bars - 1) + [True]


def test_a_stream_says_why_in_the_words_of_the_matrix() -> None:
    schema = get_schema("v50")
    bars = walk(schema.warmup_bars + 130, symbol=ETH)
    reference = walk(schema.warmup_bars + 130, seed=2)
    stream = FeatureStream(schema)
    early = stream.replay(bars.window(slice(0, 10)), reference)
    assert early is not None
    assert early.incomplete == "INSUFFICIENT_HISTORY"
    stream.replay(bars.window(slice(10, schema.warmup_bars + 5)), reference)
    lost = stream.update(next(Bar.each(bars.window(slice(schema.warmup_bars + 5, schema.warmup_bars + 6)))), None)
    assert lost.incomplete == "REFERENCE_MISSING"
    recovered = stream.replay(bars.window(slice(schema.warmup_bars + 6, schema.warmup_bars + 67)), reference)
    assert recovered is not None
    assert recovered.is_complete
    gap = stream.replay(bars.window(slice(schema.warmup_bars + 68, schema.warmup_bars + 69)), reference)
    assert gap is not None
    assert gap.incomplete == "GAP_IN_WINDOW"


def test_the_state_of_another_schema_is_refused_with_both_names_and_hashes() -> None:
    v31, v50 = get_schema("v31"), get_schema("v50")
    with pytest.raises(FeatureSchemaError, match=rf"v50 \({v50.hash}\).*v31 \({v31.hash}\)"):
        FeatureStream.restore(v50, FeatureStream(v31).state())
    renamed = FeatureSchema("v50", v50.features, reference=Reference(Symbol("ETH-USD")))
    with pytest.raises(FeatureSchemaError, match=renamed.hash):
        FeatureStream.restore(v50, FeatureStream(renamed).state())


@pytest.mark.parametrize("state", [b"", b"nonsense", b"{}\n", b'{"format": 1}\nxx', b"[1]\n"])
def test_what_is_no_state_is_refused(state: bytes) -> None:
    with pytest.raises(FeatureSchemaError, match="not the state"):
        FeatureStream.restore(get_schema("v31"), state)


def test_a_damaged_or_newer_state_is_refused() -> None:
    schema = get_schema("v31")
    state = FeatureStream(schema).state()
    with pytest.raises(FeatureSchemaError, match="damaged"):
        FeatureStream.restore(schema, state[:-1])
    head, _, body = state.partition(b"\n")
    newer = json.dumps({**json.loads(head), "format": 2}).encode() + b"\n" + body
    with pytest.raises(FeatureSchemaError, match="format 1, got 2"):
        FeatureStream.restore(schema, newer)


def test_a_state_that_becomes_more_than_any_is_refused_before_it_does() -> None:
    schema = get_schema("v31")
    head = json.loads(FeatureStream(schema).state().partition(b"\n")[0])
    bomb = zlib.compress(bytes(4 * MAX_STREAM_STATE_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(FeatureSchemaError, match="larger than"):
            FeatureStream.restore(schema, json.dumps({**head, "crc32": zlib.crc32(bomb)}).encode() + b"\n" + bomb)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_STREAM_STATE_BYTES
    finally:
        tracemalloc.stop()
    with pytest.raises(FeatureSchemaError, match="not the state"):
        FeatureStream.restore(schema, b"[" * 100_000)


def good(minute: int = 10) -> Bar:
    return Bar(minute * MINUTE_MS, 100.0, 101.0, 99.0, 100.5, 3.0)


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        (good(10), "expected a bar after 1970-01-01T00:10"),
        (good(9), "expected a bar after"),
        (good(11)._replace(open_time_ms=11 * MINUTE_MS + 1), "whole minutes"),
        (good(11)._replace(close=float("nan")), "finite prices above 0"),
        (good(11)._replace(low=0.0), "finite prices above 0"),
        (good(11)._replace(open=-1.0), "finite prices above 0"),
        (good(11)._replace(high=float("inf")), "finite prices above 0"),
        (good(11)._replace(volume=-1.0), "volume of 0 or more"),
        (good(11)._replace(volume=float("nan")), "volume of 0 or more"),
    ],
)
def test_an_impossible_bar_is_refused_and_changes_nothing(bar: Bar, message: str) -> None:
    stream = FeatureStream(get_schema("v31"))
    stream.update(good())
    before = stream.state()
    with pytest.raises(FeatureSchemaError, match=message):
        stream.update(bar)
    assert stream.state() == before


def test_prices_whose_sum_overflows_are_still_prices() -> None:
    giant = good()._replace(open=1.2e308, high=1.2e308, low=1.2e308, close=1.2e308)
    assert FeatureStream(get_schema("v31")).update(giant).incomplete == "INSUFFICIENT_HISTORY"


def test_a_reference_of_another_minute_is_refused() -> None:
    with pytest.raises(FeatureSchemaError, match="expected the reference's bar of 1970-01-01T00:10"):
        FeatureStream(get_schema("v50")).update(good(10), good(9))


def test_prices_that_overflow_are_flagged_not_invented() -> None:
    schema = get_schema("v31")
    bars = walk(schema.warmup_bars + 20)
    bars.high[-3], bars.low[-3] = 1e308, 1e-308
    batch, stream = compute_features(schema, bars), replayed(schema, bars, None)
    np.testing.assert_array_equal(stream.is_complete, batch.is_complete)
    assert not batch.is_complete[-3:].any()
    assert why_incomplete(batch) == "FEATURES_NOT_FINITE"


def test_a_still_market_equals_batch_and_is_complete() -> None:
    schema = get_schema("v50")
    still = flat(schema.warmup_bars + 5)
    batch, stream = compute_features(schema, still), replayed(schema, still, None)
    np.testing.assert_array_equal(stream.values, batch.values)
    assert batch.is_complete[-1]


def test_a_candle_becomes_the_bar_that_a_column_holds() -> None:
    one = candle(BTC, close="100.123456789")
    column = Bars.from_candles(BTC, [one])
    assert Bar.of_candle(one) == next(Bar.each(column))


def test_no_bars_give_no_row() -> None:
    stream = FeatureStream(get_schema("v31"))
    assert stream.replay(walk(0)) is None
    assert stream.newest_open_time_ms is None
