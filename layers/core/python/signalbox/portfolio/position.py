"""One netted position at its average price. Quantity and cost are exact; the average price is for display only.

Closing a part releases `cost * part / quantity`. That quotient is the only rounding in the books: 18 decimals, half to even. What
rounding moves stays in the cost of the rest, so that a full close realises proceeds minus cost to the last digit.
A fill through zero closes all of the position and opens the rest on the other side at its own price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio, share
from signalbox.portfolio.entries import Fill, FundingPayment

PRICE_PLACES: Final = 12  # decimal places of the displayed average price


@dataclass(frozen=True, slots=True)
class BookedPosition:
    """A position and its results since the account began. Everything except `quantity` is in quote currency."""

    symbol: str
    quantity: Decimal = ZERO  # base currency; negative when short
    cost: Decimal = ZERO  # what opening it cost; negative when short (what opening it brought)
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
        """Return the gain, before fees, of closing the position at `mark`."""
        return self.quantity * mark - self.cost

    @exactly
    def value(self, mark: Decimal) -> Decimal:
        """Return the value of the position at `mark`; negative when short."""
        return self.quantity * mark

    @property
    @exactly
    def net_realised(self) -> Decimal:
        """Realised gain after fees and funding."""
        return self.realised - self.fees + self.funding


@exactly
def after_fill(position: BookedPosition, fill: Fill) -> BookedPosition:
    """Return the position after a fill."""
    signed, held, price = fill.signed_quantity, position.quantity, fill.price
    value = fill.quantity * price
    cost, realised = position.cost, position.realised
    if held * signed >= 0:
        cost += value if signed > 0 else -value
    else:
        most = abs(held)
        closing = min(fill.quantity, most)
        released = share(cost, closing, most)
        closed_value = closing * price if held > 0 else -closing * price
        cost += signed * price + closed_value - released
        realised += closed_value - released
    return BookedPosition(
        position.symbol,
        held + signed,
        cost,
        realised,
        position.fees + fill.fee,
        position.funding,
        position.volume + value,
    )


@exactly
def after_funding(position: BookedPosition, funding: FundingPayment) -> BookedPosition:
    """Return the position after a funding payment."""
    return replace(position, funding=position.funding + funding.amount)
