"""The paper venue on single bars: each price is computed by hand in the comment beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE, Candle
from signalbox.market.empty_minutes import flat_bar
from signalbox.orders.errors import OrderTermsError
from signalbox.orders.events import Liquidity, OrderFilled
from signalbox.orders.lifecycle import apply
from signalbox.orders.order import Order
from signalbox.orders.paper.models import (
    FixedSlippage,
    FixedSpread,
    ProportionalFees,
    UnlimitedLiquidity,
    VolumeShare,
)
from signalbox.orders.paper.venue import PaperInstrument, PaperVenue
from signalbox.orders.terms import OrderTerms, OrderType, Side
from signalbox.orders.transitions import OrderState
from tests.builders import BTC, NOON, candle
from tests.unit.orders.samples import applied, cancel_requested, seconds, submitted, terms, update_requested

ZERO = Decimal(0)
LATENCY = timedelta(milliseconds=250)
VENUE = PaperVenue(  # 10 bps spread: 0.05 each way at 100; 2 bps slippage: about 0.02
    instruments={BTC: PaperInstrument(tick=Decimal("0.01"), lot=Decimal("0.1"))},
    spread=FixedSpread(Decimal(10)),
    slippage=FixedSlippage(Decimal(2)),
    fees=ProportionalFees(maker_bps=Decimal(-1), taker_bps=Decimal(5)),
    latency=LATENCY,
    liquidity=UnlimitedLiquidity(),
)


def bar(minute: int = 0, open: str = "100", high: str = "101", low: str = "99", close: str = "100", volume: str = "50") -> Candle:  # noqa: A002
    return candle(BTC, NOON + ONE_MINUTE * minute, close, open=open, high=high, low=low, volume=volume)


def at_venue(venue: PaperVenue = VENUE, position: Decimal = ZERO, sent_at: datetime = NOON, **changes: Any) -> Order:
    """An order the venue has accepted 250 ms after noon."""
    order = submitted(terms(**changes))
    order = replace(order, submitted_at=sent_at)
    return applied(order, venue.answer(order, position))


def after(order: Order, *bars: Candle, venue: PaperVenue = VENUE, position: Decimal = ZERO) -> Order:
    for one in bars:
        for event in venue.match(order, one, position):
            order = apply(order, event)
            position += order.terms.signed(event.quantity) if isinstance(event, OrderFilled) else 0
    return order


def test_a_market_buy_pays_half_the_spread_and_slippage_rounded_up() -> None:
    order = after(at_venue(), bar())
    (trade,) = order.trades
    # ask 100.05; slippage 0.02001; 100.07001 up to the tick; fee 5 bps of 10 * 100.08
    assert (trade.price, trade.fee, trade.liquidity) == (Decimal("100.08"), Decimal("0.50040000"), Liquidity.TAKER)
    assert (trade.at, order.state) == (NOON + LATENCY, OrderState.FILLED)


def test_a_market_sale_gets_less_rounded_down() -> None:
    (trade,) = after(at_venue(side="SELL"), bar()).trades
    assert trade.price == Decimal("99.93")  # bid 99.95 - 0.01999 = 99.93001


def test_an_order_that_arrives_late_in_a_bar_waits_for_the_next_open() -> None:
    order = at_venue(sent_at=NOON + timedelta(seconds=5))
    assert after(order, bar()).trades == ()
    (trade,) = after(order, bar(), bar(1, open="100.5")).trades
    assert (trade.price, trade.at) == (Decimal("100.58"), NOON + ONE_MINUTE)  # ask 100.55025, slippage 0.02011


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("101", ("100.08", Liquidity.TAKER)),  # takes the ask of the open, with slippage
        ("100.06", ("100.06", Liquidity.TAKER)),  # slippage ends at its price
        ("100", ("100", Liquidity.MAKER)),  # rests; the ask falls to 99.05 and trades through it
        ("99.05", None),  # touched, not traded through
        ("98", None),
    ],
)
def test_a_limit_buy_takes_rests_or_waits(limit: str, expected: tuple[str, Liquidity] | None) -> None:
    trades = after(at_venue(price=limit), bar()).trades
    assert [(t.price, t.liquidity) for t in trades] == ([(Decimal(expected[0]), expected[1])] if expected else [])


def test_a_resting_order_fills_at_its_price_and_maker_fee_though_the_bar_gaps() -> None:
    order = after(at_venue(price="99.04"), bar())
    (trade,) = after(order, bar(1, open="95", high="96", low="94", close="95")).trades
    # 10 * 99.04 at -1 bp; a rebate rounds against us too
    assert (trade.price, trade.liquidity, trade.fee) == (Decimal("99.04"), Liquidity.MAKER, Decimal("-0.09904"))
    assert trade.at == NOON + 2 * ONE_MINUTE  # known at the close


def test_a_sell_limit_mirrors_a_buy_limit() -> None:
    assert after(at_venue(side="SELL", price="100.95"), bar()).trades == ()  # bid of the high is just that
    (trade,) = after(at_venue(side="SELL", price="100.94"), bar()).trades
    assert (trade.price, trade.liquidity) == (Decimal("100.94"), Liquidity.MAKER)
    (taken,) = after(at_venue(side="SELL", price="99.94"), bar()).trades
    assert (taken.price, taken.liquidity) == (Decimal("99.94"), Liquidity.TAKER)


@pytest.mark.parametrize(
    ("side", "stop", "expected"),
    [
        ("BUY", "101.05", "101.08"),  # the ask of the high reaches it; slippage 0.02021
        ("BUY", "101.06", None),
        ("BUY", "100.01", "100.08"),  # opens beyond: the ask of the open
        ("SELL", "98.95", "98.93"),  # the bid of the low reaches it; slippage 0.01979
        ("SELL", "98.94", None),
    ],
)
def test_a_stop_trades_once_its_touch_is_reached_and_slips(side: str, stop: str, expected: str | None) -> None:
    trades = after(at_venue(side=side, stop=stop), bar()).trades
    assert [t.price for t in trades] == ([Decimal(expected)] if expected else [])


def test_volume_limits_a_fill_and_the_rest_follows_in_the_next_bars() -> None:
    venue = replace(VENUE, liquidity=VolumeShare(Decimal("0.1")))
    order = after(at_venue(venue), bar(volume="46"), venue=venue)
    assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, Decimal("4.6"))
    order = after(order, bar(1, volume="0"), bar(2, volume="10.9"), venue=venue)
    assert order.filled == Decimal("5.6")  # 1.09 down to the lot
    stop = after(at_venue(venue, stop="101"), bar(volume="40"), bar(1, open="90", high="90", low="90", close="90"), venue=venue)
    assert [t.price for t in stop.trades] == [Decimal("101.03"), Decimal("90.07")]  # a triggered stop is a market order


@pytest.mark.parametrize("changes", [{}, {"price": "101"}, {"stop": "99"}])
def test_nothing_fills_in_an_empty_minute_though_liquidity_is_unlimited(changes: dict[str, Any]) -> None:
    """Nobody traded in it, so it has no price: a market, a limit and a stop order wait for the next bar with a trade."""
    waiting = after(at_venue(**changes), flat_bar(bar(-1), NOON), flat_bar(bar(-1), NOON + ONE_MINUTE))
    assert (waiting.filled, waiting.state) == (ZERO, at_venue(**changes).state)
    (trade,) = after(waiting, bar(2)).trades
    assert trade.at >= NOON + 2 * ONE_MINUTE


def test_a_bar_given_twice_is_the_same_trade() -> None:
    venue = replace(VENUE, liquidity=VolumeShare(Decimal("0.1")))
    once = after(at_venue(venue), bar(volume="70"), venue=venue)
    assert venue.match(once, bar(volume="70"), ZERO) == ()


@pytest.mark.parametrize(
    ("force", "volume", "state", "filled"),
    [
        ("IOC", "50", OrderState.CANCELED, "5"),
        ("IOC", "100", OrderState.FILLED, "10"),
        ("FOK", "50", OrderState.CANCELED, "0"),
        ("FOK", "100", OrderState.FILLED, "10"),
    ],
)
def test_immediate_orders_end_with_their_first_bar(force: str, volume: str, state: OrderState, filled: str) -> None:
    venue = replace(VENUE, liquidity=VolumeShare(Decimal("0.1")))
    order = after(at_venue(venue, time_in_force=force), bar(volume=volume), venue=venue)
    assert (order.state, order.filled) == (state, Decimal(filled))


def test_an_order_that_expires_inside_a_bar_does_not_trade_in_it() -> None:
    order = at_venue(price="98", time_in_force="GTD", expires_at=seconds(90))
    order = after(order, bar(), bar(1, low="90"))
    assert (order.state, order.closed_at) == (OrderState.EXPIRED, seconds(90))


def test_a_bar_that_is_open_when_the_cancel_arrives_trades_first() -> None:
    order = cancel_requested(at_venue(price="99.5"), at=seconds(30))
    assert after(order, bar()).state is OrderState.FILLED
    waited = after(order, bar(low="100"), bar(1))
    assert (waited.state, waited.closed_at) == (OrderState.CANCELED, seconds(30) + LATENCY)


def test_an_update_works_from_the_next_bar() -> None:
    order = update_requested(at_venue(price="98"), at=seconds(30), limit_price="99.5", quantity="4")
    (trade,) = after(order, bar(low="98.5"), bar(1)).trades
    assert (trade.price, trade.quantity) == (Decimal("99.5"), Decimal(4))
    odd = after(update_requested(at_venue(price="98"), at=seconds(30), quantity="4.05"), bar(1))
    assert (odd.state, odd.quantity) == (OrderState.ACCEPTED, Decimal(10))  # not a lot: refused


@pytest.mark.parametrize(
    ("changes", "position", "reason"),
    [
        ({"quantity": "1.05"}, "0", "LOT_SIZE"),
        ({"price": "100.005"}, "0", "TICK_SIZE"),
        ({"stop": "100.005"}, "0", "TICK_SIZE"),
        ({"reduce_only": True}, "0", "REDUCE_ONLY"),
        ({"reduce_only": True}, "3", "REDUCE_ONLY"),
    ],
)
def test_orders_against_the_rules_of_the_venue_are_rejected(changes: dict[str, Any], position: str, reason: str) -> None:
    order = at_venue(position=Decimal(position), **changes)
    assert (order.state, order.reason) == (OrderState.REJECTED, reason)


def test_a_reduce_only_order_ends_flat_and_never_flips() -> None:
    order = after(at_venue(position=Decimal(-4), reduce_only=True), bar(), position=Decimal(-4))
    assert (order.state, order.filled, order.reason) == (OrderState.CANCELED, Decimal(4), "REDUCE_ONLY")


def test_the_venue_answers_only_what_it_was_sent() -> None:
    with pytest.raises(OrderTermsError, match="submitted order"):
        VENUE.answer(replace(submitted(), submitted_at=None), ZERO)
    with pytest.raises(OrderTermsError, match="has no symbol"):
        VENUE.answer(submitted(terms(symbol="ETH-USD")), ZERO)
    assert VENUE.match(submitted(), bar(), ZERO) == ()
    filled = after(at_venue(), bar())
    assert VENUE.match(filled, bar(1), ZERO) == ()


_CENTS = st.integers(9_000, 11_000).map(lambda cents: Decimal(cents).scaleb(-2))


@st.composite
def _bars(draw: st.DrawFn) -> list[Candle]:
    found = []
    for minute in range(draw(st.integers(1, 6))):
        low, first, last, high = sorted(draw(st.lists(_CENTS, min_size=4, max_size=4)))
        opened, closed = draw(st.permutations([first, last]))
        volume = Decimal(draw(st.integers(0, 200)))
        found.append(Candle(BTC, NOON + ONE_MINUTE * minute, opened, high, low, closed, volume))
    return found


def _any_terms() -> st.SearchStrategy[OrderTerms]:
    def build(kind: OrderType, side: Side, price: Decimal, force: str, reduce_only: bool) -> OrderTerms:
        prices = {OrderType.LIMIT: {"price": price}, OrderType.STOP: {"stop": price}}.get(kind, {})
        return terms(side=side, time_in_force=force, reduce_only=reduce_only, **prices)

    return st.builds(
        build, st.sampled_from(OrderType), st.sampled_from(Side), _CENTS, st.sampled_from(["GTC", "IOC", "FOK"]), st.booleans()
    )


@given(_any_terms(), _bars(), st.sampled_from(["0", "3", "-3", "20", "-20"]))
def test_no_fill_is_better_than_the_bar_allows(of: OrderTerms, bars: list[Candle], held: str) -> None:
    venue = replace(VENUE, liquidity=VolumeShare(Decimal("0.05")), slippage=FixedSlippage(Decimal(5)))
    order, position = replace(submitted(of), submitted_at=NOON), Decimal(held)
    order = applied(order, venue.answer(order, position))
    start = position
    for one in bars:
        for event in venue.match(order, one, position):
            order = apply(order, event)
            if not isinstance(event, OrderFilled):
                continue
            position += of.signed(event.quantity)
            assert event.quantity <= one.volume * Decimal("0.05")
            assert event.quantity % Decimal("0.1") == event.price % Decimal("0.01") == 0
            assert one.open_time <= event.at <= one.close_time
            best = one.low if of.side is Side.BUY else one.high
            sign = of.side.sign
            if of.type is OrderType.LIMIT:
                assert sign * event.price <= sign * (of.limit_price or 0)
            assert sign * event.price > sign * best  # never the best price of the bar
    if of.reduce_only and order.trades:
        assert abs(position) < abs(start)
        assert position * start >= 0
