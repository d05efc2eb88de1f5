from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.acceptance import RawRow, accept_rows
from signalbox.market.candles import to_ms
from tests.builders import BTC, NOON, minutes

SINCE = NOON - minutes(10)


def row(minute: int, close: str = "100", **changes: str) -> RawRow:
    """The bar that opens `minute` minutes after SINCE."""
    price = Decimal(close)
    numbers = {"o": price, "h": price, "l": price, "c": price, "v": Decimal(1)} | {k: Decimal(v) for k, v in changes.items()}
    return (to_ms(SINCE + minutes(minute)), numbers["o"], numbers["h"], numbers["l"], numbers["c"], numbers["v"])


def test_unsorted_rows_come_out_sorted() -> None:
    got = accept_rows(BTC, [row(3), row(1), row(2)], since=SINCE, until=NOON)
    assert [c.open_time for c in got.candles] == [SINCE + minutes(m) for m in (1, 2, 3)]
    assert got.refused == ()


def test_identical_duplicates_are_one_candle() -> None:
    got = accept_rows(BTC, [row(1), row(1)], since=SINCE, until=NOON)
    assert len(got.candles) == 1
    assert got.refused == ()


def test_two_bars_of_one_minute_that_disagree_are_both_refused() -> None:
    got = accept_rows(BTC, [row(1, "100"), row(1, "101"), row(2)], since=SINCE, until=NOON)
    assert [c.open_time for c in got.candles] == [SINCE + minutes(2)]
    assert len(got.refused) == 1


def test_negative_nan_and_inconsistent_rows_are_refused_and_the_others_kept() -> None:
    rows = [row(1, "-5"), row(2, "NaN"), row(3, "100", l="101"), row(4, "100", v="-1"), row(5)]
    got = accept_rows(BTC, rows, since=SINCE, until=NOON)
    assert [c.open_time for c in got.candles] == [SINCE + minutes(5)]
    assert len(got.refused) == 4


def test_the_open_bar_is_dropped_and_a_future_bar_refused() -> None:
    got = accept_rows(BTC, [row(9), row(10), row(11), row(600)], since=SINCE, until=NOON)
    assert [c.open_time for c in got.candles] == [SINCE + minutes(9)]
    assert len(got.refused) == 2


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_an_absurd_time_costs_its_row_alone(time_ms: int) -> None:
    good = row(3)
    got = accept_rows(BTC, [(time_ms, *good[1:]), good], since=SINCE, until=NOON)
    assert SINCE + minutes(3) in {c.open_time for c in got.candles}


def test_rows_before_the_window_are_dropped_silently() -> None:
    got = accept_rows(BTC, [row(-1), row(0)], since=SINCE, until=NOON)
    assert [c.open_time for c in got.candles] == [SINCE]
    assert got.refused == ()


ANY_NUMBER = st.decimals(allow_nan=True, allow_infinity=True, places=2) | st.decimals(min_value=1, max_value=3, places=1)


@given(st.lists(st.tuples(st.integers(-20, 20).map(lambda m: to_ms(SINCE + minutes(m))), *[ANY_NUMBER] * 5), max_size=40))
def test_whatever_a_venue_says_only_closed_sane_unique_sorted_bars_get_through(rows: list[RawRow]) -> None:
    got = accept_rows(BTC, rows, since=SINCE, until=NOON)
    times = [c.open_time for c in got.candles]
    assert times == sorted(set(times))
    assert all(c.open_time >= SINCE and c.close_time <= NOON for c in got.candles)
    assert all(0 < c.low <= c.open <= c.high and c.low <= c.close <= c.high and c.volume >= 0 for c in got.candles)
    assert len(got.candles) + len(got.refused) <= len(rows)
