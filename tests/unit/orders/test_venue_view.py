"""A venue's orders and trades as they travel, and as the fills they are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.orders.events import Liquidity
from signalbox.orders.messages import ViewedOrder, ViewedTrade
from signalbox.orders.terms import Side
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade
from tests.unit.orders.samples import new, terms

NAMES = st.none() | st.text("0123456789abcdef", min_size=32, max_size=32)
AMOUNTS = st.decimals(min_value="0.00000001", max_value=10**9, places=8)
TEXTS = st.text(min_size=1, max_size=40)
ORDERS = st.builds(
    VenueOrder,
    client_order_id=NAMES,
    venue_order_id=TEXTS,
    symbol=TEXTS,
    status=st.sampled_from(VenueStatus),
    quantity=AMOUNTS,
    filled=AMOUNTS | st.just(Decimal(0)),
    limit_price=st.none() | AMOUNTS,
    stop_price=st.none() | AMOUNTS,
)
TRADES = st.builds(
    VenueTrade,
    trade_id=TEXTS,
    client_order_id=NAMES,
    symbol=TEXTS,
    side=st.sampled_from(Side),
    quantity=AMOUNTS,
    price=AMOUNTS,
    executed_at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    fee=AMOUNTS | AMOUNTS.map(lambda amount: -amount),
    liquidity=st.sampled_from(Liquidity),
)


@given(ORDERS)
def test_an_order_comes_back_from_the_wire_as_it_was(order: VenueOrder) -> None:
    assert ViewedOrder.model_validate_json(ViewedOrder.of(order).model_dump_json()).as_order() == order


@given(TRADES)
def test_a_trade_comes_back_from_the_wire_as_it_was(trade: VenueTrade) -> None:
    assert ViewedTrade.model_validate_json(ViewedTrade.of(trade).model_dump_json()).as_trade() == trade


@given(TRADES)
def test_a_trade_is_the_same_fill_by_its_order_and_by_that_orders_names(trade: VenueTrade) -> None:
    order = new(terms())
    fill = trade.as_fill(order)
    assert fill == trade.fill_of(order.client_order_id, order.terms.account)
    assert (fill.quantity, fill.price, fill.fee, fill.at, fill.trade_id) == (
        trade.quantity,
        trade.price,
        trade.fee,
        trade.executed_at,
        trade.trade_id,
    )


def test_an_order_that_cannot_be_does_not_travel() -> None:
    with pytest.raises(ValidationError, match="quantity"):
        ViewedOrder.of(VenueOrder(None, "v", "BTC-USD", VenueStatus.OPEN, Decimal(0), Decimal(0)))
