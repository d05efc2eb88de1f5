from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders import events as order_events
from signalbox.orders.lifecycle import apply
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import CancelStray, HaltAccount, RecordEvent, VenueDifference, Wait, reconcile
from signalbox.orders.terms import Side
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_view import LocalView, VenueOrder, VenueStatus, VenueTrade, VenueView
from tests.builders import BTC, NOON
from tests.unit.orders.samples import (
    ACCOUNT,
    accepted,
    applied,
    cancel_requested,
    fill,
    new,
    seconds,
    submitted,
    terms,
    update_requested,
)

SETTLE = timedelta(seconds=30)
KEY = terms().client_order_id


def at_venue(status: VenueStatus = VenueStatus.OPEN, filled: str = "0", **changes: Any) -> VenueOrder:
    facts: dict[str, Any] = {"client_order_id": KEY, "venue_order_id": "v-1", "symbol": BTC, "quantity": Decimal(10)}
    return VenueOrder(**facts | {"status": status, "filled": Decimal(filled)} | changes)


def trade(trade_id: str, quantity: str, key: str | None = KEY, price: str = "100") -> VenueTrade:
    return VenueTrade(trade_id, key, BTC, Side.BUY, Decimal(quantity), Decimal(price), seconds(5))


def compared(
    order: Order, theirs: VenueOrder | None, *trades: VenueTrade, position: str = "0", at: int = 600
) -> tuple[tuple[object, ...], Order]:
    """Actions and the order after them; `position` is the venue's, the ledger's is what the order has filled."""
    venue = VenueView(seconds(at), (theirs,) if theirs else (), trades, {BTC: Decimal(position)})
    result = reconcile(LocalView(ACCOUNT, (order,), {BTC: order.filled}), venue, settle=SETTLE)
    return result.actions, result.orders[0]


def kinds(actions: tuple[object, ...]) -> list[str]:
    return [a.event.kind if isinstance(a, RecordEvent) else type(a).__name__ for a in actions]


def test_sides_that_agree_need_nothing() -> None:
    assert compared(accepted(), at_venue()) == ((), accepted())


def test_missed_acceptance_fills_and_end_are_recorded_in_order() -> None:
    actions, order = compared(
        submitted(), at_venue(VenueStatus.CANCELED, "3"), trade("t-1", "1"), trade("t-2", "2"), position="3"
    )
    assert kinds(actions) == ["OrderAccepted", "OrderFilled", "OrderFilled", "OrderCanceled"]
    assert (order.state, order.filled, order.venue_order_id) == (OrderState.CANCELED, Decimal(3), "v-1")


def test_missed_fills_are_recorded_in_the_order_of_the_trades() -> None:
    first, second = replace(trade("t-9", "1"), executed_at=seconds(3)), replace(trade("t-1", "1"), executed_at=seconds(4))
    _, order = compared(accepted(), at_venue(filled="2"), second, first, position="2")
    assert [t.trade_id for t in order.trades] == ["t-9", "t-1"]


def test_an_order_that_filled_while_we_were_away_is_filled() -> None:
    actions, order = compared(accepted(), at_venue(VenueStatus.FILLED, "10"), trade("t-1", "10"), position="10")
    assert (kinds(actions), order.state) == (["OrderFilled"], OrderState.FILLED)


def test_fills_that_are_known_are_not_recorded_again() -> None:
    order = applied(accepted(), fill(terms(), "t-1", "4"))
    assert compared(order, at_venue(filled="4"), trade("t-1", "4"), position="4")[0] == ()


def test_an_ambiguous_send_waits_for_the_settling_time_and_is_then_given_up() -> None:
    order = applied(submitted(), order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(10), attempt="submit"))
    assert compared(order, None, at=39)[0] == (Wait(KEY, seconds(40)),)
    actions, after = compared(order, None, at=40)
    assert actions == (RecordEvent(order_events.OrderLost(client_order_id=KEY, at=seconds(40))),)
    assert after.state is OrderState.CANCELED


def test_an_ambiguous_send_that_arrived_is_accepted() -> None:
    order = applied(submitted(), order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(10), attempt="submit"))
    actions, after = compared(order, at_venue(), at=11)
    assert actions == (RecordEvent(order_events.OrderAccepted(client_order_id=KEY, at=seconds(11), venue_order_id="v-1")),)
    assert not after.is_ambiguous


def test_an_order_in_the_queue_expires_only_when_nobody_can_send_it_any_more() -> None:
    released = applied(new(), order_events.OrderReleased(client_order_id=KEY, at=NOON))
    assert compared(released, None, at=329)[0] == (Wait(KEY, seconds(330)),)
    actions, after = compared(released, None, at=330)
    assert actions == (RecordEvent(order_events.OrderExpired(client_order_id=KEY, at=seconds(330), reason="NEVER_SENT")),)
    assert after.state is OrderState.EXPIRED


def test_an_order_sent_just_before_a_crash_is_found() -> None:
    released = applied(new(), order_events.OrderReleased(client_order_id=KEY, at=NOON))
    actions, after = compared(released, at_venue(filled="4"), trade("t-1", "4"), position="4")
    assert (kinds(actions), after.state) == (["OrderAccepted", "OrderFilled"], OrderState.PARTIALLY_FILLED)


