"""Small, valid orders and their events; each argument is what the test is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from signalbox.orders.events import (
    OrderAccepted,
    OrderCancelRequested,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderReleased,
    OrderSubmitted,
    OrderUpdateRequested,
)
from signalbox.orders.lifecycle import apply, initialise
from signalbox.orders.messages import ExecutionRequested, OrderInstruction
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from tests.builders import BTC, NOON

ACCOUNT = "paper-1"


def terms(**changes: Any) -> OrderTerms:
    """A market buy of 10 BTC; `price` and `stop` make it a limit or stop order."""
    facts: dict[str, Any] = {
        "account": ACCOUNT,
        "strategy": "signals",
        "symbol": BTC,
        "decided_at": NOON,
        "leg": Leg.ENTRY,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "quantity": "10",
        "send_before": NOON + timedelta(minutes=5),
    }
    if "price" in changes:
        facts |= {"type": OrderType.LIMIT, "limit_price": changes.pop("price")}
    if "stop" in changes:
        facts |= {"type": OrderType.STOP, "stop_price": changes.pop("stop")}
    return OrderTerms(**facts | changes)


def seconds(count: int) -> datetime:
    """`count` seconds after noon."""
    return NOON + timedelta(seconds=count)


def initialized(of: OrderTerms) -> OrderInitialized:
    return OrderInitialized(client_order_id=of.client_order_id, at=NOON, terms=of)


def fill(of: OrderTerms, trade_id: str, quantity: str, price: str = "100", fee: str = "0", at: datetime = NOON) -> OrderFilled:
    return OrderFilled(
        client_order_id=of.client_order_id,
        at=at,
        account=of.account,
        symbol=of.symbol,
        trade_id=trade_id,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
    )


def applied(order: Order, *events: OrderEvent) -> Order:
    for event in events:
        order = apply(order, event)
    return order


def new(of: OrderTerms | None = None) -> Order:
    """INITIALIZED."""
    return initialise(initialized(of or terms()))


def submitted(of: OrderTerms | None = None) -> Order:
    """SUBMITTED one second after noon."""
    order = new(of)
    key = order.client_order_id
    return applied(order, OrderReleased(client_order_id=key, at=NOON), OrderSubmitted(client_order_id=key, at=seconds(1)))


def accepted(of: OrderTerms | None = None) -> Order:
    """ACCEPTED two seconds after noon, as venue order v-1."""
    order = submitted(of)
    return applied(order, OrderAccepted(client_order_id=order.client_order_id, at=seconds(2), venue_order_id="v-1"))


def cancel_requested(order: Order, request_id: str = "c-1", at: datetime | None = None) -> Order:
    return applied(order, OrderCancelRequested(client_order_id=order.client_order_id, at=at or seconds(3), request_id=request_id))


def update_requested(order: Order, request_id: str = "u-1", at: datetime | None = None, **changes: str) -> Order:
    return applied(
        order,
        OrderUpdateRequested(client_order_id=order.client_order_id, at=at or seconds(3), request_id=request_id, **changes),
    )


def asked(
    of: OrderTerms, instruction: OrderInstruction = OrderInstruction.SUBMIT, *, venue: str = "coinbase", **changes: Any
) -> ExecutionRequested:
    """A request of noon about an order; all but a submission name the command, r1."""
    facts = {"at": NOON, "request_id": None if instruction is OrderInstruction.SUBMIT else "r1"} | changes
    return ExecutionRequested(
        account=of.account,
        venue=venue,
        instruction=instruction,
        client_order_id=of.client_order_id,
        terms=of,
        **facts,
    )


def submission(of: OrderTerms, at: datetime, venue: str = "coinbase") -> ExecutionRequested:
    """The request to send an order."""
    return asked(of, venue=venue, at=at)
