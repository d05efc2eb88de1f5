"""A position after a fill, as the plain rules make it."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import ZERO, exactly, share
from signalbox.orders.terms import Side
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.position import BookedPosition, after_fill
from tests.builders import NOON

QUANTITIES = st.decimals(min_value="0.001", max_value="9.999", places=3)
PRICES = st.decimals(min_value="0.01", max_value="99999.99", places=2)
FEES = st.decimals(min_value="-1", max_value="9", places=4)


@exactly
def plainly_after(position: BookedPosition, fill: Fill) -> BookedPosition:
    signed = fill.signed_quantity
    closing = min(fill.quantity, abs(position.quantity)) if position.quantity * signed < 0 else ZERO
    released = share(position.cost, closing, abs(position.quantity)) if closing else ZERO
    closed_value = closing * fill.price if position.quantity > 0 else -closing * fill.price
    opened = signed - (closing if signed > 0 else -closing)
    return BookedPosition(
        symbol=position.symbol,
        quantity=position.quantity + signed,
        cost=position.cost - released + opened * fill.price,
        realised=position.realised + closed_value - released,
        fees=position.fees + fill.fee,
        funding=position.funding,
        volume=position.volume + fill.quantity * fill.price,
    )


@given(fills=st.lists(st.tuples(st.sampled_from(Side), QUANTITIES, PRICES, FEES), min_size=1, max_size=8))
def test_fills_open_close_and_turn_a_position(fills: list[tuple[Side, Decimal, Decimal, Decimal]]) -> None:
    position = expected = BookedPosition("BTC-USD", funding=Decimal("0.5"))
    for number, (side, quantity, price, fee) in enumerate(fills):
        fill = Fill(account="a", key=f"t{number}", at=NOON, symbol="BTC-USD", side=side, quantity=quantity, price=price, fee=fee)
        position, expected = after_fill(position, fill), plainly_after(expected, fill)
        assert position == expected
