"""How much of a position its trade's own stop closes, and at what price. The checks of new risk count no other protection.

The figures are conservative, because a planned stop protects nothing:

* A trade's stop closes what is left of the trade, never what people added to the position, and never more than the position.
* On paper the stop is read from the bars, so it works from the first fill on, except while another exit of the trade is open.
* Live, a stop counts once the venue has accepted it, for its open quantity. It does not count while it is on its way, while
  its fate is unknown, or after its cancel was requested. While a change of it is pending, the worse of both versions counts.
* A late fill that belongs to no open trade has no stop. Resting exit orders of people do not count.

Between an entry's first fill and its accepted stop, the position counts as unprotected, and new risk waits. The entry itself is
checked with its stop, because it is only sent if the stop follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from signalbox.exact import ZERO, exactly
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderType, Side
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.state import EXIT_LEGS, Trade


class Protection(NamedTuple):
    """A stop at `price` closes `quantity` (base units, above 0) of a position."""

    price: Decimal
    quantity: Decimal


@exactly
def protection_of(account: TradingAccount, trade: Trade | None, orders: Iterable[Order], position: Decimal) -> Protection | None:
    """Return the protection of a position, or None. orders: all orders of the trade; position: signed net quantity."""
    if trade is None:
        return None
    own = [order for order in orders if _is_of(account, trade, order)]
    entered = sum((order.filled for order in own if order.client_order_id == trade.entry), ZERO)
    exits = [order for order in own if order.client_order_id != trade.entry]
    left = min(entered - sum((order.filled for order in exits), ZERO), position * trade.side.sign)
    if left <= ZERO:
        return None
    if account.mode is TradingMode.LIVE:
        return _at_venue(trade, exits, left)
    return None if any(not order.state.is_closed for order in exits) else Protection(trade.stop_loss, left)


def _is_of(account: TradingAccount, trade: Trade, order: Order) -> bool:
    is_exit = order.terms.leg in EXIT_LEGS and order.terms.strategy == account.strategy
    return order.client_order_id == trade.entry or (is_exit and trade.owns(order))


def _at_venue(trade: Trade, exits: Iterable[Order], left: Decimal) -> Protection | None:
    confirmed = [order for order in exits if _is_confirmed(order)]
    quantity = sum((_least_left(order) for order in confirmed), ZERO)
    prices = [price for order in confirmed for price in _prices(order)]
    if quantity <= ZERO or not prices:
        return None
    return Protection(min(prices) if trade.side is Side.BUY else max(prices), min(quantity, left))


def _is_confirmed(order: Order) -> bool:
    return (
        order.terms.type is OrderType.STOP
        and order.terms.leg is Leg.STOP_LOSS
        and not order.state.is_closed
        and order.accepted_at is not None
        and order.pending_cancel is None
        and not order.is_ambiguous
    )


def _least_left(order: Order) -> Decimal:
    pending = order.pending_update
    return max((order.quantity if pending is None else min(order.quantity, pending.quantity)) - order.filled, ZERO)


def _prices(order: Order) -> list[Decimal]:
    pending = order.pending_update
    found = (order.stop_price, None if pending is None else pending.stop_price)
    return [price for price in found if price is not None]
