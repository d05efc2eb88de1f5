"""Events of an account: frozen facts in time order, with exact numbers. An impossible value is refused at construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NewType, TypeAlias

from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk.errors import FtmoEventError
from signalbox.risk.numbers import aware, exact, not_negative, positive

PositionId = NewType("PositionId", str)


@dataclass(frozen=True, slots=True)
class Opened:
    """A position was opened. The commission (0 or more) is deducted from the balance at once."""

    time: datetime
    position: PositionId
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", aware(self.time, "time"))
        object.__setattr__(self, "quantity", positive(self.quantity, "quantity"))
        object.__setattr__(self, "price", positive(self.price, "price"))
        object.__setattr__(self, "commission", not_negative(self.commission, "commission"))


@dataclass(frozen=True, slots=True)
class Closed:
    """A position was closed completely. Its profit, its swaps and this commission reach the balance now."""

    time: datetime
    position: PositionId
    price: Decimal
    commission: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", aware(self.time, "time"))
        object.__setattr__(self, "price", positive(self.price, "price"))
        object.__setattr__(self, "commission", not_negative(self.commission, "commission"))


@dataclass(frozen=True, slots=True)
class Marked:
    """Prices of one instant. The rules are checked once, after all of them, so their order has no effect."""

    time: datetime
    prices: Mapping[Symbol, Decimal]

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", aware(self.time, "time"))
        if not self.prices:
            raise FtmoEventError("a Marked event needs at least one price")
        object.__setattr__(self, "prices", MappingProxyType({s: positive(p, "price") for s, p in self.prices.items()}))


@dataclass(frozen=True, slots=True)
class Swapped:
    """A swap was booked on an open position: a negative amount costs, a positive one earns.

    It counts in equity at once, and in the balance when the position closes.
    """

    time: datetime
    position: PositionId
    amount: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", aware(self.time, "time"))
        object.__setattr__(self, "amount", exact(self.amount, "amount"))


FtmoEvent: TypeAlias = Opened | Closed | Marked | Swapped
