"""The input of the pre-trade checks: a proposed order, and the venue's rules for its instrument.

All money is in the account's currency.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Final, NewType

from signalbox.exact import ONE, ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk.errors import RiskError
from signalbox.risk.numbers import exact, not_negative, positive

AccountId = NewType("AccountId", str)
GroupName = NewType("GroupName", str)  # a group of instruments whose prices fall together
_set: Final = object.__setattr__  # sets fields of a frozen object while it is built


@dataclass(frozen=True)
class ProposedOrder:
    """An order that is not approved yet. quantity: in base units. price: None for a market order.

    stop_price: the protective stop that will be placed behind the order; without one, the worst-case loss is the assumed worst
    move. is_stop: `price` is a trigger, after which the order trades at the market. is_exit: the order closes all that is left
    of one of our trades, however small; the venue decides whether that is enough. Raises RiskError unless all numbers are finite,
    positive and exact.
    """

    order_id: ClientOrderId
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    is_stop: bool = False
    is_exit: bool = False

    def __post_init__(self) -> None:
        if not self.order_id:
            raise RiskError("expected an order id, got an empty text")
        if self.is_stop and self.price is None:
            raise RiskError(f"order {self.order_id}: a stop order needs its trigger price")
        facts = self.__dict__  # the instance is frozen; only its construction writes here
        if not isinstance(self.side, Side):
            facts["side"] = Side(self.side)
        facts["quantity"] = positive(self.quantity, "order", self.order_id, "quantity")
        if self.price is not None:
            facts["price"] = positive(self.price, "order", self.order_id, "price")
        if self.stop_price is not None:
            facts["stop_price"] = positive(self.stop_price, "order", self.order_id, "stop_price")

    @classmethod
    def market(
        cls, order_id: ClientOrderId, symbol: Symbol, side: Side, quantity: Decimal, *, reduce_only: bool
    ) -> ProposedOrder:
        """Return a market order without a stop. Same result as `ProposedOrder(...)`, at a fraction of the cost."""
        if not order_id:
            raise RiskError("expected an order id, got an empty text")
        order = object.__new__(cls)
        facts = {
            "order_id": order_id,
            "symbol": symbol,
            "side": side,
            "quantity": positive(quantity, "order", order_id, "quantity"),
            "reduce_only": reduce_only,
        }
        _set(order, "__dict__", _MARKET | facts)
        return order


_MARKET: Final = {field.name: field.default for field in fields(ProposedOrder)}


@dataclass(frozen=True, slots=True)
class Instrument:
    """The venue's rules for one symbol. Raises RiskError if they contradict each other.

    margin_fraction: margin as a fraction of notional (1 = fully paid). fee_fraction: taker fee of one way, of notional.
    """

    symbol: Symbol
    group: GroupName
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    max_notional: Decimal
    margin_fraction: Decimal = field(default=ONE)
    fee_fraction: Decimal = field(default=ZERO)
    _text: str | None = field(default=None, init=False, repr=False, compare=False)  # cache of snapshot.canonical_text

    def __post_init__(self) -> None:
        name = f"instrument {self.symbol}"
        for key in ("tick", "step", "min_quantity", "max_quantity", "max_notional", "margin_fraction"):
            _set(self, key, positive(getattr(self, key), name, key))
        for key in ("min_notional", "fee_fraction"):
            _set(self, key, not_negative(getattr(self, key), name, key))
        if self.min_quantity > self.max_quantity or self.min_notional > self.max_notional:
            raise RiskError(f"{name}: the minimum of quantity or notional is above its maximum")
        if self.margin_fraction > ONE or self.fee_fraction >= ONE:
            raise RiskError(
                f"{name}: expected margin and fee as fractions of notional, got {self.margin_fraction}, {self.fee_fraction}"
            )


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that was sent and is not finished. remaining: the quantity that may still fill."""

    order: ProposedOrder
    remaining: Decimal

    def __post_init__(self) -> None:
        remaining = positive(self.remaining, "order", self.order.order_id, "remaining")
        if remaining > self.order.quantity:
            raise RiskError(f"order {self.order.order_id}: expected remaining <= {self.order.quantity}, got {remaining}")
        _set(self, "remaining", remaining)

    @classmethod
    def whole(cls, order: ProposedOrder) -> WorkingOrder:
        """Return an order that has not filled at all. Its quantity was checked when the order was built."""
        working = object.__new__(cls)
        _set(working, "order", order)
        _set(working, "remaining", order.quantity)
        return working


@dataclass(frozen=True, slots=True)
class Position:
    """The netted position of one symbol: signed base units (negative = short), average price, and its protection.

    A stop at `stop_price` closes `protected` of the quantity; the rest has no stop. Raises RiskError for a stop that closes
    nothing or more than the position, and for a protected quantity without a stop.
    """

    symbol: Symbol
    quantity: Decimal
    average_price: Decimal
    stop_price: Decimal | None = None
    protected: Decimal = ZERO

    def __post_init__(self) -> None:
        name = ("position", self.symbol)
        quantity = exact(self.quantity, *name, "quantity")
        if not quantity:
            raise RiskError(f"position {self.symbol}: expected a quantity other than 0")
        _set(self, "quantity", quantity)
        _set(self, "average_price", positive(self.average_price, *name, "average_price"))
        if self.stop_price is not None:
            _set(self, "stop_price", positive(self.stop_price, *name, "stop_price"))
        protected, most = not_negative(self.protected, *name, "protected"), quantity.copy_abs()
        if (self.stop_price is None) == bool(protected) or protected > most:
            raise RiskError(
                f"position {self.symbol}: expected a stop of 0 < quantity <= {most}, got {protected} at {self.stop_price}"
            )
        _set(self, "protected", protected)
