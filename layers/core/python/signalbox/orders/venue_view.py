"""The two sides of a reconciliation: an account as the ledger and as the venue have it. Venue adapters build the venue's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from signalbox.exact import ZERO
from signalbox.orders.events import Liquidity, OrderFilled
from signalbox.orders.order import Order
from signalbox.orders.terms import Side


class VenueStatus(StrEnum):
    """The status of an order at the venue."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order at the venue. `client_order_id` is None when Signalbox did not send it."""

    client_order_id: str | None
    venue_order_id: str
    symbol: str
    status: VenueStatus
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    detail: str = ""  # why it ended, in the venue's words
    side: Side | None = None  # None if the venue does not say; needed to know what a foreign order reserves


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """A trade in the venue's history of the account. `fee` is in quote currency."""

    trade_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    executed_at: datetime
    fee: Decimal = ZERO
    liquidity: Liquidity = Liquidity.UNKNOWN

    def as_fill(self, order: Order) -> OrderFilled:
        """Return this trade as a fill event of its order.

        It is not validated again, because the view was when it arrived (ViewedTrade).
        """
        return OrderFilled.trusted(**self._facts(order.client_order_id, order.terms.account))

    def fill_of(self, client_order_id: str, account: str) -> OrderFilled:
        """Return this trade as a fill event of the order with that id. Raises pydantic.ValidationError."""
        return OrderFilled(**self._facts(client_order_id, account))

    def _facts(self, client_order_id: str, account: str) -> dict[str, Any]:
        return {
            "client_order_id": client_order_id,
            "at": self.executed_at,
            "account": account,
            "symbol": self.symbol,
            "trade_id": self.trade_id,
            "quantity": self.quantity,
            "price": self.price,
            "fee": self.fee,
            "liquidity": self.liquidity,
        }


@dataclass(frozen=True, slots=True)
class VenueInstrument:
    """The venue's own limits on orders in one symbol, in base and quote currency."""

    symbol: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal | None = None  # None: the venue names no limit
    min_notional: Decimal = ZERO
    max_notional: Decimal | None = None
    can_open: bool = True  # False: the venue now accepts only reductions in this symbol, or nothing


@dataclass(frozen=True, slots=True)
class VenueTransfer:
    """A deposit (positive) or withdrawal (negative) in the venue's ledger, in the account's currency."""

    key: str  # the venue's own id
    at: datetime  # when the money arrived or left
    amount: Decimal


@dataclass(frozen=True, slots=True)
class VenueView:
    """One account at one time, as its venue shows it.

    orders: every open order, plus the answer for each order that the ledger asked about. trades: all since the request's
    `since`. positions: signed base quantity by symbol; a missing symbol has no position. instruments: of the requested symbols;
    empty if the venue reports none. transfers: since the request's `since`. forgets_unfilled: the venue no longer shows an
    order that ended without a fill, so a missing order may have ended; at other venues a missing order is lost. equity: the
    venue's own figure, None if it gives none. others: the part of `positions` that is not ours, where the venue can tell.
    """

    asked_at: datetime
    orders: tuple[VenueOrder, ...]
    trades: tuple[VenueTrade, ...]
    positions: Mapping[str, Decimal]
    instruments: tuple[VenueInstrument, ...] = ()
    transfers: tuple[VenueTransfer, ...] = ()
    forgets_unfilled: bool = False
    equity: Decimal | None = None
    others: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LocalView:
    """The ledger's side: open orders, and closed orders that trades in the view may belong to."""

    account: str
    orders: tuple[Order, ...]
    positions: Mapping[str, Decimal]
