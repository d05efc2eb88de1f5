"""Applies an event to an order and returns the next order. Only here do orders change; pure, so a replay gives the same.

A second delivery of an event returns the order itself. An event that may not be applied raises an EventRefusedError and
changes nothing; the caller records the refusal and raises the alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar, assert_never

from signalbox.exact import exactly
from signalbox.orders.errors import (
    IllegalTransitionError,
    OrderTermsError,
    RequestMismatchError,
    TradeConflictError,
    WrongOrderError,
)
from signalbox.orders.events import (
    RECONCILED,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderDenied,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderInitialized,
    OrderLost,
    OrderRejected,
    OrderReleased,
    OrderSubmitted,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRejected,
    OrderUpdateRequested,
    same_trade,
)
from signalbox.orders.order import Order, PendingCancel, PendingUpdate, derive_state
from signalbox.orders.terms import OrderType
from signalbox.orders.transitions import TRANSITIONS, Derived, OrderState, Trigger

Pending = TypeVar("Pending", PendingCancel, PendingUpdate)
Facts: TypeAlias = dict[str, Any]  # the changed fields of an order, with their new values
_Answer: TypeAlias = OrderCancelRejected | OrderUpdated | OrderUpdateRejected
SUBMIT_ATTEMPT: Final = "submit"  # OrderUnconfirmed.attempt of a send; a cancel or update carries its request_id
_TRIGGERS: Final[Mapping[type, Trigger]] = {
    OrderDenied: Trigger.DENIED,
    OrderReleased: Trigger.RELEASED,
    OrderSubmitted: Trigger.SUBMITTED,
    OrderUnconfirmed: Trigger.UNCONFIRMED,
    OrderLost: Trigger.LOST,
    OrderAccepted: Trigger.ACCEPTED,
    OrderRejected: Trigger.REJECTED,
    OrderCancelRequested: Trigger.CANCEL_REQUESTED,
    OrderCancelRejected: Trigger.CANCEL_REJECTED,
    OrderCanceled: Trigger.CANCELED,
    OrderExpired: Trigger.EXPIRED,
    OrderUpdateRequested: Trigger.UPDATE_REQUESTED,
    OrderUpdated: Trigger.UPDATED,
    OrderUpdateRejected: Trigger.UPDATE_REJECTED,
}


def initialise(event: OrderInitialized) -> Order:
    """Return the new order of an OrderInitialized. Raises OrderTermsError if the id does not match the terms."""
    terms = event.terms
    key = terms.client_order_id
    if event.client_order_id != key:
        raise OrderTermsError(f"expected id {key} for these terms, got {event.client_order_id}")
    return Order.begun(terms, key, event.event_id)


def replay(events: Iterable[OrderEvent]) -> Order:
    """Return the order that results from these events, oldest first.

    Raises OrderTermsError if the first is not an OrderInitialized.
    """
    order: Order | None = None
    for event in events:
        if order is not None:
            order = apply(order, event)
        elif isinstance(event, OrderInitialized):
            order = initialise(event)
        else:
            raise OrderTermsError(f"expected OrderInitialized as the first event, got {event.event_id}")
    if order is None:
        raise OrderTermsError("expected at least one event")
    return order


def apply(order: Order, event: OrderEvent) -> Order:
    """Return the order after the event, or the same object if the event was applied before.

    Raises WrongOrderError, IllegalTransitionError, TradeConflictError or RequestMismatchError.
    """
    if event.client_order_id != order.client_order_id:
        raise WrongOrderError(
            order.client_order_id, event.event_id, f"expected an event of this order, got one of order {event.client_order_id}"
        )
    if isinstance(event, OrderFilled):
        return _apply_fill(order, event)
    event_id = event.event_id
    if event_id in order.seen:
        return order
    trigger = _TRIGGERS.get(type(event))
    return _moved(order, event, trigger)


@exactly
def _apply_fill(order: Order, event: OrderFilled) -> Order:
    if event.event_id in order.seen:
        _check_repeated(order, event)
        return order
    _check_fill(order, event)
    return _moved(order, event, trigger_of(order, event))


def _moved(order: Order, event: OrderEvent, trigger: Trigger | None) -> Order:
    row = TRANSITIONS.get((order.state, trigger)) if trigger is not None else None
    if row is None:
        raise IllegalTransitionError(
            order.client_order_id, event.event_id, f"the event {trigger or event.kind} is illegal in state {order.state}"
        )
    facts = _recorded(order, event)
    facts["seen"] = order.seen | {event.event_id}
    facts["state"] = after = derive_state(order.after(facts)) if row.after is Derived.RECOMPUTED else row.after
    if after.is_closed and order.closed_at is None:
        facts["closed_at"] = event.at
    return order.after(facts)


def trigger_of(order: Order, event: OrderEvent) -> Trigger | None:
    """Return the trigger of an event in the transition table; None for an OrderInitialized, which is no transition."""
    if isinstance(event, OrderFilled):
        completes = order.filled + event.quantity >= order.fillable
        return Trigger.FILLED_IN_FULL if completes else Trigger.FILLED_IN_PART
    return _TRIGGERS.get(type(event))


def _check_repeated(order: Order, event: OrderFilled) -> None:
    first = next(trade for trade in order.trades if trade.trade_id == event.trade_id)
    if not same_trade(first, event):
        raise TradeConflictError(
            order.client_order_id,
            event.event_id,
            f"conflicting duplicate of trade {event.trade_id}: first {first.quantity} at {first.price} fee {first.fee}, "
            f"then {event.quantity} at {event.price} fee {event.fee}",
        )


def _check_fill(order: Order, event: OrderFilled) -> None:
    if (event.account, event.symbol) != (order.terms.account, order.terms.symbol):
        raise WrongOrderError(
            order.client_order_id,
            event.event_id,
            f"expected a fill of {order.terms.account} {order.terms.symbol}, got {event.account} {event.symbol}",
        )


def _recorded(order: Order, event: OrderEvent) -> Facts:  # noqa: C901, PLR0911, PLR0912 - one case an event, checked to be all
    """Return the fields that the event changes, apart from the state. `apply` copies the order once per event."""
    match event:  # the usual events come first, because the cases are tried in order
        case OrderReleased() | OrderInitialized():
            return {}
        case OrderSubmitted():
            return {"submitted_at": order.submitted_at or event.at}
        case OrderAccepted():
            return {
                "accepted_at": order.accepted_at or event.at,
                "venue_order_id": event.venue_order_id,
                "unconfirmed_since": None,
            }
        case OrderFilled():
            return _filled(order, event)
        case OrderUnconfirmed():
            return _unconfirmed(order, event)
        case OrderCancelRequested():
            return {
                "pending_cancel": PendingCancel(event.request_id, event.at),
                "cancels": order.cancels + 1,
                "cancel_asked_at": event.at,
            }
        case OrderCancelRejected() if order.state.is_closed:
            return {}  # nothing is left to cancel
        case OrderCancelRejected():
            _check_request(order, event, order.pending_cancel)
            return {"pending_cancel": None, "unconfirmed_since": _send_unanswered(order)}
        case OrderUpdateRequested():
            return {"pending_update": _wanted(order, event)}
        case OrderUpdated():
            return _updated(order, event)
        case OrderUpdateRejected():
            return _update_rejected(order, event)
        case OrderDenied():
            return {"reason": event.reason, "unconfirmed_since": None}
        case OrderRejected() | OrderCanceled() | OrderExpired():
            return {"reason": event.reason, "detail": event.detail, "unconfirmed_since": None}
        case OrderLost():
            return {"reason": event.kind, "unconfirmed_since": None}
        case _:
            assert_never(event)


def _unconfirmed(order: Order, event: OrderUnconfirmed) -> Facts:
    if event.attempt == SUBMIT_ATTEMPT:
        is_open = order.accepted_at is None and not order.trades
    else:
        is_open = event.attempt in {p.request_id for p in (order.pending_cancel, order.pending_update) if p is not None}
    sent = event.attempt == SUBMIT_ATTEMPT or order.state is OrderState.RELEASED
    return {
        "submitted_at": order.submitted_at or (event.at if sent else None),
        "unconfirmed_since": order.unconfirmed_since or (event.at if is_open and not order.state.is_closed else None),
    }


def _filled(order: Order, event: OrderFilled) -> Facts:
    # a fill proves that the send arrived, but says nothing about an unanswered cancel or update
    settled = order.pending_cancel is None and order.pending_update is None
    return {
        "trades": (*order.trades, event),
        "filled": order.filled + event.quantity,
        "filled_value": order.filled_value + event.quantity * event.price,
        "fees": order.fees + event.fee,
        "unconfirmed_since": None if settled else order.unconfirmed_since,
    }


def _wanted(order: Order, event: OrderUpdateRequested) -> PendingUpdate:
    unfit = (event.limit_price is not None and order.terms.type is not OrderType.LIMIT) or (
        event.stop_price is not None and order.terms.type is not OrderType.STOP
    )
    if unfit or (event.quantity is None and event.limit_price is None and event.stop_price is None):
        raise RequestMismatchError(
            order.client_order_id, event.event_id, f"expected a new quantity, or a price that a {order.terms.type} order has"
        )
    quantity = order.quantity if event.quantity is None else event.quantity
    if quantity < order.filled:
        raise RequestMismatchError(
            order.client_order_id, event.event_id, f"expected a quantity of at least the filled {order.filled}, got {quantity}"
        )
    return PendingUpdate(
        event.request_id, event.at, quantity, event.limit_price or order.limit_price, event.stop_price or order.stop_price
    )


def _updated(order: Order, event: OrderUpdated) -> Facts:
    late = next((one for one in order.given_up if one.request_id == event.request_id), None)
    update = _check_request(order, event, order.pending_update) if late is None else late
    if update.quantity < order.filled:
        raise RequestMismatchError(
            order.client_order_id,
            event.event_id,
            f"expected a quantity of at least the filled {order.filled}, got {update.quantity}",
        )
    return {
        "quantity": update.quantity,
        "limit_price": update.limit_price,
        "stop_price": update.stop_price,
        "venue_order_id": event.venue_order_id or order.venue_order_id,
        "pending_update": order.pending_update if late is not None else None,
        "given_up": tuple(one for one in order.given_up if one is not late),
        "unconfirmed_since": None,
    }


def _update_rejected(order: Order, event: OrderUpdateRejected) -> Facts:
    update = _check_request(order, event, order.pending_update)
    # a view did not show the update, but the request may still reach the venue; a late answer then counts
    given_up = (*order.given_up, update) if event.reason == RECONCILED else order.given_up
    return {"pending_update": None, "given_up": given_up, "unconfirmed_since": _send_unanswered(order)}


def _send_unanswered(order: Order) -> datetime | None:
    """Return since when the send is unanswered: a venue that refuses another request does not say that it has the order."""
    return order.unconfirmed_since if order.accepted_at is None and not order.trades else None


def _check_request(order: Order, event: _Answer, pending: Pending | None) -> Pending:
    if pending is None or pending.request_id != event.request_id:
        asked = "no request" if pending is None else pending.request_id
        raise RequestMismatchError(
            order.client_order_id, event.event_id, f"expected an answer to {asked}, got one to {event.request_id}"
        )
    return pending
