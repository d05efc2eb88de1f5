"""Every pair of state and event: legal exactly when the table has the row, and then it ends where the row says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from signalbox.orders import events as order_events
from signalbox.orders.errors import IllegalTransitionError
from signalbox.orders.lifecycle import apply, trigger_of
from signalbox.orders.order import Order, PendingUpdate, derive_state
from signalbox.orders.transitions import ROWS, TRANSITIONS, Derived, OrderState, Trigger
from tests.unit.orders.samples import (
    accepted,
    applied,
    cancel_requested,
    fill,
    initialized,
    new,
    seconds,
    submitted,
    terms,
    update_requested,
)

TERMS = terms()
KEY = TERMS.client_order_id
PLAIN = {  # moves that need no reason; every other row must give one
    (before, after)
    for before, afters in {
        "INITIALIZED": "DENIED RELEASED",
        "RELEASED": "SUBMITTED",
        "SUBMITTED": "ACCEPTED REJECTED",
        "ACCEPTED": "PARTIALLY_FILLED FILLED CANCELED EXPIRED PENDING_CANCEL PENDING_UPDATE",
        "PARTIALLY_FILLED": "PARTIALLY_FILLED FILLED CANCELED EXPIRED PENDING_CANCEL PENDING_UPDATE",
        "PENDING_CANCEL": "CANCELED",
    }.items()
    for after in afters.split()
}
EVENTS: dict[Trigger, order_events.OrderEvent] = {
    Trigger.DENIED: order_events.OrderDenied(client_order_id=KEY, at=seconds(9), reason="HALTED"),
    Trigger.RELEASED: order_events.OrderReleased(client_order_id=KEY, at=seconds(9)),
    Trigger.SUBMITTED: order_events.OrderSubmitted(client_order_id=KEY, at=seconds(9)),
    Trigger.UNCONFIRMED: order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(9), attempt="submit"),
    Trigger.LOST: order_events.OrderLost(client_order_id=KEY, at=seconds(9)),
    Trigger.ACCEPTED: order_events.OrderAccepted(client_order_id=KEY, at=seconds(9), venue_order_id="v-2"),
    Trigger.REJECTED: order_events.OrderRejected(client_order_id=KEY, at=seconds(9), reason="MARGIN"),
    Trigger.FILLED_IN_PART: fill(TERMS, "t-part", "1"),
    Trigger.FILLED_IN_FULL: fill(TERMS, "t-full", "10"),
    Trigger.CANCEL_REQUESTED: order_events.OrderCancelRequested(client_order_id=KEY, at=seconds(9), request_id="c-1"),
    Trigger.CANCEL_REJECTED: order_events.OrderCancelRejected(
        client_order_id=KEY, at=seconds(9), request_id="c-1", reason="LATE"
    ),
    Trigger.CANCELED: order_events.OrderCanceled(client_order_id=KEY, at=seconds(9), reason="ASKED"),
    Trigger.EXPIRED: order_events.OrderExpired(client_order_id=KEY, at=seconds(9), reason="GTD"),
    Trigger.UPDATE_REQUESTED: order_events.OrderUpdateRequested(
        client_order_id=KEY, at=seconds(9), request_id="u-1", quantity="12"
    ),
    Trigger.UPDATED: order_events.OrderUpdated(client_order_id=KEY, at=seconds(9), request_id="u-1"),
    Trigger.UPDATE_REJECTED: order_events.OrderUpdateRejected(
        client_order_id=KEY, at=seconds(9), request_id="u-1", reason="LATE"
    ),
}


def _forgetful(order: Order) -> Order:
    """An order that takes any of EVENTS as new."""
    return replace(order, seen=frozenset())


def _order_in(state: OrderState, trigger: Trigger) -> Order:
    """An order in that state to which the answers among EVENTS fit."""
    asked = cancel_requested(accepted()) if trigger is Trigger.CANCEL_REJECTED else accepted()
    if trigger in {Trigger.UPDATED, Trigger.UPDATE_REJECTED}:
        asked = update_requested(accepted(), quantity="12" if trigger is Trigger.UPDATED else "8")
    makers: dict[OrderState, Callable[[], Order]] = {
        OrderState.INITIALIZED: new,
        OrderState.DENIED: lambda: applied(cancel_requested(applied(new(), EVENTS[Trigger.RELEASED])), EVENTS[Trigger.DENIED]),
        OrderState.RELEASED: lambda: applied(new(), EVENTS[Trigger.RELEASED]),
        OrderState.SUBMITTED: submitted,
        OrderState.ACCEPTED: accepted,
        OrderState.REJECTED: lambda: _rejected(trigger),
        OrderState.PARTIALLY_FILLED: lambda: applied(accepted(), fill(TERMS, "t-0", "2")),
        OrderState.PENDING_UPDATE: lambda: update_requested(accepted(), quantity="12"),
        OrderState.PENDING_CANCEL: lambda: cancel_requested(asked),
        OrderState.FILLED: lambda: applied(asked, fill(TERMS, "t-0", str(asked.fillable))),
        OrderState.CANCELED: lambda: applied(asked, EVENTS[Trigger.CANCELED]),
        OrderState.EXPIRED: lambda: applied(asked, EVENTS[Trigger.EXPIRED]),
    }
    order = makers[state]()
    is_at_venue = order.state in {OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED}
    if trigger is Trigger.UPDATED and is_at_venue:  # the late answer to an update that a view had not shown
        update = EVENTS[trigger]
        assert isinstance(update, order_events.OrderUpdated)
        given_up = PendingUpdate(update.request_id, order.terms.decided_at, Decimal(12), order.limit_price, None)
        order = replace(order, given_up=(given_up,))
    assert order.state is state
    return _forgetful(order)


def _rejected(trigger: Trigger) -> Order:
    asked = cancel_requested(submitted())
    if trigger is Trigger.UPDATE_REJECTED:  # update, cancel, and then the venue refuses the order itself
        asked = cancel_requested(update_requested(accepted(), quantity="12"))
    return applied(asked, EVENTS[Trigger.REJECTED])


def _event(order: Order, trigger: Trigger) -> order_events.OrderEvent:
    if trigger is not Trigger.FILLED_IN_FULL or order.filled >= order.fillable:
        return EVENTS[trigger]
    return fill(TERMS, "t-full", str(order.fillable - order.filled))


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("state", OrderState)
def test_every_pair_is_a_row_or_an_error(state: OrderState, trigger: Trigger) -> None:
    order = _order_in(state, trigger)
    row = TRANSITIONS.get((state, trigger))
    event = _event(order, trigger)
    if row is None:
        if state is OrderState.FILLED and trigger is Trigger.FILLED_IN_PART:  # what is added to it is an overfill
            assert trigger_of(order, event) is Trigger.FILLED_IN_FULL
            return
        with pytest.raises(IllegalTransitionError, match=f"{KEY}: .* is illegal in state"):
            apply(order, event)
        return
    assert trigger_of(order, event) is trigger
    after = apply(order, event)
    expected = row.after if isinstance(row.after, OrderState) else derive_state(after)
    assert after.state is expected
    assert after.state.is_closed or after.state is OrderState.INITIALIZED or derive_state(after) is after.state
    assert (after.closed_at is not None) == after.state.is_closed


def test_an_order_begins_once() -> None:
    with pytest.raises(IllegalTransitionError, match="OrderInitialized is illegal"):
        apply(_forgetful(accepted()), initialized(TERMS))


def test_no_pair_has_two_rows() -> None:
    assert len(ROWS) == len(TRANSITIONS)


def test_every_odd_row_says_why() -> None:
    silent = [row for row in ROWS if row.why is None and (row.before.value, str(row.after)) not in PLAIN]
    assert silent == []


def test_a_closed_order_never_opens_again() -> None:
    reopened = [row for row in ROWS if row.before.is_closed and not (isinstance(row.after, OrderState) and row.after.is_closed)]
    assert reopened == []


def test_every_state_is_reached_and_every_trigger_is_used() -> None:
    reached = {row.after for row in ROWS if isinstance(row.after, OrderState)} | {OrderState.INITIALIZED}
    assert reached == set(OrderState)
    assert {row.trigger for row in ROWS} == set(Trigger) == set(EVENTS)
    assert any(row.after is Derived.RECOMPUTED for row in ROWS)


def test_states_are_open_closed_or_unjudged() -> None:
    for state in OrderState:
        assert state.is_closed + state.may_be_at_venue == (state is not OrderState.INITIALIZED)
