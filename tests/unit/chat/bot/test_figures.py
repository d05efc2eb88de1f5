"""Figures of trades, costs, models and prices: each from known rows, and what was not recorded is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.chat.bot.conversation import Answer
from signalbox.chat.bot.figures import bars_text, costs_text, models_text, performance_text, stats_text
from signalbox.chat.bot.ports import ChartUnavailableError, RecentPrices
from signalbox.market.candles import Symbol
from signalbox.portfolio.account import EquitySnapshot
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade
from tests.unit.chat.bot.test_bot import ANNA, World, decided, text_of
from tests.unit.trading.market import BTC, ETH, START
from tests.unit.trading.test_headroom import state_with, tried

MONTH = timedelta(days=30)


def trade(realised: str | None, symbol: str = BTC, hours: int = 1) -> Trade:
    state, _ = tried(state_with(["100000"]), 1)
    (one,) = state.trades.values()
    return replace(
        one, symbol=Symbol(symbol), opened_at=START, closed_at=START + timedelta(hours=hours),
        realised=None if realised is None else Decimal(realised),
    )  # fmt: skip


def point(hours: int, equity: str, transfers: str = "100000", fees: str = "0", funding: str = "0") -> EquitySnapshot:
    zero, worth = Decimal(0), Decimal(equity)
    return EquitySnapshot(
        "a-1k", START + timedelta(hours=hours), worth, worth, zero, worth, zero, Decimal(transfers), zero, Decimal(fees),
        Decimal(funding), {},
    )  # fmt: skip


def test_stats_of_known_trades() -> None:
    trades = [trade("300", hours=2), trade("-100"), trade("-50", ETH), trade("0"), trade(None)]
    equity = [point(0, "100000"), point(1, "102000"), point(2, "111000", "110000"), point(3, "101000", "100000")]
    shown = stats_text("a-1k", trades, equity, MONTH).splitlines()
    assert shown == [
        "a-1k, 30 days: 4 closed trades",
        "hit rate 25.0%, 1 won, 2 lost",
        "average win +300.00",
        "average loss -75.00",
        "profit factor 2.00",
        "a trade makes +37.50 on average",
        "best +300.00, worst -100.00",
        "held 1 h on average",
        "Fewer than 30 trades: these figures say little about the next ones.",
        "largest fall of equity -1,000.00 (0.9%), at the recorded instants",
    ]


def test_stats_of_nothing_invent_nothing() -> None:
    assert stats_text("a-1k", [], [], MONTH).splitlines() == [
        "a-1k, 30 days: 0 closed trades",
        "No equity was recorded in that period, so its largest fall is unknown.",
    ]
    assert "profit factor none: no trade lost" in stats_text("a-1k", [trade("5")], [], MONTH)


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=30), st.lists(st.integers(-300, 300), max_size=30))
def test_a_deposit_or_withdrawal_is_no_fall(profits: list[int], moved: list[int]) -> None:
    steps = [*moved, *[0] * len(profits)][: len(profits)]
    plain, shifted, total = [], [], 0
    for hour, (profit, move) in enumerate(zip(profits, steps, strict=True)):
        total += move
        plain.append(point(hour, str(100_000 + profit)))
        shifted.append(point(hour, str(100_000 + profit + total), str(100_000 + total)))
    falls = [stats_text("a", [], rows, MONTH).splitlines()[1].partition(" (")[0] for rows in (plain, shifted)]
    assert falls[0].partition(",")[0] == falls[1].partition(",")[0]


def test_performance_is_by_symbol_and_the_best_is_first() -> None:
    shown = performance_text("a-1k", [trade("-5"), trade("20", ETH), trade("1"), trade(None)], MONTH)
    assert shown.splitlines()[1:] == ["ETH-USD +20.00, 1 trade, 1 won", "BTC-USD -4.00, 2 trades, 1 won"]
    assert "No trade was closed." in performance_text("a-1k", [], MONTH)


def test_costs_are_those_of_the_period() -> None:
    shown = costs_text("a-1k", [point(0, "1", fees="10", funding="-1"), point(5, "1", fees="17.50", funding="-3")], MONTH)
    assert "fees -7.50\nfunding -2.00" in shown
    assert "unknown" in costs_text("a-1k", [point(0, "1")], MONTH)


def test_models_are_named_with_what_they_issued() -> None:
    shown = models_text([decided(BTC), decided(ETH)], timedelta(days=1))
    assert shown.startswith("1 model in 24 h\nstarter-1 (shadow, features v50): 2 decided, ")
    assert models_text([], timedelta(days=1)) == "0 models in 24 h"


BARS = [
    BarRow(open_time=START - timedelta(minutes=60 - n), open=100.0, high=101.0 + n, low=99.5, close=100.0 + n, volume=1)
    for n in range(50)
]


def test_prices_in_words_name_missing_minutes() -> None:
    shown = bars_text(BTC, 1, BARS[:20] + BARS[27:]).splitlines()
    assert shown == [
        "BTC-USD 149, +49.00%, of the last 1 h",
        "low 99.5, high 150",
        "bars from 2024-03-01 11:00 UTC to 2024-03-01 11:49 UTC",
        "7 minutes between them without a bar",
    ]
    assert "without a bar" not in bars_text(BTC, 1, BARS)


def chart(world: World, paint: object) -> Answer:
    world.bot.paint = paint  # type: ignore[assignment]
    answer = world.type("/chart BTC 1")
    assert answer is not None
    return answer


def test_a_chart_has_words_and_without_a_picture_says_so() -> None:
    world, asked = World(), list[RecentPrices]()
    assert text_of(chart(world, None)) == "BTC-USD: no bar was recorded in the last 1 h."
    world.ledgers[ANNA].rows = BARS

    def paint(found: RecentPrices) -> bytes:
        asked.append(found)
        return b"png"

    def broken(_found: RecentPrices) -> bytes:
        raise ChartUnavailableError("no fonts")

    drawn = chart(world, paint)
    assert (drawn.picture, drawn.parts) == (b"png", (bars_text(BTC, 1, BARS),))
    assert asked[0].bars == tuple(BARS)
    assert "The chart cannot be drawn: no fonts" in text_of(chart(world, broken))
    assert "There are no pictures here." in text_of(chart(world, None))


def test_hours_beyond_a_week_are_not_understood() -> None:
    world = World()
    for typed in ("/chart BTC 169", "/chart BTC 0", "/chart BTC -1", "/chart BTC 1e9"):
        assert "is not understood. There is " in text_of(world.type(typed)), typed
