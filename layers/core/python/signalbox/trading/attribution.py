"""Attributes fills to a trade: which fills closed it, how much each one closed, and its profit, even if people traded by hand.

The netted position of a symbol is the trade's quantity plus what people hold beside it. A fill of the trade's own exit order
closes the trade. Any other fill against the trade's side first reduces what people hold; only the rest closes the trade, at
that fill's price and with a share of its fee. When an entry fills against an opposite position that people hold, the entry's
own fill closes the trade. So the trades of a symbol and people's own trading add up to the books, to the last digit.

This needs every order of the symbol with a fill at or after the trade's first fill, whoever sent it (`others_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio, share
from signalbox.orders.events import OrderFilled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg
from signalbox.risk.numbers import exact
from signalbox.trading.state import Trade

PRICE_PLACES: Final = 12  # of an average price for display; never used in a booking


@dataclass(frozen=True, slots=True)
class ClosedPart:
    """The part of a trade that one fill closed. `fee`: this part's share of the fill's fee; 0 for the trade's own orders.

    The fees of the trade's own orders count in full for the trade, so they are not shared out here.
    """

    order: ClientOrderId
    leg: Leg  # the leg of `order`
    trade_id: str
    at: datetime
    quantity: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Attribution:
    """The fills that closed a trade, in time order. left: quantity still open.

    realised: profit after fees, None while some is open.
    """

    closings: tuple[ClosedPart, ...]
    left: Decimal
    realised: Decimal | None

    @property
    @exactly
    def price(self) -> Decimal | None:
        """Average closing price rounded to 12 decimals, for display. None before the first closing."""
        quantity = sum((closing.quantity for closing in self.closings), ZERO)
        value = sum((closing.quantity * closing.price for closing in self.closings), ZERO)
        return ratio(value, quantity, PRICE_PLACES) if quantity else None

    @property
    def last(self) -> ClosedPart | None:
        """The newest closing, or None before the first one."""
        return self.closings[-1] if self.closings else None


def others_of(trade: Trade, own: Iterable[ClientOrderId], orders: Iterable[Order]) -> list[Order]:
    """Return the orders in the trade's symbol that do not belong to the trade and filled at or after its decision."""
    mine = set(own)
    return [
        order
        for order in orders
        if order.client_order_id not in mine
        and order.terms.symbol == trade.symbol
        and any(fill.at >= trade.decided_at for fill in order.trades)
    ]


@exactly
def attribute(trade: Trade, entry: Order, exits: Sequence[Order], others: Iterable[Order], position: Decimal) -> Attribution:
    """Return which fills closed a trade.

    others: orders in the symbol that do not belong to the trade; their fills before the entry's first fill are ignored.
    position: the signed net position in the symbol after all of these fills and no later ones.
    """
    sign, own = trade.side.sign, {order.client_order_id for order in exits}
    fills = _since_entry(entry, [*exits, *others])
    net = position - sum((order.terms.signed(fill.quantity) for fill, order in fills), ZERO)
    left, closings = ZERO, list[ClosedPart]()
    for fill, order in fills:
        is_entry, is_exit = order.client_order_id == entry.client_order_id, order.client_order_id in own
        net += order.terms.signed(fill.quantity)
        by_exit = min(fill.quantity, left) if is_exit else ZERO
        left += (fill.quantity if is_entry else ZERO) - by_exit
        gone = max(left - max(net * sign, ZERO), ZERO)  # people's own holding was reduced first and did not cover the fill
        left -= gone
        if by_exit or gone:
            fee = ZERO if is_entry or is_exit else share(fill.fee, gone, fill.quantity)
            closings.append(_closing(fill, order, by_exit + gone, fee))
    return Attribution(tuple(closings), left, None if left else _realised(sign, entry, exits, closings))


def _since_entry(entry: Order, rest: Iterable[Order]) -> list[tuple[OrderFilled, Order]]:
    """Return the fills from the entry's first fill on, in booking order."""
    fills = [(fill, order) for order in (entry, *rest) for fill in order.trades]
    fills.sort(key=lambda item: (item[0].at, item[0].trade_id))
    first = next((i for i, (_, order) in enumerate(fills) if order.client_order_id == entry.client_order_id), len(fills))
    return fills[first:]


def _closing(fill: OrderFilled, order: Order, quantity: Decimal, fee: Decimal) -> ClosedPart:
    return ClosedPart(order.client_order_id, order.terms.leg, fill.trade_id, fill.at, quantity, fill.price, fee)


@exactly
def _realised(sign: int, entry: Order, exits: Iterable[Order], closings: Iterable[ClosedPart]) -> Decimal:
    brought, fees = ZERO, entry.fees + sum((order.fees for order in exits), ZERO)
    for closing in closings:
        brought += closing.quantity * closing.price
        fees += closing.fee
    return exact(sign * (brought - entry.filled_value) - fees, "realised")
