"""Bus messages between the ledger and the venues: requests to act or to report a view, and the reports that answer them.

The ledger sends ExecutionRequested and VenueViewRequested. The execution function or an agent answers with ExecutionReported
and VenueViewReported. A report carries order events as they are recorded (orders/events.py), so applying it twice is harmless.
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
    """An instruction to a venue: submit, cancel or replace an order."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    REPLACE = "REPLACE"


class ExecutionRequested(BusEvent):
    """One instruction for a venue that passed the pre-trade checks. A cancel or replace has a `request_id`; a submit has none.

    `terms.send_before` limits a submit: at or after it nothing is sent, and OrderExpired is reported instead.
    """

    type: ClassVar[EventType] = EventType.EXECUTION_REQUESTED
    account: AccountName
    venue: Text
    instruction: OrderInstruction
    client_order_id: OrderKey
    terms: OrderTerms
    at: AwareDatetime
    snapshot_id: Text | None = None  # of the risk snapshot that approved the order; reductions by the kill switch have one too
    venue_order_id: Text | None = None
    request_id: Text | None = None
    quantity: PositiveAmount | None = None  # REPLACE: the new total
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None
    entry: OrderKey | None = None  # for an exit: the entry order of the trade whose position it closes
    stop_loss: PositiveAmount | None = None  # for an entry, at venues that attach stop and target to the position
    take_profit: PositiveAmount | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.request_id is None) != (self.instruction is OrderInstruction.SUBMIT):
            raise ValueError(f"expected a request_id with CANCEL and REPLACE only, got {self.instruction} {self.request_id}")
        if self.client_order_id != self.terms.client_order_id:
            raise ValueError(f"expected id {self.terms.client_order_id} for these terms, got {self.client_order_id}")
        if self.account != self.terms.account:
            raise ValueError(f"expected terms of account {self.account}, got {self.terms.account}")
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
    """Reports the events of one order, at a venue or on the way there, oldest first."""

    type: ClassVar[EventType] = EventType.EXECUTION_REPORTED
    account: AccountName
    client_order_id: OrderKey
    reported_at: AwareDatetime
    events: Annotated[tuple[AnyOrderEvent, ...], Field(min_length=1)]
    decided_at: AwareDatetime | None = None  # of the order's terms, for logs only; an agent's report has none

    @model_validator(mode="after")
    def _of_one_order(self) -> Self:
        """Refuse events of another order or account, so that a reporter of one account cannot write into another."""
        for event in self.events:
            account = event.account if isinstance(event, OrderFilled) else self.account
            if (event.client_order_id, account) != (self.client_order_id, self.account):
                was = f"{event.kind} of {event.client_order_id} of {account}"
                raise ValueError(f"expected events of {self.client_order_id} of {self.account}, got {was}")
        return self

    @made_once
    @override
    def event_id(self) -> str:
        facts = hashlib.sha256("\n".join(event.event_id for event in self.events).encode()).hexdigest()[:24]
        return f"{self.type}:{self.client_order_id}:{facts}"


class RestingExit(FrozenModel):
    """An open order that rests to close a trade. Venues that keep stop and target on the position find it by these fields."""

    client_order_id: OrderKey
    entry: OrderKey
    symbol: Text
    quantity: PositiveAmount
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None

    @classmethod
    def of(cls, order: Order) -> Self:
        """Return a reduce-only order as a resting exit."""
        return cls(
            client_order_id=order.client_order_id,
            entry=order.terms.entry_id,
            symbol=order.terms.symbol,
            quantity=order.quantity,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
        )


class VenueViewRequested(BusEvent):
    """The ledger asks for a view of an account: open orders, these orders, the trades since `since`, the positions."""

    type: ClassVar[EventType] = EventType.VENUE_VIEW_REQUESTED
    account: AccountName
    venue: Text
    at: AwareDatetime
    since: AwareDatetime
    orders: tuple[OrderKey, ...]
    symbols: tuple[str, ...]
    exits: tuple[RestingExit, ...] = ()  # those of `orders` that rest to close a trade
    not_before: AwareDatetime | None = None  # wait until then, so that current activity has settled; None: do not wait

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.account}:{self.at.isoformat()}"


class ViewedOrder(FrozenModel):
    """`orders.venue_view.VenueOrder` as a message."""

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
        """Return the message of an order. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(order, name) for name in cls.model_fields})

    def as_order(self) -> VenueOrder:
        """Return the order."""
        return VenueOrder(**self.__dict__)


class ViewedTrade(FrozenModel):
    """`orders.venue_view.VenueTrade` as a message."""

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
        """Return the message of a trade. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(trade, name) for name in cls.model_fields})

    def as_trade(self) -> VenueTrade:
        """Return the trade."""
        return VenueTrade(**self.__dict__)


class ViewedInstrument(FrozenModel):
    """`orders.venue_view.VenueInstrument` as a message."""

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
        """Return the message of an instrument. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(instrument, name) for name in cls.model_fields})

    def as_instrument(self) -> VenueInstrument:
        """Return the instrument."""
        return VenueInstrument(**self.__dict__)


class ViewedTransfer(FrozenModel):
    """`orders.venue_view.VenueTransfer` as a message."""

    key: Text
    at: AwareDatetime
    amount: Amount

    @classmethod
    def of(cls, transfer: VenueTransfer) -> Self:
        """Return the message of a transfer. Raises pydantic.ValidationError."""
        return cls(**{name: getattr(transfer, name) for name in cls.model_fields})

    def as_transfer(self) -> VenueTransfer:
        """Return the transfer."""
        return VenueTransfer(**self.__dict__)


class VenueViewReported(BusEvent):
    """A venue's view of an account at one time: `orders.venue_view.VenueView` as a message.

    A large view travels in parts (orders/parts.py). `view` is then the digest of the whole view, which joins the parts.
    """

    type: ClassVar[EventType] = EventType.VENUE_VIEW_REPORTED
    account: AccountName
    requested_at: AwareDatetime
    asked_at: AwareDatetime
    orders: tuple[ViewedOrder, ...]
    trades: tuple[ViewedTrade, ...]
    positions: dict[str, Amount]
    others: dict[str, Amount] = Field(default_factory=dict)  # the part of `positions` that is not ours, where the venue can tell
    instruments: tuple[ViewedInstrument, ...] = ()  # empty: the venue reported none
    transfers: tuple[ViewedTransfer, ...] = ()  # since `since` of the request
    forgets_unfilled: bool = False  # True: the venue no longer shows an order that ended without a fill
    equity: Amount | None = None  # the venue's own figure, if any: shown beside ours, never booked
    part: Annotated[int, Field(ge=1)] = 1
    parts: Annotated[int, Field(ge=1, le=9999)] = 1
    view: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if self.part > self.parts or (self.view is None) != (self.parts == 1):
            was = f"{self.part}/{self.parts} of {self.view}"
            raise ValueError(f"expected part 1 of 1 without a view id, or part N of M with one, got {was}")
        return self

    def dated_by(self, sent_at: datetime) -> Self:
        """Return the view with its own time and those of its trades and transfers cut to `sent_at` at the latest."""
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
