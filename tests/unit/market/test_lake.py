"""The lake's rules: paths, the one text of a number, merges, and what makes rows a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import MINUTE_MS, MarketDataError, Symbol, to_ms
from signalbox.market.lake import (
    DayFault,
    DayFileError,
    DayKey,
    SeriesKey,
    check_rows,
    coarse_steps,
    days_between,
    decimal_text,
    merge_rows,
    parse_path,
)
from tests.builders import BTC, NOON, candle, candles, minutes

DAY = DayKey(SeriesKey("coinbase", BTC), date(2024, 3, 1))
PRICES = st.decimals(min_value=Decimal("1e-18"), max_value=Decimal("1e18"), allow_nan=False)


def rows(times: np.ndarray, price: float = 10.0) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    same = np.full(len(times), price)
    return times, (same, same, same, same, np.ones(len(times)))


def minutes_of_day(count: int, start: datetime = DAY.start) -> np.ndarray:
    return to_ms(start) + MINUTE_MS * np.arange(count, dtype=np.int64)


def test_path_is_the_documented_layout_and_is_read_back() -> None:
    assert DAY.path == "candles/venue=coinbase/symbol=BTC-USD/timeframe=1m/date=2024-03-01.parquet"
    assert parse_path(DAY.path) == DAY
    assert (DAY.start, DAY.end) == (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    "path",
    [
        "candles/venue=coinbase/symbol=BTC-USD/timeframe=1m/date=2024-02-30.parquet",
        "candles/venue=coinbase/symbol=BTC-USD/timeframe=1m/date=2024-03-01.parquet.tmp",
        "candles/venue=../symbol=BTC-USD/timeframe=1m/date=2024-03-01.parquet",
        "quarantine/candles/venue=coinbase/symbol=BTC-USD/timeframe=1m/date=2024-03-01.0123.parquet",
        "notes.txt",
    ],
)
def test_other_paths_are_no_days(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(("venue", "symbol"), [("../etc", "BTC-USD"), ("Coin/base", "BTC-USD"), ("coinbase", "../x")])
def test_a_name_that_cannot_be_a_folder_is_refused(venue: str, symbol: str) -> None:
    with pytest.raises(MarketDataError, match="expected a"):
        SeriesKey(venue, Symbol(symbol))


@given(PRICES)
def test_text_of_a_number_is_exact_and_one(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert decimal_text(Decimal(text + ("0" if "." in text else ".0"))) == text
    assert float(text) == float(value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+39", "1E-39", "1E+999999"])
def test_an_extreme_number_is_refused(value: str) -> None:
    with pytest.raises(MarketDataError, match="expected a number"):
        decimal_text(Decimal(value))


def test_days_of_a_window_are_those_it_touches() -> None:
    assert list(days_between(NOON, NOON + timedelta(hours=12))) == [date(2024, 3, 1)]
    assert list(days_between(NOON, NOON + timedelta(hours=12, minutes=1))) == [date(2024, 3, 1), date(2024, 3, 2)]
    assert list(days_between(NOON, NOON - timedelta(days=2))) == []


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_merge_is_the_union_in_order_and_fresh_rows_win(kept: set[int], fresh: set[int]) -> None:
    old = [candle(BTC, NOON + minutes(i), "100") for i in sorted(kept)]
    new = [candle(BTC, NOON + minutes(i), "101") for i in sorted(fresh)]
    got = merge_rows(old, new)
    assert [c.open_time for c in got.candles] == [NOON + minutes(i) for i in sorted(kept | fresh)]
    assert {c.open_time for c in got.candles if c.close == 101} == {NOON + minutes(i) for i in fresh}
    assert got.conflicts == tuple(NOON + minutes(i) for i in sorted(kept & fresh))
    again = merge_rows(got.candles, new)
    assert (again.candles, again.conflicts) == (got.candles, ())


def test_merge_of_equal_rows_has_no_conflict() -> None:
    same = candles(BTC, NOON, 5)
    assert merge_rows(same, same[2:]).conflicts == ()


def _bent(change: int) -> np.ndarray:
    times = minutes_of_day(10)
    times[5] += change
    return times


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        (_bent(1), DayFault.TIMES_OFF_THE_MINUTE),
        (_bent(-MINUTE_MS), DayFault.TIMES_DUPLICATE),
        (_bent(-3 * MINUTE_MS), DayFault.TIMES_UNSORTED),
        (minutes_of_day(10, DAY.start - minutes(1)), DayFault.TIMES_OUTSIDE_DAY),
        (minutes_of_day(10, DAY.end - minutes(9)), DayFault.TIMES_OUTSIDE_DAY),
        (minutes_of_day(288 * 5)[::5], DayFault.TIMEFRAME_COARSE),
        (minutes_of_day(1440)[::60], DayFault.TIMEFRAME_COARSE),
        (minutes_of_day(1440)[::240], DayFault.TIMEFRAME_COARSE),
        (np.concatenate([minutes_of_day(720), minutes_of_day(1440)[720::5]]), DayFault.TIMEFRAME_COARSE),
    ],
)
def test_rows_that_are_no_day_are_refused_with_their_fault(times: np.ndarray, fault: DayFault) -> None:
    with pytest.raises(DayFileError) as caught:
        check_rows(DAY, *rows(times))
    assert caught.value.fault is fault


@pytest.mark.parametrize(("column", "value"), [(0, np.nan), (1, 9.0), (2, 11.0), (2, -1.0), (3, np.inf), (4, -0.5), (4, np.nan)])
def test_an_impossible_row_is_refused_and_named(column: int, value: float) -> None:
    times, same = rows(minutes_of_day(10))
    columns = [c.copy() for c in same]
    columns[column][7] = value
    with pytest.raises(DayFileError, match=r"1 candles are impossible.*00:07") as caught:
        check_rows(DAY, times, columns)
    assert caught.value.fault is DayFault.PRICES_IMPOSSIBLE


def test_a_day_with_gaps_zero_volume_or_nothing_is_a_day() -> None:
    check_rows(DAY, *rows(minutes_of_day(0)))
    times, (*prices, volume) = rows(np.concatenate([minutes_of_day(100), minutes_of_day(1440)[180:]]))
    check_rows(DAY, times, [*prices, volume * 0])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80))
def test_a_quiet_market_is_not_taken_for_another_timeframe(steps: list[int]) -> None:
    """Only a long run of equal steps is coarse."""
    times = to_ms(DAY.start) + MINUTE_MS * np.cumsum(np.array([0, *steps], dtype=np.int64))
    longest, run = 0, 0
    for before, step in zip([0, *steps], steps, strict=False):
        run = run + 1 if step == before else 1
        longest = max(longest, run if step > 1 else 0)
    if longest < 24:
        assert coarse_steps(times) is None
