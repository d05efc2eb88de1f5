"""What the ledger and the venues tell each other over the bus: do this, this happened, what do you have, this is what I have.

The ledger asks with ExecutionRequested and VenueViewRequested; the edge answers with ExecutionReported and VenueViewReported.
An answer carries order events as they are recorded (orders/events.py), so that applying it twice changes nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import AwareDatetime, Field, model_validator
from typing_extensions import override

from signalbox.contracts import EventType
from signalbox.events import BusEvent
from signalbox.exact import ZERO, Amount, NotNegativeAmount, PositiveAmount
from signalbox.frozen import FrozenModel, made_once
from signalbox.orders.events import Detail, Liquidity, OrderEvent, OrderFilled, OrderKey, Text
from signalbox.orders.order import Order
from signalbox.orders.terms import OrderTerms, Side
from signalbox.orders.venue_view import (
    VenueInstrument,
    VenueOrder,
    VenueStatus,
    VenueTrade,
    VenueTransfer,
    VenueView,
)

AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
AnyOrderEvent = Annotated[OrderEvent, Field(discriminator="kind")]


class OrderInstruction(StrEnum):
    """What a venue is asked to do."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    REPLACE = "REPLACE"


class ExecutionRequested(BusEvent):
    """One instruction for a venue, released by the interlocking. `request_id` names a cancel or replace; a submit has none.

    `terms.send_before` bounds a submit: the edge never sends at or after it, and reports OrderExpired instead.
    """

    type: ClassVar[EventType] = EventType.EXECUTION_REQUESTED
    account: AccountName
    venue: Text
    instruction: OrderInstruction
    client_order_id: OrderKey
    terms: OrderTerms
    at: AwareDatetime
    snapshot_id: Text | None = None  # of the risk snapshot it was approved on; reductions by the kill switch have one too
    venue_order_id: Text | None = None
    request_id: Text | None = None
    quantity: PositiveAmount | None = None  # REPLACE: the new total
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None
    entry: OrderKey | None = None  # an exit's: the entry order of the trade whose position it closes
    stop_loss: PositiveAmount | None = None  # an entry's: for venues where stop and target travel with the position
    take_profit: PositiveAmount | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.request_id is None) != (self.instruction is OrderInstruction.SUBMIT):
            raise ValueError(f"expected a request_id with CANCEL and REPLACE alone, was {self.instruction} {self.request_id}")
        if self.client_order_id != self.terms.client_order_id:
            raise ValueError(f"expected the id {self.terms.client_order_id} of these terms, was {self.client_order_id}")
        if self.account != self.terms.account:
            raise ValueError(f"expected terms of account {self.account}, was {self.terms.account}")
        return self

    @property
    @override
    def caused_at(self) -> datetime:
        return self.terms.decided_at

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.client_order_id}:{self.instruction}:{self.request_id or 'submit'}"


class ExecutionReported(BusEvent):
    """What a venue, or the way to it, did to one order, oldest first."""

    type: ClassVar[EventType] = EventType.EXECUTION_REPORTED
    account: AccountName
    client_order_id: OrderKey
    reported_at: AwareDatetime
    events: Annotated[tuple[AnyOrderEvent, ...], Field(min_length=1)]
    decided_at: AwareDatetime | None = None  # of the order's terms, for the logs alone; an agent's report has none

    @model_validator(mode="after")
    def _of_one_order(self) -> Self:
        """Refuse what names two orders or two accounts: who may report the one could write into the other."""
        for event in self.events:
            account = event.account if isinstance(event, OrderFilled) else self.account
            if (event.client_order_id, account) != (self.client_order_id, self.account):
                was = f"{event.kind} of {event.client_order_id} of {account}"
                raise ValueError(f"expected events of {self.client_order_id} of {self.account}, was {was}")
        return self

    @made_once
    @override
    def event_id(self) -> str:
        facts = hashlib.sha256("\n".join(event.event_id for event in self.events).encode()).hexdigest()[:24]
        return f"{self.type}:{self.client_order_id}:{facts}"


class RestingExit(FrozenModel):
    """An open order that rests to leave a trade: where stop and target are levels of a position, it is found by these."""

    client_order_id: OrderKey
    entry: OrderKey
    symbol: Text
    quantity: PositiveAmount
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None

    @classmethod
    def of(cls, order: Order) -> Self:
        """Return how an order that reduces rests."""
        return cls(
            client_order_id=order.client_order_id,
            entry=order.terms.entry_id,
            symbol=order.terms.symbol,
            quantity=order.quantity,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
        )


class VenueViewRequested(BusEvent):
    """The ledger wants to compare an account: open orders, these orders, the trades since `since`, the positions."""

    type: ClassVar[EventType] = EventType.VENUE_VIEW_REQUESTED
    account: AccountName
    venue: Text
    at: AwareDatetime
    since: AwareDatetime
    orders: tuple[OrderKey, ...]
    symbols: tuple[str, ...]
    exits: tuple[RestingExit, ...] = ()  # of the orders, those that rest to leave a trade
    not_before: AwareDatetime | None = None  # the edge waits until then: what moves now has settled by that time

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.at.isoformat()}"


