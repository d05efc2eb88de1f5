"""Events of an order: frozen, in the past tense, each with one natural key. The order_events table stores them.

An `event_id` is derived from the facts and not from the time of arrival, so a second delivery has the same id. Reasons are
codes of the sender. Instants come from whoever reports: from the venue where the venue gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter
from typing_extensions import override

from signalbox.exact import ZERO, Amount, PositiveAmount
from signalbox.frozen import FrozenModel, instant_text, made_once, quoted
from signalbox.orders.identity import CLIENT_ORDER_ID_LENGTH
from signalbox.orders.terms import OrderTerms
from signalbox.wire import cut

OrderKey = Annotated[str, Field(min_length=CLIENT_ORDER_ID_LENGTH, max_length=CLIENT_ORDER_ID_LENGTH)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Detail = Annotated[str, Field(max_length=500), cut(500)]  # in the venue's words; not part of an event's identity


RECONCILED = "RECONCILED"  # reason of an event recorded by a comparison with the venue, not by an answer of the venue


class Liquidity(StrEnum):
    """Whether a fill added liquidity (maker) or took it (taker); UNKNOWN when the venue does not say."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    UNKNOWN = "UNKNOWN"


class _OrderEvent(FrozenModel):
    kind: str
    client_order_id: OrderKey
    at: AwareDatetime
    _named_by: ClassVar[str] = ""

    @made_once
    def event_id(self) -> str:
        """The natural key: the kind and the order. If the event can happen more than once, the field in `_named_by` is added."""
        key = f"{self.kind}:{self.client_order_id}"
        return f"{key}:{getattr(self, self._named_by)}" if self._named_by else key

    def to_text(self) -> str:
        """Return the JSON text to store, as `model_dump_json` would. Common events are written out by hand, which is faster."""
        return self.__pydantic_serializer__.to_json(self).decode()

    def _begun(self) -> str:
        return f'{{"kind":"{self.kind}","client_order_id":{quoted(self.client_order_id)},"at":"{instant_text(self.at)}"'


class _FactOfItself(_OrderEvent):
    """An event without fields of its own."""

    @override
    def to_text(self) -> str:
        return self._begun() + "}"


class OrderInitialized(_OrderEvent):
    """The order was decided and recorded; the pre-trade checks have not run yet."""

    kind: Literal["OrderInitialized"] = "OrderInitialized"
    terms: OrderTerms

    @override
    def to_text(self) -> str:
        return f'{self._begun()},"terms":{self.terms.text}}}'


class OrderDenied(_OrderEvent):
    """The pre-trade checks refused the order; it was not sent."""

    kind: Literal["OrderDenied"] = "OrderDenied"
    reason: Text


class OrderReleased(_FactOfItself):
    """The pre-trade checks approved the order, and it was put into the execution queue."""

    kind: Literal["OrderReleased"] = "OrderReleased"


class OrderSubmitted(_FactOfItself):
    """Sending began; from now on the venue may have the order."""

    kind: Literal["OrderSubmitted"] = "OrderSubmitted"


class OrderUnconfirmed(_OrderEvent):
    """A send, cancel or update got no answer. Unknown is not failed: it stays pending until the venue is asked."""

    kind: Literal["OrderUnconfirmed"] = "OrderUnconfirmed"
    _named_by: ClassVar = "attempt"
    attempt: Text  # what got no answer: "submit", or the request_id of a cancel or update
    detail: Detail = ""


class OrderLost(_FactOfItself):
    """The venue was asked after the settling time and does not know the order."""

    kind: Literal["OrderLost"] = "OrderLost"


class OrderAccepted(_OrderEvent):
    """The venue accepted the order."""

    kind: Literal["OrderAccepted"] = "OrderAccepted"
    _named_by: ClassVar = "venue_order_id"
    venue_order_id: Text

    @override
    def to_text(self) -> str:
        return f'{self._begun()},"venue_order_id":{quoted(self.venue_order_id)}}}'


class OrderRejected(_OrderEvent):
    """The venue refused the order."""

    kind: Literal["OrderRejected"] = "OrderRejected"
    reason: Text
    detail: Detail = ""


