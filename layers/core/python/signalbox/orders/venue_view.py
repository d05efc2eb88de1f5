"""What both sides say when they are compared: the ledger's view of an account and the venue's. Filled in by adapters."""

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
    """An order as a venue shows it."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order at the venue; `client_order_id` is None when it was not sent by us."""

    client_order_id: str | None
    venue_order_id: str
    symbol: str
    status: VenueStatus
    quantity: Decimal
    filled: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    detail: str = ""  # why it ended, in the venue's own words
    side: Side | None = None  # where the venue gives it: how much a foreign order holds depends on it


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """A trade of the account in the venue's history; `fee` in quote currency."""

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
        """Return the event this trade of a view is for its order. The view was checked when it came (ViewedTrade)."""
        return OrderFilled.trusted(**self._facts(order.client_order_id, order.terms.account))

    def fill_of(self, client_order_id: str, account: str) -> OrderFilled:
        """Return the event this trade is for the order of that id. Raises pydantic.ValidationError."""
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
    """The venue's own rules for one symbol, in base and quote currency: what an order of it may look like there."""

    symbol: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal | None = None  # None: the venue names no limit
    min_notional: Decimal = ZERO
    max_notional: Decimal | None = None
    can_open: bool = True  # False: the venue takes reductions only, or nothing, in this symbol now


@dataclass(frozen=True, slots=True)
class VenueTransfer:
    """Money that the venue's ledger shows as deposited (above zero) or withdrawn, in the account's currency."""

    key: str  # the venue's own id of it
    at: datetime  # when it was there, or gone
    amount: Decimal


@dataclass(frozen=True, slots=True)
class VenueView:
    """The venue's answer for one account, all asked at one time.

    orders: every open order, and the answer for every open order of the ledger. trades: all since the request's `since`.
    positions: signed base quantity by symbol; absent means none. instruments: of the request's symbols; empty: the venue did
    not say. transfers: since the request's `since`. forgets_unfilled: an order that ended without a fill is not shown any
    more, so that its absence may be its end; a venue that forgets nothing shows an absent order as lost. equity: the venue's
    own, None where it does not say. others: of the positions, what others than us hold, where the venue can tell.
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
    """The ledger's side: open orders, and the closed ones that trades of the venue's answer may still belong to."""

    account: str
    orders: tuple[Order, ...]
    positions: Mapping[str, Decimal]