class ViewedOrder(FrozenModel):
    """`orders.venue_view.VenueOrder` on the wire."""

    client_order_id: OrderKey | None
    venue_order_id: Text
    symbol: Text
    status: VenueStatus
    quantity: PositiveAmount
    filled: NotNegativeAmount
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None
    detail: Detail = ""
    side: Side | None = None

    @classmethod
    def of(cls, order: VenueOrder) -> Self:
        """Return an order as it travels. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(order, name) for name in cls.model_fields})

    def as_order(self) -> VenueOrder:
        """Return the order."""
        return VenueOrder(**self.__dict__)


class ViewedTrade(FrozenModel):
    """`orders.venue_view.VenueTrade` on the wire."""

    trade_id: Text
    client_order_id: OrderKey | None
    symbol: Text
    side: Side
    quantity: PositiveAmount
    price: PositiveAmount
    executed_at: AwareDatetime
    fee: Amount = ZERO
    liquidity: Liquidity = Liquidity.UNKNOWN

    @classmethod
    def of(cls, trade: VenueTrade) -> Self:
        """Return a trade as it travels. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(trade, name) for name in cls.model_fields})

    def as_trade(self) -> VenueTrade:
        """Return the trade."""
        return VenueTrade(**self.__dict__)


class ViewedInstrument(FrozenModel):
    """`orders.venue_view.VenueInstrument` on the wire."""

    symbol: Text
    tick: PositiveAmount
    step: PositiveAmount
    min_quantity: PositiveAmount
    max_quantity: PositiveAmount | None = None  # None: the venue names no limit
    min_notional: NotNegativeAmount = ZERO
    max_notional: PositiveAmount | None = None
    can_open: bool = True

    @classmethod
    def of(cls, instrument: VenueInstrument) -> Self:
        """Return an instrument as it travels. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(instrument, name) for name in cls.model_fields})

    def as_instrument(self) -> VenueInstrument:
        """Return the instrument."""
        return VenueInstrument(**self.__dict__)


class ViewedTransfer(FrozenModel):
    """`orders.venue_view.VenueTransfer` on the wire."""

    key: Text
    at: AwareDatetime
    amount: Amount

    @classmethod
    def of(cls, transfer: VenueTransfer) -> Self:
        """Return a transfer as it travels. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(transfer, name) for name in cls.model_fields})

    def as_transfer(self) -> VenueTransfer:
        """Return the transfer."""
        return VenueTransfer(**self.__dict__)


class VenueViewReported(BusEvent):
    """What a venue has of an account, all asked at one time; `orders.venue_view.VenueView` on the wire.

    A large one travels in parts (orders/parts.py): `view` is then the digest of the whole, by which they are put together.
    """

    type: ClassVar[EventType] = EventType.VENUE_VIEW_REPORTED
    account: AccountName
    requested_at: AwareDatetime
    asked_at: AwareDatetime
    orders: tuple[ViewedOrder, ...]
    trades: tuple[ViewedTrade, ...]
    positions: dict[str, Amount]
    others: dict[str, Amount] = Field(default_factory=dict)  # of the positions, what is not ours, where the venue can tell
    instruments: tuple[ViewedInstrument, ...] = ()  # empty: the venue did not say
    transfers: tuple[ViewedTransfer, ...] = ()  # since `since` of the request
    forgets_unfilled: bool = False  # an order that ended without a fill is not shown any more
    equity: Amount | None = None  # of the venue, where it says so: for a look beside ours, never booked
    part: Annotated[int, Field(ge=1)] = 1
    parts: Annotated[int, Field(ge=1, le=9999)] = 1
    view: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if self.part > self.parts or (self.view is None) != (self.parts == 1):
            was = f"{self.part}/{self.parts} of {self.view}"
            raise ValueError(f"expected part 1 of 1, or a part of several with their view, was {was}")
        return self

    def dated_by(self, sent_at: datetime) -> Self:
        """Return the view with no instant after `sent_at`: its own, and those of its trades and transfers."""
        trades = tuple(
            one if one.executed_at <= sent_at else one.model_copy(update={"executed_at": sent_at}) for one in self.trades
        )
        transfers = tuple(one if one.at <= sent_at else one.model_copy(update={"at": sent_at}) for one in self.transfers)
        asked_at = min(self.asked_at, sent_at)
        return self.model_copy(update={"asked_at": asked_at, "trades": trades, "transfers": transfers})

    def as_view(self) -> VenueView:
        """Return the view."""
        return VenueView(
            asked_at=self.asked_at,
            orders=tuple(order.as_order() for order in self.orders),
            trades=tuple(trade.as_trade() for trade in self.trades),
            positions=self.positions,
            instruments=tuple(one.as_instrument() for one in self.instruments),
            transfers=tuple(one.as_transfer() for one in self.transfers),
            forgets_unfilled=self.forgets_unfilled,
            equity=self.equity,
            others=self.others,
        )

    @made_once
    @override
    def event_id(self) -> str:
        whole = f"{self.type}:{self.account}:{self.requested_at.isoformat()}:{self.asked_at.isoformat()}"
        return whole if self.view is None else f"{whole}:{self.view}:{self.part}/{self.parts}"
