"""What every ledger promises about candles: the same tests on memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE, Bars, Candle
from signalbox.signals.ports import CandleWrites, Ledger
from tests.builders import BTC, ETH, NOON, SOL, candle, candles, minutes
from tests.integration.conftest import World
from tests.integration.samples import VENUE

pytestmark = pytest.mark.integration


def test_new_candles_are_inserted_and_known_ones_unchanged(world: World) -> None:
    with world.ledger().transaction() as tx:
        assert tx.add_candles(VENUE, []) == CandleWrites(0, 0, ())
        assert tx.add_candles(VENUE, candles(BTC, NOON, 4)) == CandleWrites(4, 0, ())
        assert tx.add_candles(VENUE, candles(BTC, NOON + minutes(2), 6)) == CandleWrites(2, 4, ())


def test_candle_with_other_numbers_conflicts_and_the_first_one_stays(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, [candle(close="100")])
    other = candle(close="100", volume="2")
    with world.ledger().transaction() as tx:
        assert tx.add_candles(VENUE, [candle(close="100"), other]) == CandleWrites(0, 1, (other,))
        assert tx.bars(VENUE, BTC, NOON, 1).volume.tolist() == [1.0]


def test_a_later_announcement_revises_a_bar_and_an_earlier_one_does_not(world: World) -> None:
    first, second, third = candle(close="100"), candle(close="101"), candle(close="102")
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, [first], NOON)
        assert tx.add_candles(VENUE, [second], NOON) == CandleWrites(0, 0, (second,))
    with world.ledger().transaction() as tx:
        assert tx.add_candles(VENUE, [third], NOON + minutes(5)) == CandleWrites(0, 0, (), (third,))
    with world.ledger().transaction() as tx:
        assert tx.bars(VENUE, BTC, NOON, 1).close.tolist() == [102.0]
        assert tx.add_candles(VENUE, [first], NOON) == CandleWrites(0, 0, (first,))  # delivered again: it changes nothing
        assert tx.add_candles(VENUE, [first]) == CandleWrites(0, 0, (first,))
        assert tx.close_price(VENUE, BTC, first.open_time) == Decimal(102)


def test_candle_twice_in_one_batch_is_inserted_once_and_the_first_wins(world: World) -> None:
    first, second = candle(close="100"), candle(close="101")
    with world.ledger().transaction() as tx:
        assert tx.add_candles(VENUE, [first, first, second]) == CandleWrites(1, 1, (second,))
        assert tx.close_price(VENUE, BTC, first.open_time) == Decimal(100)


def test_equal_numbers_written_with_other_zeros_are_unchanged(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, [candle(close="100.10")])
        assert tx.add_candles(VENUE, [candle(close="100.1")]) == CandleWrites(0, 1, ())


def test_same_bar_of_another_venue_or_symbol_is_another_bar(world: World) -> None:
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, [candle(BTC, close="1")])
        assert tx.add_candles("kraken", [candle(BTC, close="2")]).inserted == 1
        assert tx.add_candles(VENUE, [candle(ETH, close="3")]).inserted == 1
        assert tx.close_price(VENUE, BTC, NOON - ONE_MINUTE) == Decimal(1)


def test_bars_equal_the_candles_to_the_last_bit(world: World) -> None:
    rng = np.random.default_rng(7)
    offered = []
    for i in range(50):
        low, high = sorted(Decimal(repr(x)) for x in rng.lognormal(8, 3, 2).tolist())
        offered.append(
            replace(
                candle(BTC, NOON - minutes(50 - i)),
                open=low,
                high=high,
                low=low,
                close=high,
                volume=Decimal(repr(rng.exponential())),
            )
        )
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, offered[::-1])
        got = tx.bars(VENUE, BTC, NOON, 100)
    wanted = Bars.from_candles(BTC, offered)
    for name in ("open_time_ms", "open", "high", "low", "close", "volume"):
        found, expected = getattr(got, name), getattr(wanted, name)
        assert found.dtype == expected.dtype, name
        assert found.tolist() == expected.tolist(), name


def test_bars_are_the_newest_closed_ones_oldest_first(world: World) -> None:
    given = candles(BTC, NOON, 10)
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, given)
        bars = tx.bars(VENUE, BTC, NOON - minutes(2), 3)
        just_before_a_close = tx.bars(VENUE, BTC, NOON - minutes(0.5), 1)
    assert bars.close.tolist() == [float(c.close) for c in given[5:8]]
    assert just_before_a_close.close.tolist() == [float(given[8].close)]


def test_bars_never_fill_a_gap(world: World) -> None:
    missing = NOON - minutes(3)
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, candles(BTC, NOON, 5, missing=(missing,)))
        bars = tx.bars(VENUE, BTC, NOON, 5)
    assert np.diff(bars.open_time_ms).tolist() == [60_000, 120_000, 60_000]


def test_bars_of_an_unknown_symbol_are_empty(world: World) -> None:
    with world.ledger().transaction() as tx:
        bars = tx.bars(VENUE, SOL, NOON, 5)
    assert len(bars) == 0
    assert bars.close.dtype == np.float64
    assert bars.open_time_ms.dtype == np.int64


def test_close_price_is_exact_or_absent(world: World) -> None:
    exact = "0.123456789012345678901234567890"
    with world.ledger().transaction() as tx:
        tx.add_candles(VENUE, [candle(close=exact)])
        assert tx.close_price(VENUE, BTC, NOON - ONE_MINUTE) == Decimal(exact)
        assert tx.close_price(VENUE, BTC, NOON) is None


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Candle]]:
    """Batches cut from the same twelve bars: overlapping, repeated, in any order, around a month's end."""
    bars = [candle(BTC, datetime(2024, 2, 29, 23, 54, tzinfo=UTC) + minutes(i), str(100 + i)) for i in range(12)]
    batches = draw(st.lists(st.lists(st.sampled_from(bars), max_size=8), min_size=1, max_size=5))
    return draw(st.permutations([*batches, bars]))


VENUES = count()  # a venue of its own for every example: the same database, an empty table


@given(batches=deliveries())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_repetition_of_batches_leaves_the_same_bars(ledger: Ledger, batches: Sequence[Sequence[Candle]]) -> None:
    venue = f"venue{next(VENUES)}"
    inserted = 0
    for batch in batches:
        with ledger.transaction() as tx:
            writes = tx.add_candles(venue, batch)
        assert writes.conflicting == ()
        assert writes.inserted + writes.unchanged == len(batch)
        inserted += writes.inserted
    with ledger.transaction() as tx:
        bars = tx.bars(venue, BTC, NOON, 100)
    assert inserted == 12
    assert bars.close.tolist() == [100.0 + i for i in range(12)]
    assert set(np.diff(bars.open_time_ms).tolist()) == {60_000}