class OrderFilled(_OrderEvent):
    """One trade at the venue. `fee` is in quote currency, positive when paid, negative for a rebate."""

    kind: Literal["OrderFilled"] = "OrderFilled"
    account: Text
    symbol: Text
    trade_id: Text
    quantity: PositiveAmount
    price: PositiveAmount
    fee: Amount = ZERO
    liquidity: Liquidity = Liquidity.UNKNOWN

    @made_once
    @override
    def event_id(self) -> str:
        return f"{self.kind}:{self.account}:{self.symbol}:{self.trade_id}"

    @override
    def to_text(self) -> str:
        named = f'"account":{quoted(self.account)},"symbol":{quoted(self.symbol)},"trade_id":{quoted(self.trade_id)}'
        amounts = f'"quantity":"{self.quantity!s}","price":"{self.price!s}","fee":"{self.fee!s}"'
        return f'{self._begun()},{named},{amounts},"liquidity":"{self.liquidity}"}}'


class OrderCancelRequested(_OrderEvent):
    """The venue was asked to cancel; `request_id` identifies the command."""

    kind: Literal["OrderCancelRequested"] = "OrderCancelRequested"
    _named_by: ClassVar = "request_id"
    request_id: Text


class OrderCancelRejected(_OrderEvent):
    """The venue refused the cancel."""

    kind: Literal["OrderCancelRejected"] = "OrderCancelRejected"
    _named_by: ClassVar = "request_id"
    request_id: Text
    reason: Text
    detail: Detail = ""


class OrderCanceled(_OrderEvent):
    """The venue ended the order, whether or not we asked for a cancel."""

    kind: Literal["OrderCanceled"] = "OrderCanceled"
    reason: Text
    detail: Detail = ""


class OrderExpired(_OrderEvent):
    """The order's time ran out: at the venue, or in our queue before it was sent."""

    kind: Literal["OrderExpired"] = "OrderExpired"
    reason: Text
    detail: Detail = ""


class OrderUpdateRequested(_OrderEvent):
    """The venue was asked to replace quantity or prices; None keeps a value. `quantity` is the new total."""

    kind: Literal["OrderUpdateRequested"] = "OrderUpdateRequested"
    _named_by: ClassVar = "request_id"
    request_id: Text
    quantity: PositiveAmount | None = None
    limit_price: PositiveAmount | None = None
    stop_price: PositiveAmount | None = None


class OrderUpdated(_OrderEvent):
    """The venue replaced the order as requested. Venues that cancel and re-enter give it a new `venue_order_id`."""

    kind: Literal["OrderUpdated"] = "OrderUpdated"
    _named_by: ClassVar = "request_id"
    request_id: Text
    venue_order_id: Text | None = None


class OrderUpdateRejected(_OrderEvent):
    """The venue refused the update and kept the order unchanged."""

    kind: Literal["OrderUpdateRejected"] = "OrderUpdateRejected"
    _named_by: ClassVar = "request_id"
    request_id: Text
    reason: Text
    detail: Detail = ""


OrderEvent: TypeAlias = (
    OrderInitialized
    | OrderDenied
    | OrderReleased
    | OrderSubmitted
    | OrderUnconfirmed
    | OrderLost
    | OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCancelRequested
    | OrderCancelRejected
    | OrderCanceled
    | OrderExpired
    | OrderUpdateRequested
    | OrderUpdated
    | OrderUpdateRejected
)
_EVENTS: TypeAdapter[list[OrderEvent]] = TypeAdapter(list[Annotated[OrderEvent, Field(discriminator="kind")]])


def parse_order_events(texts: Iterable[str]) -> list[OrderEvent]:
    """Return the events of these JSON texts (`event.to_text()`), parsed together. Raises pydantic.ValidationError."""
    return _EVENTS.validate_json(f"[{','.join(texts)}]")


def same_trade(one: OrderFilled, other: OrderFilled) -> bool:
    """Return whether two reports of one trade id agree. The time of the report may differ, the trade itself may not."""
    return _facts(one) == _facts(other)


def _facts(fill: OrderFilled) -> tuple[str, str, str, str, Decimal, Decimal, Decimal]:
    return (fill.client_order_id, fill.account, fill.symbol, fill.trade_id, fill.quantity, fill.price, fill.fee)
