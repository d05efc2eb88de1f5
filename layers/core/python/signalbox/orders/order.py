"""An order as its events made it. Immutable: signalbox.orders.apply makes the next one."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from signalbox.exact import ZERO, exactly, ratio
from signalbox.orders.events import OrderFilled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import OrderTerms
from signalbox.orders.transitions import OrderState

PRICE_PLACES: Final = 12  # of an average price that is shown; nothing is booked with it


@dataclass(frozen=True, slots=True)
class PendingCancel:
    """A cancel on its way."""

    request_id: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """A replace on its way, with every value it would leave: the new total quantity and prices."""

    request_id: str
    requested_at: datetime
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None


@dataclass(frozen=True)  # without slots: `after` copies one dictionary and not twenty fields
class Order:
    """Terms as decided, and what its events changed since. `quantity` and prices are the current ones."""

    terms: OrderTerms
    client_order_id: ClientOrderId
    state: OrderState
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    trades: tuple[OrderFilled, ...] = ()  # in order of arrival
    filled: Decimal = ZERO  # base currency
    filled_value: Decimal = ZERO  # quote currency: the sum of quantity times price, exact
    fees: Decimal = ZERO  # quote currency
    venue_order_id: str | None = None
    submitted_at: datetime | None = None
    accepted_at: datetime | None = None
    unconfirmed_since: datetime | None = None  # an attempt without an answer, until the next answer
    closed_at: datetime | None = None
    pending_cancel: PendingCancel | None = None
    pending_update: PendingUpdate | None = None
    given_up: tuple[PendingUpdate, ...] = ()  # updates that a view did not show; they may reach the venue later
    cancels: int = 0  # how often a cancel was asked for
    cancel_asked_at: datetime | None = None  # the newest of them
    reason: str | None = None  # why it was denied, rejected, cancelled or expired
    detail: str = ""  # the same in the venue's own words
    seen: frozenset[str] = frozenset()  # event ids, so that a second delivery changes nothing

    def after(self, facts: dict[str, Any]) -> Order:
        """Return the order with these fields changed: `dataclasses.replace`, at a fifth of its cost."""
        changed = object.__new__(Order)
        _set(changed, "__dict__", self.__dict__ | facts)
        return changed

    @classmethod
    def begun(cls, terms: OrderTerms, key: ClientOrderId, event_id: str) -> Order:
        """Return an order of which nothing is known but its terms: `Order(...)`, at a fifth of its cost."""
        order = object.__new__(cls)
        facts = {
            "terms": terms,
            "client_order_id": key,
            "state": OrderState.INITIALIZED,
            "quantity": terms.quantity,
            "limit_price": terms.limit_price,
            "stop_price": terms.stop_price,
        }
        _set(order, "__dict__", facts | _NOTHING_YET)
        order.__dict__["seen"] = frozenset((event_id,))
        return order

    @property
    def fillable(self) -> Decimal:
        """The most the venue may fill: the larger quantity while an update is on its way, for either may be in force."""
        return self.quantity if self.pending_update is None else max(self.quantity, self.pending_update.quantity)

    @property
    def overfilled(self) -> Decimal:
        """How much more the venue filled than any quantity that may be in force there, base currency; 0 as a rule."""
        if self.filled <= self.quantity:
            return ZERO
        most = max(self.fillable, *(update.quantity for update in self.given_up)) if self.given_up else self.fillable
        return max(_minus(self.filled, most), ZERO)

    @property
    def leaves(self) -> Decimal:
        """What is still to fill of the current quantity; never negative."""
        return max(_minus(self.quantity, self.filled), ZERO)

    @property
    def average_price(self) -> Decimal | None:
        """Average fill price to 12 decimals, to show; None before the first fill."""
        return ratio(self.filled_value, self.filled, PRICE_PLACES) if self.filled else None

    @property
    def is_ambiguous(self) -> bool:
        """Whether something was sent and nobody knows what became of it."""
        return self.unconfirmed_since is not None and not self.state.is_closed


_set: Final = object.__setattr__
_NOTHING_YET: Final = {field.name: field.default for field in fields(Order) if field.default is not MISSING}


@exactly
def _minus(one: Decimal, other: Decimal) -> Decimal:
    return one - other


def derive_state(order: Order) -> OrderState:
    """Return the state of an open order as its facts imply it, whatever its `state` says."""
    if order.filled >= order.fillable:
        return OrderState.FILLED
    if order.pending_cancel is not None:
        return OrderState.PENDING_CANCEL
    if order.pending_update is not None:
        return OrderState.PENDING_UPDATE
    if order.filled:
        return OrderState.PARTIALLY_FILLED
    if order.accepted_at is not None:
        return OrderState.ACCEPTED
    return OrderState.RELEASED if order.submitted_at is None else OrderState.SUBMITTED