def test_an_unjudged_order_is_left_alone_unless_the_venue_has_it() -> None:
    assert compared(new(), None)[0] == ()
    assert [a.difference for a in compared(new(), at_venue())[0] if isinstance(a, HaltAccount)] == [VenueDifference.ORDER_UNKNOWN]


def test_a_cancel_without_an_answer_is_answered_by_the_venue() -> None:
    order = cancel_requested(accepted())
    assert compared(order, at_venue(), at=32)[0] == (Wait(KEY, seconds(33)),)
    actions, after = compared(order, at_venue(), at=33)
    expected = order_events.OrderCancelRejected(client_order_id=KEY, at=seconds(33), request_id="c-1", reason="RECONCILED")
    assert (actions, after.state) == ((RecordEvent(expected),), OrderState.ACCEPTED)
    assert compared(order, at_venue(VenueStatus.CANCELED))[1].state is OrderState.CANCELED


def test_an_update_without_an_answer_is_answered_by_the_terms_in_force() -> None:
    order = update_requested(accepted(), quantity="12")
    done = order_events.OrderUpdated(client_order_id=KEY, at=seconds(600), request_id="u-1", venue_order_id="v-1")
    assert compared(order, at_venue(quantity=Decimal(12)))[0] == (RecordEvent(done),)
    refused = order_events.OrderUpdateRejected(client_order_id=KEY, at=seconds(600), request_id="u-1", reason="RECONCILED")
    assert compared(order, at_venue())[0] == (RecordEvent(refused),)
    assert compared(order, at_venue(), at=10)[0] == (Wait(KEY, seconds(33)),)
    assert kinds(compared(order, at_venue(VenueStatus.CANCELED), at=10)[0]) == ["OrderUpdateRejected", "OrderCanceled"]


def test_an_unanswered_cancel_is_resolved_though_the_order_was_changed_at_the_venue() -> None:
    order, changed = cancel_requested(accepted()), at_venue(quantity=Decimal(4))
    assert kinds(compared(order, changed, at=32)[0]) == ["HaltAccount", "Wait"]
    actions, after = compared(order, changed, at=33)
    assert (kinds(actions), after.state) == (["HaltAccount", "OrderCancelRejected"], OrderState.ACCEPTED)


def test_an_unanswered_update_ends_though_the_order_was_changed_at_the_venue() -> None:
    order, changed = update_requested(accepted(), quantity="12"), at_venue(quantity=Decimal(4))
    assert kinds(compared(order, changed, at=10)[0]) == ["Wait", "HaltAccount"]
    actions, after = compared(order, changed)
    assert (kinds(actions), after.state) == (["OrderUpdateRejected", "HaltAccount"], OrderState.ACCEPTED)


def test_an_update_to_what_is_filled_ends_the_order() -> None:
    order = applied(update_requested(accepted(), quantity="4"), fill(terms(), "t-1", "4"))
    actions, after = compared(order, at_venue(VenueStatus.FILLED, "4", quantity=Decimal(4)), position="4")
    assert (kinds(actions), after.state) == (["OrderUpdated"], OrderState.FILLED)


@pytest.mark.parametrize(
    ("status", "quantity", "filled", "after"),
    [
        (VenueStatus.CANCELED, "7", "0", OrderState.CANCELED),  # somebody made it smaller at the venue, and then took it out
        (VenueStatus.EXPIRED, "12", "0", OrderState.EXPIRED),
        (VenueStatus.FILLED, "4", "4", OrderState.CANCELED),  # it crossed a change to less
    ],
)
def test_an_order_that_ended_at_the_venue_is_over_whatever_its_terms(
    status: VenueStatus, quantity: str, filled: str, after: OrderState
) -> None:
    trades = (trade("t-1", filled),) if Decimal(filled) else ()
    theirs = at_venue(status, filled=filled, quantity=Decimal(quantity), limit_price=accepted().limit_price)
    actions, order = compared(accepted(), theirs, *trades, position=filled)
    assert "HaltAccount" not in kinds(actions)
    assert order.state is after


def test_an_order_that_is_over_for_us_is_taken_out_of_the_venue() -> None:
    lost = applied(submitted(), order_events.OrderLost(client_order_id=KEY, at=seconds(40)))
    assert compared(lost, at_venue())[0] == (CancelStray(at_venue()),)


def test_a_late_fill_of_an_order_that_was_given_up_is_recorded() -> None:
    lost = applied(submitted(), order_events.OrderLost(client_order_id=KEY, at=seconds(40)))
    actions, after = compared(lost, at_venue(VenueStatus.FILLED, "10"), trade("t-1", "10"), position="10")
    assert (kinds(actions), after.state) == (["OrderFilled"], OrderState.FILLED)


def test_a_fill_beyond_the_order_is_recorded_and_leaves_no_difference() -> None:
    actions, _ = compared(accepted(), at_venue(VenueStatus.FILLED, "11"), trade("t-1", "11"), position="11")
    (filled,) = [a.event for a in actions if isinstance(a, RecordEvent) and isinstance(a.event, order_events.OrderFilled)]
    assert filled.quantity == 11
    assert not [a for a in actions if isinstance(a, HaltAccount)]


