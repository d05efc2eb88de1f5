"""A bad row is named by its reason, and the reasons are the contract of a candle."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candle_rules import RowFault, impossible_rows
from signalbox.market.candles import MINUTE_MS, Candle, MarketDataError, from_ms
from signalbox.market.quality import assess
from signalbox.market.row_faults import row_faults
from tests.builders import BTC

START = 1_704_067_200_000  # 2024-01-01


def rows(count: int = 40) -> tuple[np.ndarray, list[np.ndarray]]:
    close = 100.0 + np.arange(count) * 0.01
    return START + MINUTE_MS * np.arange(count, dtype=np.int64), [
        close,
        close + 1,
        close - 1,
        close.copy(),
        np.ones(count) + close,
    ]


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        (3, np.nan, RowFault.NOT_A_NUMBER),
        (4, np.inf, RowFault.NOT_A_NUMBER),
        (2, 0.0, RowFault.NOT_POSITIVE),
        (4, -1.0, RowFault.NOT_POSITIVE),
        (1, 90.0, RowFault.HIGH_BELOW_LOW),
        (0, 99_999.0, RowFault.OUTSIDE_RANGE),
    ],
)
def test_each_reason_is_named_with_its_first_minute(column: int, value: float, fault: RowFault) -> None:
    times, values = rows()
    values[column][[7, 9]] = value
    found = {one.fault: one for one in row_faults(times, values)}
    assert (found[fault].rows, found[fault].first) == (2, from_ms(int(times[7])))


def test_times_that_repeat_go_back_or_are_off_the_minute_are_named() -> None:
    times, values = rows()
    times[5], times[8], times[20] = times[4], times[8] + 30_000, times[20] + 10**15
    found = {one.fault: one for one in row_faults(times, values)}
    assert found[RowFault.DUPLICATE].first == from_ms(int(times[4]))
    assert found[RowFault.OFF_MINUTE].first == from_ms(int(times[8]))
    assert (found[RowFault.TIME_IMPOSSIBLE].rows, found[RowFault.TIME_IMPOSSIBLE].first) == (1, None)
    assert found[RowFault.DISORDERED].rows == 1
    quality = assess(BTC, times, values)  # one absurd row makes neither a gap of ages nor an error
    assert quality.last_close == datetime(2024, 1, 1, 0, 40, tzinfo=UTC)


def test_a_lost_decimal_point_is_a_jump_there_and_back() -> None:
    times, values = rows()
    for column in range(4):
        values[column][7] *= 1_000
    (jump,) = row_faults(times, values)
    assert (jump.fault, jump.rows, jump.first) == (RowFault.JUMP, 2, from_ms(int(times[7])))
    assert assess(BTC, times, values).faults == 2


@pytest.mark.parametrize(("count", "volume", "stale"), [(10, 0.5, 9), (9, 0.5, 0), (30, 0.0, 0)])
def test_rows_that_repeat_each_other_with_volume_are_stale(count: int, volume: float, stale: int) -> None:
    times, values = rows()
    for column in values[:4]:
        column[5 : 5 + count] = 50.0
    values[4][5 : 5 + count] = volume
    assert sum(one.rows for one in row_faults(times, values) if one.fault is RowFault.STALE) == stale


@pytest.mark.parametrize(("factor", "unit"), [(1 / 1_000, "seconds"), (1_000, "microseconds"), (1_000_000, "nanoseconds")])
def test_a_unit_that_was_misread_is_named_and_no_row_is_taken(factor: float, unit: str) -> None:
    from signalbox.market.lake import DayFileError, check_rows  # noqa: PLC0415 - of this test alone

    times, values = rows()
    with pytest.raises(DayFileError, match=f"{unit} read as milliseconds; convert the file with signalbox data import"):
        check_rows(None, (times * factor).astype(np.int64), values)
    assert len(assess(BTC, (times * factor).astype(np.int64), values).present_ms) == 0


numbers = st.sampled_from([1.0, 2.0, 0.0, -1.0, np.nan, np.inf, -np.inf, 1e17])


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers), min_size=1, max_size=30))
def test_the_reasons_together_are_the_contract_of_a_candle(drawn: list[tuple[float, ...]]) -> None:
    values = [np.array(column) for column in zip(*drawn, strict=True)]
    wrong = [is_no_candle(row) for row in drawn]
    assert wrong == impossible_rows(values).tolist()


def is_no_candle(row: tuple[float, ...]) -> bool:
    """Whether `Candle` itself refuses the row."""
    try:
        Candle(BTC, from_ms(START), *(Decimal(number) for number in row))
    except MarketDataError:
        return True
    return False
