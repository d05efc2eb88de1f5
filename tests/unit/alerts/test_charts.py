"""Charts are drawn by matplotlib itself: sizes, levels inside, gaps, hours of the zone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from local.stand_ins.telegram_outgoing import read_message
from signalbox.adapters.charts.painter import MOST_CANDLES, STEPS, ChartError, MatplotlibPainter, candles_in, candles_of
from signalbox.alerts.alert import AlertChart, ProfitChart, SignalChart
from signalbox.alerts.rendering import alert_of
from signalbox.alerts.settings import ChatSettings, parse_settings
from signalbox.alerts.signals import levels_of
from signalbox.chat.bot.ports import ChartUnavailableError, RecentPrices
from signalbox.events import RecentCandles, SignalGenerated
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.trading.account import DIR60_STANDARD
from signalbox.trading.entry_plan import volatility
from signalbox.trading.questions import BarRow
from tests.builders import NOON, minutes
from tests.unit.alerts.facts import SUMMARY, recent, signal


def chart_of(event: SignalGenerated, **raw: Any) -> SignalChart | None:
    alert = alert_of(event)
    assert alert is not None
    assert alert.chart is not None
    settings_of_chat = parse_settings("1", raw)
    found = alert.chart(settings_of_chat.words(), settings_of_chat)
    assert not isinstance(found, ProfitChart)
    return found


@pytest.mark.parametrize("language", ["en", "de", "cs"])
@pytest.mark.parametrize("direction", ["BUY", "SELL"])
def test_a_chart_is_a_photo_that_telegram_takes(language: str, direction: str) -> None:
    chart = chart_of(signal(direction=direction), language=language, zone="Europe/Prague")
    assert chart is not None
    png = MatplotlibPainter().paint(chart)
    assert read_message({"photo": png, "caption": "x"}, with_photo=True, known=()).photo == png
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (1080, 720)
    assert len(png) < 200_000


@pytest.mark.parametrize("days", [1, 7])
def test_the_profit_of_a_summary_is_a_photo_that_telegram_takes(days: int) -> None:
    steps = np.random.default_rng(days).normal(0, 50, 200).cumsum()
    curve = tuple((place * days * 7, float(profit - steps[0])) for place, profit in enumerate(steps))
    alert = alert_of(SUMMARY.model_copy(update={"curve": curve}))
    settings_of_chat = parse_settings("1", {"language": "de", "zone": "Europe/Prague"})
    assert alert is not None
    assert alert.chart is not None
    chart = alert.chart(settings_of_chat.words(), settings_of_chat)
    assert isinstance(chart, ProfitChart)
    assert TypeAdapter[AlertChart](AlertChart).validate_json(chart.model_dump_json()) == chart  # as it waits in the queue
    png = MatplotlibPainter().paint(chart)
    assert read_message({"photo": png, "caption": "x"}, with_photo=True, known=()).photo == png


def test_a_summary_without_a_curve_has_no_picture() -> None:
    alert = alert_of(SUMMARY.model_copy(update={"curve": ((0, 0.0),)}))
    assert alert is not None
    assert alert.chart is not None
    assert alert.chart(ChatSettings().words(), ChatSettings()) is None


def test_a_chart_without_a_candle_is_an_error_and_one_candle_is_a_chart() -> None:
    chart = chart_of(signal(recent=recent(1)))
    assert chart is not None
    assert [role for _, _, role in chart.levels] == ["entry"]
    assert MatplotlibPainter().paint(chart).startswith(b"\x89PNG")
    empty = chart.model_copy(update={"candles": RecentCandles(first=NOON, rows=())})
    with pytest.raises(ChartError, match="got none"):
        MatplotlibPainter().paint(empty)
    assert chart_of(signal(recent=RecentCandles(first=NOON, rows=()))) is None


def test_the_levels_are_those_that_an_account_of_the_policy_measures() -> None:
    event = signal()
    assert event.recent is not None
    rows = np.array(event.recent.rows)
    times = to_ms(event.recent.first) + rows[:, 0].astype(np.int64) * MINUTE_MS
    opened, high, low, close = (np.ascontiguousarray(rows[:, place]) for place in (1, 2, 3, 4))
    bars = Bars(Symbol("BTC-USD"), times, opened, high, low, close, np.zeros(len(rows)))
    move = volatility(bars, NOON, 60)
    assert move is not None
    found = levels_of(event, DIR60_STANDARD)
    assert found is not None
    assert found.target is None
    assert abs(found.stop - event.price * (1 - 3 * move)) <= Decimal("0.01")
    sell = levels_of(signal(direction="SELL"), DIR60_STANDARD.model_copy(update={"target_volatilities": Decimal(2)}))
    assert sell is not None
    assert sell.target is not None
    assert sell.target < event.price < sell.stop


@pytest.mark.parametrize("bars", [0, 1, 119])
def test_too_few_candles_give_no_level_at_all(bars: int) -> None:
    assert levels_of(signal(recent=recent(bars) if bars else None), DIR60_STANDARD) is None


@settings(deadline=None)
@given(
    offset=st.integers(0, 400),
    steps=st.lists(st.tuples(st.integers(1, 7), st.floats(1, 100), st.floats(1, 100)), min_size=1, max_size=60),
)
def test_candles_cover_every_bar_and_fill_no_gap(offset: int, steps: list[tuple[int, float, float]]) -> None:
    rows, minute = [], -1
    for gap, opened, closed in steps:
        minute += gap
        rows.append((minute, opened, max(opened, closed), min(opened, closed), closed))
    first = NOON + minutes(offset)
    candles = candles_of(RecentCandles(first=first, rows=tuple(rows)))
    starts = {first + minutes(int(start)) for start in candles[:, 0]}
    assert all(start.minute % 5 == 0 for start in starts)
    assert starts == {at - minutes(at.minute % 5) for at in (first + minutes(minute) for minute, *_ in rows)}
    assert candles[:, 2].max() == max(row[2] for row in rows)
    assert candles[:, 3].min() == min(row[3] for row in rows)
    assert (candles[0, 1], candles[-1, 4]) == (rows[0][1], rows[-1][4])


def test_default_settings_draw_in_utc() -> None:
    chart = chart_of(signal())
    assert chart is not None
    assert chart.zone == ChatSettings().zone == "UTC"
    assert chart.title == "BTC-USD, last 4 hours, 5-minute candles"


@pytest.mark.parametrize(("hours", "named"), [(1, 1), (6, 5), (24, 15), (48, 30), (168, 120)])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_prices_of_hours_to_a_week_are_a_photo(hours: int, named: int, zone: str) -> None:
    bars = tuple(
        BarRow(
            open_time=NOON + timedelta(minutes=n), open=60_000 + n, high=60_010 + n, low=59_990 + n, close=60_001 + n, volume=1
        )
        for n in range(hours * 60)
        if n % 50  # some minutes without a bar
    )
    png = MatplotlibPainter().paint_prices(RecentPrices("BTC-USD", zone, bars))
    assert read_message({"photo": png, "caption": "x"}, with_photo=True, known=()).photo == png
    step = next(one for one in STEPS if hours * 60 / one <= MOST_CANDLES)
    assert step == named
    rows = np.array([(1.0, 1, 2, 0.5, 1), (14.0, 1, 3, 1, 2), (15.0, 2, 2, 2, 2)])
    assert candles_in(rows, NOON, 15).tolist() == [[0, 1, 3, 0.5, 2], [15, 2, 2, 2, 2]]


def test_prices_without_a_bar_cannot_be_drawn_and_one_can() -> None:
    with pytest.raises(ChartUnavailableError, match="no bars"):
        MatplotlibPainter().paint_prices(RecentPrices("BTC-USD", "UTC", ()))
    one = BarRow(open_time=NOON, open=1, high=1, low=1, close=1, volume=0)
    assert MatplotlibPainter().paint_prices(RecentPrices("BTC-USD", "UTC", (one,))).startswith(b"\x89PNG")