@pytest.mark.parametrize(
    ("order", "theirs", "trades", "difference"),
    [
        (accepted(), None, [], VenueDifference.ORDER_VANISHED),
        (applied(submitted(), fill(terms(), "t-1", "1")), None, [], VenueDifference.ORDER_VANISHED),
        (accepted(), at_venue(quantity=Decimal(9)), [], VenueDifference.ORDER_DIFFERS),
        (accepted(), at_venue(limit_price=Decimal(9)), [], VenueDifference.ORDER_DIFFERS),
        (update_requested(accepted(), quantity="12"), at_venue(quantity=Decimal(11)), [], VenueDifference.ORDER_DIFFERS),
        (accepted(), at_venue(VenueStatus.FILLED, "0"), [], VenueDifference.ORDER_DIFFERS),
        (accepted(), at_venue(filled="2"), [trade("t-1", "1")], VenueDifference.TRADES_MISSING),
        (
            applied(accepted(), fill(terms(), "t-1", "1")),
            at_venue(filled="2"),
            [trade("t-1", "2")],
            VenueDifference.EVENT_REFUSED,
        ),
        (accepted(), at_venue(), [trade("t-1", "1", key=None)], VenueDifference.TRADE_UNKNOWN),
        (accepted(), at_venue(client_order_id=None), [], VenueDifference.ORDER_UNKNOWN),
    ],
)
def test_what_no_event_explains_stops_the_account(
    order: Order, theirs: VenueOrder | None, trades: list[VenueTrade], difference: VenueDifference
) -> None:
    actions, _ = compared(order, theirs, *trades, position=str(order.filled))
    assert difference in [a.difference for a in actions if isinstance(a, HaltAccount)]


def test_a_position_that_fills_do_not_explain_stops_the_account() -> None:
    actions, _ = compared(accepted(), at_venue(filled="1"), trade("t-1", "1"), position="2")
    assert actions[-1] == HaltAccount(VenueDifference.POSITION_DIFFERS, BTC, "1", "2")
    venue = VenueView(seconds(9), (), (), {"ETH-USD": Decimal(1)})
    result = reconcile(LocalView(ACCOUNT, (), {}), venue, settle=SETTLE)
    assert result.actions == (HaltAccount(VenueDifference.POSITION_DIFFERS, "ETH-USD", "0", "1"),)


ENDS: dict[VenueStatus, order_events.OrderEvent] = {
    VenueStatus.CANCELED: order_events.OrderCanceled(client_order_id=KEY, at=seconds(60), reason="R"),
    VenueStatus.EXPIRED: order_events.OrderExpired(client_order_id=KEY, at=seconds(60), reason="R"),
}


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[order_events.OrderEvent], VenueOrder, tuple[VenueTrade, ...]]:
    """What truly happened at the venue to one released order, and what the venue would answer."""
    shares = draw(st.lists(st.integers(1, 5), max_size=4))
    while sum(shares) > 10:
        shares.pop()
    trades = tuple(trade(f"t-{i}", str(q)) for i, q in enumerate(shares))
    events: list[order_events.OrderEvent] = [
        order_events.OrderSubmitted(client_order_id=KEY, at=seconds(1)),
        order_events.OrderAccepted(client_order_id=KEY, at=seconds(2), venue_order_id="v-1"),
    ]
    events += [t.as_fill(accepted()) for t in trades]
    status = VenueStatus.FILLED if sum(shares) == 10 else draw(st.sampled_from([VenueStatus.OPEN, *ENDS]))
    events += [ENDS[status]] if status in ENDS else []
    return events, at_venue(status, str(sum(shares))), trades


@given(_histories(), st.data())
def test_whatever_reports_were_lost_the_ledger_catches_up_and_then_rests(
    history: tuple[list[order_events.OrderEvent], VenueOrder, tuple[VenueTrade, ...]], data: st.DataObject
) -> None:
    events, theirs, trades = history
    released = applied(new(), order_events.OrderReleased(client_order_id=KEY, at=NOON))
    truth = applied(released, *events)
    heard = [event for event in events if data.draw(st.booleans())]
    order = applied(released, *data.draw(st.permutations(heard)))
    venue = VenueView(seconds(600), (theirs,), trades, {BTC: theirs.filled})
    first = reconcile(LocalView(ACCOUNT, (order,), {BTC: order.filled}), venue, settle=SETTLE)
    after = first.orders[0]
    assert len(first.events) == len(first.actions)  # nothing but what is to be recorded
    assert (after.state, after.filled, after.filled_value) == (truth.state, truth.filled, truth.filled_value)
    assert {t.trade_id for t in after.trades} == {t.trade_id for t in truth.trades}
    rebuilt = order
    for event in first.events:
        rebuilt = apply(rebuilt, event)
    assert rebuilt == after
    second = reconcile(LocalView(ACCOUNT, (after,), {BTC: after.filled}), venue, settle=SETTLE)
    assert second.actions == ()
