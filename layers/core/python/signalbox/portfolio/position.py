"""One netted position at average price. Quantity and cost are exact; the average price is only ever shown.

Closing a part releases `cost * part / quantity`. That quotient is the only rounding in the books: 18 decimals, half to
even, and what it moved stays in the cost of the rest, so that a full close realises proceeds minus cost to the last digit.
A fill through zero closes all of the position and opens the rest on the other side at its own price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio, share
from signalbox.portfolio.entries import Fill, Funding

PRICE_PLACES: Final = 12  # of the average price, for showing


@dataclass(frozen=True, slots=True)
class Position:
    """A position and what it has earned since the account began. Everything but `quantity` is in quote currency."""

    symbol: str
    quantity: Decimal = ZERO  # base currency; negative when short
    cost: Decimal = ZERO  # what opening it took; negative when short (what it brought)
    realised: Decimal = ZERO  # before fees and funding
    fees: Decimal = ZERO  # paid
    funding: Decimal = ZERO  # received
    volume: Decimal = ZERO  # value of all fills

    @property
    def average_price(self) -> Decimal | None:
        """Average opening price to 12 decimals; None when flat."""
        return ratio(self.cost, self.quantity, PRICE_PLACES) if self.quantity else None

    @exactly
    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the gain of closing at `mark`, before fees."""
        return self.quantity * mark - self.cost

    @exactly
    def value(self, mark: Decimal) -> Decimal:
        """Return what the holding is worth at `mark`; negative when short."""
        return self.quantity * mark

    @property
    @exactly
    def net_realised(self) -> Decimal:
        """Realised gain after fees and funding."""
        return self.realised - self.fees + self.funding


@exactly
def after_fill(position: Position, fill: Fill) -> Position:
    """Return the position after a fill."""
    signed = fill.signed_quantity
    closing = min(fill.quantity, abs(position.quantity)) if position.quantity * signed < 0 else ZERO
    released = share(position.cost, closing, abs(position.quantity)) if closing else ZERO
    closed_value = closing * fill.price if position.quantity > 0 else -closing * fill.price
    opened = signed - (closing if signed > 0 else -closing)
    return replace(
        position,
        quantity=position.quantity + signed,
        cost=position.cost - released + opened * fill.price,
        realised=position.realised + closed_value - released,
        fees=position.fees + fill.fee,
        volume=position.volume + fill.quantity * fill.price,
    )


@exactly
def after_funding(position: Position, funding: Funding) -> Position:
    """Return the position after a funding payment."""
    return replace(position, funding=position.funding + funding.amount)
