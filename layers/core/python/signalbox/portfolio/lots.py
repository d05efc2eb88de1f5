"""Tax lots of one symbol, kept beside the averaged position: what was opened when, and which lots a closing fill closes.

The standing order in force at the closing fill decides: FIFO, LIFO or HIFO. Before any standing order the method is FIFO, and
none applies to the past. Lots keep their own price, so price and quantity are never rounded. Only fees are split, in proportion
to quantity (18 decimals; the remainder keeps what rounding moved). Short positions have lots too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from signalbox.exact import ZERO, exactly, ratio, share
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.errors import StandingOrderError


class LotMethod(StrEnum):
    """Which lot is closed first. Equal lots are closed in the order in which they were opened."""

    FIFO = "FIFO"  # the oldest
    LIFO = "LIFO"  # the newest
    HIFO = "HIFO"  # the lot with the smallest gain: highest basis per unit if long, lowest proceeds per unit if short


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """An instruction given at `given_at` that applies to closes at or after `effective_from`."""

    method: LotMethod
    given_at: datetime
    effective_from: datetime

    def __post_init__(self) -> None:
        if self.effective_from < self.given_at:
            raise StandingOrderError(
                f"expected an effective_from at or after {self.given_at}, when the order was given, got {self.effective_from}"
            )


def method_at(orders: Sequence[StandingOrder], instant: datetime) -> LotMethod:
    """Return the method in force at an instant. Raises StandingOrderError unless the orders are sorted by effect."""
    if not orders:
        return LotMethod.FIFO
    dates = [order.effective_from for order in orders]
    if dates != sorted(set(dates)):
        raise StandingOrderError(f"expected standing orders sorted by effective_from, without duplicates, got {dates}")
    in_force = [order.method for order in orders if order.effective_from <= instant]
    return in_force[-1] if in_force else LotMethod.FIFO


@dataclass(frozen=True, slots=True)
class Lot:
    """The part of one opening fill that is still open."""

    lot_id: str  # entry_id of the fill
    symbol: str
    opened_at: datetime
    quantity: Decimal  # base currency; negative when short
    price: Decimal
    fee: Decimal  # opening fee of the part that is still open

    @property
    @exactly
    def cost(self) -> Decimal:
        """Quantity times price: the cost of opening the lot; negative for a short lot, whose opening brought in cash."""
        return self.quantity * self.price

    @property
    @exactly
    def unit_cost(self) -> Decimal:
        """Cost per unit including the fee, to 18 decimals: basis of a long lot, proceeds of a short one. HIFO sorts by it."""
        return ratio(self.quantity * self.price + self.fee, self.quantity, 18)


@dataclass(frozen=True, slots=True)
class Disposal:
    """A lot, or part of one, that a fill closed. Values and fees are of this part alone."""

    lot_id: str
    fill_id: str  # entry_id of the closing fill
    symbol: str
    opened_at: datetime
    closed_at: datetime
    quantity: Decimal  # base currency; negative when the lot was short
    open_price: Decimal
    close_price: Decimal
    open_fee: Decimal
    close_fee: Decimal
    method: LotMethod

    @property
    @exactly
    def realised(self) -> Decimal:
        """The gain before fees."""
        return self.quantity * (self.close_price - self.open_price)

    @property
    @exactly
    def gain(self) -> Decimal:
        """The gain after the fees of opening and closing."""
        return self.quantity * (self.close_price - self.open_price) - self.open_fee - self.close_fee


_RANKS: Final[Mapping[LotMethod, Callable[[int, Lot], tuple[Decimal, int]]]] = MappingProxyType(
    {
        LotMethod.LIFO: lambda index, _: (ZERO, -index),
        LotMethod.HIFO: lambda index, lot: (-lot.unit_cost if lot.quantity > 0 else lot.unit_cost, index),
    }
)


@exactly
def lots_after(lots: tuple[Lot, ...], fill: Fill, method: LotMethod) -> tuple[tuple[Lot, ...], tuple[Disposal, ...]]:
    """Return the open lots after a fill, in order of opening, and the lots it closed, in order of closing."""
    signed = fill.signed_quantity
    if not lots or lots[0].quantity * signed > 0:
        return (*lots, _opened(fill, signed, fill.fee)), ()
    left, fee_left = fill.quantity, fill.fee
    open_lots = dict(enumerate(lots))
    disposals: list[Disposal] = []
    turns = range(len(lots))
    for index in turns if method is LotMethod.FIFO else sorted(turns, key=lambda i: _RANKS[method](i, lots[i])):
        if not left:
            break
        lot = open_lots[index]
        closing = min(left, abs(lot.quantity))
        fee = share(fee_left, closing, left)
        disposal, rest = _split(lot, closing, fill, fee, method)
        disposals.append(disposal)
        if rest is None:
            del open_lots[index]
        else:
            open_lots[index] = rest
        left, fee_left = left - closing, fee_left - fee
    kept = tuple(open_lots.values())
    if left:
        kept = (_opened(fill, left if signed > 0 else -left, fee_left),)
    return kept, tuple(disposals)


def _opened(fill: Fill, quantity: Decimal, fee: Decimal) -> Lot:
    return Lot(fill.entry_id, fill.symbol, fill.at, quantity, fill.price, fee)


def _split(lot: Lot, closing: Decimal, fill: Fill, close_fee: Decimal, method: LotMethod) -> tuple[Disposal, Lot | None]:
    open_fee = share(lot.fee, closing, abs(lot.quantity))
    part = closing if lot.quantity > 0 else -closing
    disposal = Disposal(
        lot_id=lot.lot_id,
        fill_id=fill.entry_id,
        symbol=lot.symbol,
        opened_at=lot.opened_at,
        closed_at=fill.at,
        quantity=part,
        open_price=lot.price,
        close_price=fill.price,
        open_fee=open_fee,
        close_fee=close_fee,
        method=method,
    )
    rest = lot.quantity - part
    return disposal, replace(lot, quantity=rest, fee=lot.fee - open_fee) if rest else None
