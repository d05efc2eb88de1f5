"""Which fills closed a trade, how much of it each, and what it earned: also when people's orders closed it.

A netted position is the trade's quantity and what people hold beside it. A fill of the trade's own exit closes the trade. Of
any other fill against the trade's side, what people hold goes first; only what then is missing of the trade was closed by that
fill, at its price and with its share of the fee. An entry that fills against what people hold on the other side is closed by
its own fill. So the trades of a symbol and what people did beside them add up to the books, to the last digit.

Needed: every order of the symbol with a fill at or after the trade's first one, whoever sent it (`others_of`).
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

PRICE_PLACES: Final = 12  # of an average price that is shown; nothing is booked with it


@dataclass(frozen=True, slots=True)
class ClosedPart:
    """A part of a trade that one fill closed. fee: of the fill's, the part of this quantity; 0 for the trade's own orders.

    The fees of its own orders are the trade's whole, whatever they closed.
    """

    order: ClientOrderId
    leg: Leg  # of that order
    trade_id: str
    at: datetime
    quantity: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Attribution:
    """What closed a trade, in time order. left: of it, still open. realised: after fees; None while something is left."""

    closings: tuple[ClosedPart, ...]
    left: Decimal
    realised: Decimal | None

    @property
    @exactly
    def price(self) -> Decimal | None:
        """Average closing price to 12 decimals, to show; None before the first closing."""
        quantity = sum((closing.quantity for closing in self.closings), ZERO)
        value = sum((closing.quantity * closing.price for closing in self.closings), ZERO)
        return ratio(value, quantity, PRICE_PLACES) if quantity else None

    @property
    def last(self) -> ClosedPart | None:
        """The closing that ended it: when, by which leg and at which price."""
        return self.closings[-1] if self.closings else None


def others_of(trade: Trade, own: Iterable[ClientOrderId], orders: Iterable[Order]) -> list[Order]:
    """Return the orders of the trade's symbol that are not its own and have traded since it was decided."""
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
    """Return what closed a trade. position: of its symbol, signed and netted, with all of these fills and no later ones.

    others: orders of the symbol that are not the trade's; fills before the trade's first one do not count.
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
        gone = max(left - max(net * sign, ZERO), ZERO)  # people's part went first, and did not reach
        left -= gone
        if by_exit or gone:
            fee = ZERO if is_entry or is_exit else share(fill.fee, gone, fill.quantity)
            closings.append(_closing(fill, order, by_exit + gone, fee))
    return Attribution(tuple(closings), left, None if left else _realised(sign, entry, exits, closings))


def _since_entry(entry: Order, rest: Iterable[Order]) -> list[tuple[OrderFilled, Order]]:
    """Return the fills from the entry's first one on, as the books order them."""
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
