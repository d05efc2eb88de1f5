"""Gaps, outages and odd rows, found and never mended."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import MINUTE_MS, to_ms
from signalbox.market.clock import Gap
from signalbox.market.quality import SeriesQuality, assess, find_outages, newest_close, without_outages
from tests.builders import BTC, ETH, SOL, minutes

START = datetime(2024, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)


def of(places: Any, symbol: Any = BTC, **changes: Any) -> SeriesQuality:
    """Rows at these minutes after START, flat at 10, in the given order."""
    times = START_MS + MINUTE_MS * np.array(list(places), dtype=np.int64)
    columns = {name: np.full(len(times), 10.0) for name in ("open", "high", "low", "close", "volume")}
    for name, (place, value) in changes.items():
        columns[name][place] = value
    return assess(symbol, times, list(columns.values()))


def gap(first: int, last: int) -> Gap:
    return Gap(START_MS + first * MINUTE_MS, START_MS + last * MINUTE_MS)


def minutes_in(gaps: Any) -> set[int]:
    return {m for g in gaps for m in range((g.first_ms - START_MS) // MINUTE_MS, (g.last_ms - START_MS) // MINUTE_MS + 1)}


def test_a_whole_series_has_nothing_to_tell() -> None:
    got = of(range(100))
    assert (got.rows, got.missing, got.gaps, got.faults, got.coarse_minutes, got.longest_gap) == (100, 0, (), 0, None, None)
    assert (got.first, got.last_close) == (START, START + minutes(100))
    assert got.stale_minutes(START + minutes(130)) == 30
    assert got.stale_minutes(START) == 0


def test_duplicates_disorder_and_rows_off_the_minute_are_counted() -> None:
    assert of([0, 1, 1, 2]).duplicates == 1
    assert of([0, 2, 1, 3]).disordered == 1
    off = assess(BTC, np.array([START_MS, START_MS + 61_000]), [np.full(2, 10.0)] * 5)
    assert (off.off_minute, len(off.present_ms)) == (1, 1)


def test_a_bad_row_counts_as_missing_and_an_odd_one_is_only_told() -> None:
    bad = of(range(10), close=(4, np.nan))
    assert (bad.bad_rows, bad.missing, bad.gaps) == (1, 1, (gap(4, 4),))
    quiet = of(range(10), volume=(4, 0.0))
    assert (quiet.zero_volume, quiet.faults, quiet.missing) == (1, 0, 0)
    wild = of(range(10), high=(4, 15.0), close=(4, 15.0))
    assert (wild.jumps, wild.faults) == (2, 0)
    absurd = of(range(10), high=(4, 1e9), close=(4, 1e9))
    assert (absurd.jumps, absurd.faults) == (2, 2)


def test_a_jump_over_a_gap_is_none() -> None:
    times = START_MS + MINUTE_MS * np.array([0, 5], dtype=np.int64)
    flat = np.array([10.0, 20.0])
    assert assess(BTC, times, [flat] * 5).jumps == 0


def test_mixed_timeframes_are_told() -> None:
    assert of([*range(50), *range(50, 200, 5)]).coarse_minutes == 5


def test_no_rows_are_no_error() -> None:
    got = of([])
    assert (got.first, got.last_close, got.missing, got.stale_minutes(START), got.daily_rows()) == (None, None, 0, 0, {})
    assert newest_close([got]) is None
    assert find_outages([got, got]) == ()


def test_outages_are_the_gaps_of_all_and_the_rest_is_a_symbols_own() -> None:
    btc, eth = of([*range(10), *range(20, 40)]), of([*range(8), *range(18, 40)], ETH)
    sol = of([*range(5, 10), *range(20, 40)], SOL)
    outages = find_outages([btc, eth, sol])
    assert outages == (gap(10, 17),)
    assert without_outages(btc.gaps, outages) == (gap(18, 19),)
    assert without_outages(eth.gaps, outages) == (gap(8, 9),)
    assert without_outages(sol.gaps, outages) == (gap(18, 19),)
    assert newest_close([btc, eth, sol]) == START + minutes(40)


def test_a_symbol_that_stops_half_way_makes_the_others_gaps_outages_and_is_stale() -> None:
    stopped, going = of(range(50)), of([*range(70), *range(80, 100)], ETH)
    assert find_outages([stopped, going]) == (gap(70, 79),)
    assert stopped.stale_minutes(START + minutes(100)) == 50


def test_one_symbol_alone_has_gaps_and_no_outages() -> None:
    assert find_outages([of([0, 5])]) == ()


@given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=2, max_size=4))
def test_outages_are_exactly_the_minutes_that_nobody_has(held: list[set[int]]) -> None:
    series = [of(sorted(places)) for places in held]
    outages = find_outages(series)
    whole = set.union(*held)
    missing = set(range(min(whole), max(whole) + 1)) - whole
    assert minutes_in(outages) == missing
    for one in series:
        own = without_outages(one.gaps, outages)
        assert minutes_in(own) == minutes_in(one.gaps) - missing


@pytest.mark.parametrize("places", [range(100), range(100, 1600), [0, 1439, 1440]])
def test_rows_by_day_add_up(places: Any) -> None:
    got = of(places)
    assert sum(got.daily_rows().values()) == len(list(places))
    assert Decimal(got.rows) == len(list(places))
