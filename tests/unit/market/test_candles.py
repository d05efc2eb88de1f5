from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE, Bars, Candle, MarketDataError, from_ms, to_ms
from signalbox.market.clock import CYCLE, cycle_of, cycles_between
from signalbox.market.gaps import contiguous_tail, find_gaps
from tests.builders import BTC, NOON, candle, candles, minutes


@pytest.mark.parametrize(
    "changes",
    [
        {"close": "-1"},
        {"close": "NaN"},
        {"volume": "-0.1"},
        {"volume": "NaN"},
        {"high": "99"},
        {"low": "101"},
        {"open": "Infinity"},
        {"low": "0"},
    ],
)
def test_candle_with_impossible_numbers_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MarketDataError, match="BTC-USD"):
        candle(**changes)


@pytest.mark.parametrize("open_time", [NOON + timedelta(seconds=1), NOON.replace(tzinfo=None)])
def test_candle_off_the_minute_or_without_zone_is_refused(open_time: datetime) -> None:
    with pytest.raises(MarketDataError):
        candle(open_time=open_time)


def test_candle_in_another_zone_is_refused() -> None:
    with pytest.raises(MarketDataError, match="UTC"):
        candle(open_time=NOON.astimezone(timezone(timedelta(hours=1))))


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_milliseconds_round_trip(seconds: int) -> None:
    assert to_ms(from_ms(seconds * 1000)) == seconds * 1000


@given(st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2035, 1, 1)))  # noqa: DTZ001 - made aware below
def test_every_instant_belongs_to_the_cycle_it_falls_in(naive: datetime) -> None:
    instant = naive.astimezone()
    boundary = cycle_of(instant)
    assert boundary <= instant < boundary + CYCLE
    assert to_ms(boundary) % 300_000 == 0


def test_cycles_between_excludes_the_start_and_includes_the_end() -> None:
    assert list(cycles_between(NOON, NOON + minutes(15))) == [NOON + minutes(m) for m in (5, 10, 15)]


def test_bars_until_an_instant_hold_closed_bars_only() -> None:
    bars = Bars.from_candles(BTC, candles(BTC, NOON, 30))
    at = NOON - minutes(7) + timedelta(seconds=59)
    closed = bars.until(at)
    assert from_ms(int(closed.open_time_ms[-1])) + ONE_MINUTE <= at
    assert len(closed) == 23


def test_bars_that_do_not_increase_are_refused() -> None:
    bars = Bars.from_candles(BTC, candles(BTC, NOON, 3))
    with pytest.raises(MarketDataError, match="increasing"):
        Bars(BTC, bars.open_time_ms[::-1], bars.open, bars.high, bars.low, bars.close, bars.volume)


@given(st.sets(st.integers(min_value=1, max_value=118)))
def test_gaps_and_bars_together_cover_every_minute_once(absent: set[int]) -> None:
    present = np.array([i * 60_000 for i in range(120) if i not in absent], dtype=np.int64)
    gaps = find_gaps(present)
    assert sum(gap.minutes for gap in gaps) == len(absent)
    covered = {m for gap in gaps for m in range(gap.first_ms // 60_000, gap.last_ms // 60_000 + 1)}
    assert covered == absent


def test_contiguous_tail_counts_back_to_the_newest_gap() -> None:
    times = np.array([0, 1, 2, 5, 6, 7, 8], dtype=np.int64) * 60_000
    assert contiguous_tail(times) == 4
    assert contiguous_tail(times[:3]) == 3
    assert contiguous_tail(times[:0]) == 0


def test_candle_knows_when_it_is_closed() -> None:
    assert isinstance(candle(), Candle)
    assert candle(open_time=NOON).close_time == NOON + ONE_MINUTE
    assert candle().close == Decimal(100)
