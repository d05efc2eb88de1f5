from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.orders import events as order_events
from signalbox.orders.errors import (
    EventRefusedError,
    OrderTermsError,
    RequestMismatchError,
    TradeConflictError,
    WrongOrderError,
)
from signalbox.orders.lifecycle import apply, initialise, replay
from signalbox.orders.order import Order, derive_state
from signalbox.orders.transitions import OrderState
from tests.builders import NOON
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

TERMS = terms(price="100")
KEY = TERMS.client_order_id


def test_two_fills_complete_an_order_at_their_exact_average() -> None:
    order = applied(accepted(TERMS), fill(TERMS, "t-1", "4", "99.5", "0.1"))
    assert (order.state, order.leaves) == (OrderState.PARTIALLY_FILLED, Decimal(6))
    order = applied(order, fill(TERMS, "t-2", "6", "98", "-0.05"))
    assert order.state is OrderState.FILLED
    assert (order.filled_value, order.fees) == (Decimal("986"), Decimal("0.05"))
    assert order.average_price == Decimal("98.6")


def test_an_order_without_fills_has_no_average_price() -> None:
    assert accepted().average_price is None


def test_a_repeated_fill_changes_nothing_whenever_it_was_reported() -> None:
    order = applied(accepted(), fill(TERMS, "t-1", "4"))
    assert apply(order, fill(TERMS, "t-1", "4.000", at=seconds(50))) is order


@pytest.mark.parametrize("other", [{"quantity": "5"}, {"quantity": "4", "price": "101"}, {"quantity": "4", "fee": "1"}])
def test_a_trade_id_with_other_data_is_refused(other: dict[str, Any]) -> None:
    order = applied(accepted(), fill(TERMS, "t-1", "4"))
    with pytest.raises(TradeConflictError, match="first 4 at 100"):
        apply(order, fill(TERMS, "t-1", **other))


def test_an_overfill_is_recorded_whole_because_the_money_moved() -> None:
    order = applied(accepted(), fill(TERMS, "t-1", "4"))
    assert order.overfilled == 0
    after = apply(order, fill(TERMS, "t-2", "7"))
    assert (after.state, after.filled, after.overfilled, after.leaves) == (OrderState.FILLED, Decimal(11), Decimal(1), Decimal(0))
    again = apply(after, fill(TERMS, "t-3", "2"))  # and another one after its end
    assert (again.state, again.filled, again.overfilled) == (OrderState.FILLED, Decimal(13), Decimal(3))


def test_a_fill_of_an_order_that_the_venue_had_rejected_is_recorded() -> None:
    order = applied(submitted(), order_events.OrderRejected(client_order_id=KEY, at=seconds(4), reason="NO"))
    after = apply(order, fill(TERMS, "t-1", "4"))
    assert (after.state, after.filled, after.overfilled) == (OrderState.REJECTED, Decimal(4), Decimal(0))
    assert apply(after, fill(TERMS, "t-2", "6")).state is OrderState.FILLED


def test_a_late_fill_after_cancel_is_recorded() -> None:
    order = applied(cancel_requested(accepted()), order_events.OrderCanceled(client_order_id=KEY, at=seconds(4), reason="ASKED"))
    after = applied(order, fill(TERMS, "t-1", "3"))
    assert (after.state, after.filled, after.closed_at) == (OrderState.CANCELED, Decimal(3), seconds(4))
    assert applied(after, fill(TERMS, "t-2", "7")).state is OrderState.FILLED


def test_an_ambiguous_send_stays_pending_until_it_is_answered() -> None:
    lost = applied(submitted(), order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(5), attempt="submit"))
    assert (lost.state, lost.is_ambiguous, lost.unconfirmed_since) == (OrderState.SUBMITTED, True, seconds(5))
    found = applied(lost, order_events.OrderAccepted(client_order_id=KEY, at=seconds(9), venue_order_id="v-1"))
    assert (found.state, found.is_ambiguous) == (OrderState.ACCEPTED, False)
    gone = applied(lost, order_events.OrderLost(client_order_id=KEY, at=seconds(9)))
    assert (gone.state, gone.reason, gone.is_ambiguous) == (OrderState.CANCELED, "OrderLost", False)


def test_a_timeout_reported_after_the_answer_makes_nothing_ambiguous() -> None:
    late = order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(5), attempt="submit")
    assert not applied(accepted(), late).is_ambiguous


def test_a_cancel_without_an_answer_stays_pending_even_when_a_fill_arrives() -> None:
    order = cancel_requested(accepted())
    order = applied(
        order, order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(5), attempt="c-1"), fill(TERMS, "t-1", "1")
    )
    assert (order.state, order.is_ambiguous) == (OrderState.PENDING_CANCEL, True)


def test_a_refused_cancel_returns_to_where_the_order_stands() -> None:
    refused = order_events.OrderCancelRejected(client_order_id=KEY, at=seconds(5), request_id="c-1", reason="LATE")
    assert applied(cancel_requested(accepted()), refused).state is OrderState.ACCEPTED
    assert applied(cancel_requested(submitted()), refused).state is OrderState.SUBMITTED
    assert applied(cancel_requested(accepted()), fill(TERMS, "t-1", "1"), refused).state is OrderState.PARTIALLY_FILLED
    updating = cancel_requested(update_requested(accepted(), quantity="12"))
    assert applied(updating, refused).state is OrderState.PENDING_UPDATE


def test_an_update_takes_effect_when_the_venue_says_so() -> None:
    order = update_requested(accepted(TERMS), quantity="12", limit_price="101")
    assert (order.quantity, order.fillable, order.limit_price) == (Decimal(10), Decimal(12), Decimal(100))
    done = applied(order, order_events.OrderUpdated(client_order_id=KEY, at=seconds(5), request_id="u-1", venue_order_id="v-2"))
    assert (done.state, done.quantity, done.limit_price, done.venue_order_id) == (
        OrderState.ACCEPTED,
        Decimal(12),
        Decimal(101),
        "v-2",
    )
    refusal = order_events.OrderUpdateRejected(client_order_id=KEY, at=seconds(5), request_id="u-1", reason="LATE")
    kept = applied(order, refusal)
    assert (kept.state, kept.quantity, kept.limit_price, kept.pending_update) == (
        OrderState.ACCEPTED,
        Decimal(10),
        Decimal(100),
        None,
    )


def test_a_fill_beyond_the_old_quantity_is_taken_while_the_update_is_on_its_way() -> None:
    order = applied(update_requested(accepted(), quantity="12"), fill(TERMS, "t-1", "11"))
    assert order.state is OrderState.PENDING_UPDATE
    refusal = order_events.OrderUpdateRejected(client_order_id=KEY, at=seconds(5), request_id="u-1", reason="LATE")
    refused = apply(order, refusal)
    assert (refused.state, refused.overfilled, order.overfilled) == (OrderState.FILLED, Decimal(1), Decimal(0))
    assert applied(order, order_events.OrderUpdated(client_order_id=KEY, at=seconds(5), request_id="u-1")).leaves == 1


def test_an_update_to_what_is_filled_completes_the_order() -> None:
    order = applied(update_requested(accepted(), quantity="4"), fill(TERMS, "t-1", "4"))
    assert order.state is OrderState.PENDING_UPDATE
    assert (
        applied(order, order_events.OrderUpdated(client_order_id=KEY, at=seconds(5), request_id="u-1")).state is OrderState.FILLED
    )


def test_a_refused_growth_leaves_a_filled_order_filled() -> None:
    order = applied(update_requested(accepted(), quantity="12"), fill(TERMS, "t-1", "10"))
    refusal = order_events.OrderUpdateRejected(client_order_id=KEY, at=seconds(5), request_id="u-1", reason="LATE")
    assert applied(order, refusal).state is OrderState.FILLED


def test_an_update_below_what_is_filled_is_refused() -> None:
    filled = applied(accepted(), fill(TERMS, "t-1", "4"))
    with pytest.raises(RequestMismatchError, match="at least the filled 4"):
        update_requested(filled, quantity="3")
    crossed = applied(update_requested(accepted(), quantity="3"), fill(TERMS, "t-1", "4"))
    with pytest.raises(RequestMismatchError, match="at least the filled 4"):
        apply(crossed, order_events.OrderUpdated(client_order_id=KEY, at=seconds(5), request_id="u-1"))


@pytest.mark.parametrize("changes", [{}, {"limit_price": "99"}, {"stop_price": "99"}])
def test_an_update_that_does_not_fit_the_order_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestMismatchError, match="that a MARKET order has"):
        update_requested(accepted(), **changes)


def test_an_answer_to_another_request_is_refused() -> None:
    answer = order_events.OrderCancelRejected(client_order_id=KEY, at=seconds(5), request_id="c-9", reason="LATE")
    with pytest.raises(RequestMismatchError, match="answer to c-1, got one to c-9"):
        apply(cancel_requested(accepted()), answer)


@pytest.mark.parametrize("answered", [False, True])
def test_a_refused_cancel_says_nothing_of_a_send_without_an_answer(*, answered: bool) -> None:
    """Else an order that never arrived would count as one that is merely slow, and nobody would look for it."""
    order = applied(submitted(), order_events.OrderUnconfirmed(client_order_id=KEY, at=seconds(5), attempt="submit"))
    if answered:
        order = applied(order, order_events.OrderAccepted(client_order_id=KEY, at=seconds(5), venue_order_id="v-1"))
    order = applied(order, order_events.OrderCancelRequested(client_order_id=KEY, at=seconds(6), request_id="c-1"))
    order = applied(order, order_events.OrderCancelRejected(client_order_id=KEY, at=seconds(7), request_id="c-1", reason="BUSY"))
    assert (order.is_ambiguous, order.pending_cancel) == (not answered, None)


def test_a_second_cancel_is_possible_after_the_first_was_refused() -> None:
    refused = order_events.OrderCancelRejected(client_order_id=KEY, at=seconds(5), request_id="c-1", reason="BUSY")
    again = cancel_requested(applied(cancel_requested(accepted()), refused), "c-2", seconds(6))
    assert again.pending_cancel is not None
    assert again.pending_cancel.request_id == "c-2"


def test_events_of_others_are_refused() -> None:
    other = terms(strategy="other")
    with pytest.raises(WrongOrderError):
        apply(accepted(), fill(other, "t-1", "1"))
    elsewhere = fill(TERMS, "t-1", "1").model_copy(update={"symbol": "ETH-USD"})
    with pytest.raises(WrongOrderError, match="ETH-USD"):
        apply(accepted(), elsewhere)


def test_an_order_needs_its_own_beginning() -> None:
    with pytest.raises(OrderTermsError, match="OrderInitialized as the first event"):
        replay([order_events.OrderReleased(client_order_id=KEY, at=NOON)])
    with pytest.raises(OrderTermsError, match="at least one"):
        replay([])
    with pytest.raises(OrderTermsError, match="expected id"):
        initialise(order_events.OrderInitialized(client_order_id="0" * 32, at=NOON, terms=TERMS))


def test_money_is_never_read_from_a_float() -> None:
    text = fill(TERMS, "t-1", "1").model_dump_json().replace('"100"', "100.1")
    with pytest.raises(ValidationError, match="got float"):
        order_events.parse_order_events([text])


def test_a_denied_order_keeps_its_reason() -> None:
    order = applied(new(), order_events.OrderDenied(client_order_id=KEY, at=NOON, reason="HALTED"))
    assert (order.state, order.reason, order.closed_at) == (OrderState.DENIED, "HALTED", NOON)


_REQUESTS = st.sampled_from(["r-1", "r-2"])
_QUANTITIES = st.decimals("0.000001", "12", places=6)
_PRICES = st.decimals("0.01", "1000", places=2)


def _any_event() -> st.SearchStrategy[order_events.OrderEvent]:
    common = {"client_order_id": st.just(KEY), "at": st.integers(0, 100).map(seconds)}
    reason, request = {"reason": st.just("R")}, {"request_id": _REQUESTS}
    trade = {
        "account": st.just(TERMS.account),
        "symbol": st.just(TERMS.symbol),
        "trade_id": st.sampled_from("abcdef"),
        "quantity": _QUANTITIES,
        "price": _PRICES,
        "fee": st.decimals("-1", "1", places=4),
    }
    return st.one_of(
        st.builds(order_events.OrderFilled, **common, **trade),
        st.builds(order_events.OrderFilled, **common, **trade),
        st.builds(order_events.OrderAccepted, **common, venue_order_id=st.sampled_from(["v-1", "v-2"])),
        st.builds(order_events.OrderSubmitted, **common),
        st.builds(order_events.OrderReleased, **common),
        st.builds(order_events.OrderUnconfirmed, **common, attempt=st.sampled_from(["submit", "r-1"])),
        st.builds(order_events.OrderLost, **common),
        st.builds(order_events.OrderDenied, **common, **reason),
        st.builds(order_events.OrderRejected, **common, **reason),
        st.builds(order_events.OrderCanceled, **common, **reason),
        st.builds(order_events.OrderExpired, **common, **reason),
        st.builds(order_events.OrderCancelRequested, **common, **request),
        st.builds(order_events.OrderCancelRejected, **common, **request, **reason),
        st.builds(order_events.OrderUpdateRequested, **common, **request, quantity=_QUANTITIES, limit_price=_PRICES),
        st.builds(order_events.OrderUpdated, **common, **request),
        st.builds(order_events.OrderUpdateRejected, **common, **request, **reason),
    )


STARTS = st.sampled_from([(), (order_events.OrderReleased(client_order_id=KEY, at=NOON),)])


def _survivors(events: list[order_events.OrderEvent]) -> tuple[Order, list[order_events.OrderEvent]]:
    """The order after the legal ones among any events, and those."""
    order = new(TERMS)
    kept: list[order_events.OrderEvent] = [initialized(TERMS)]
    for event in events:
        try:
            after = apply(order, event)
        except EventRefusedError:
            continue
        if after is not order:
            kept.append(event)
        order = after
    return order, kept


@given(STARTS, st.lists(_any_event(), max_size=25))
def test_replaying_the_recorded_events_rebuilds_the_order_exactly(
    start: tuple[order_events.OrderEvent, ...], events: list[order_events.OrderEvent]
) -> None:
    order, kept = _survivors([*start, *events])
    stored = [event.model_dump_json() for event in kept]
    again = replay(order_events.parse_order_events(stored))
    assert again == order
    assert repr(again.filled_value) == repr(order.filled_value)  # to the last digit


@given(STARTS, st.lists(_any_event(), max_size=25), st.data())
def test_duplicates_of_recorded_events_change_nothing(
    start: tuple[order_events.OrderEvent, ...], events: list[order_events.OrderEvent], data: st.DataObject
) -> None:
    order, kept = _survivors([*start, *events])
    assert apply(order, data.draw(st.sampled_from(kept))) is order


@given(STARTS, st.lists(_any_event(), max_size=25))
def test_no_fill_is_lost_and_nothing_is_reopened(
    start: tuple[order_events.OrderEvent, ...], events: list[order_events.OrderEvent]
) -> None:
    order, was_closed = new(TERMS), False
    for event in (*start, *events):
        try:
            order = apply(order, event)
        except EventRefusedError:
            continue
        assert order.overfilled <= max(order.filled - order.fillable, Decimal(0))
        assert order.filled == sum((t.quantity for t in order.trades), Decimal(0))
        assert order.filled_value == sum((t.quantity * t.price for t in order.trades), Decimal(0))
        assert len({t.trade_id for t in order.trades}) == len(order.trades)
        assert not was_closed or order.state.is_closed
        was_closed = order.state.is_closed
        if order.state.may_be_at_venue:
            assert order.state is derive_state(order)


@given(st.permutations(["a", "b", "c", "d"]), st.integers(0, 4), st.integers(0, 4))
def test_fills_in_any_order_around_acceptance_and_cancel_give_the_same_totals(order_of: list[str], ack: int, end: int) -> None:
    amounts = {"a": ("1", "99"), "b": ("2.5", "100"), "c": ("0.25", "101"), "d": ("3", "98.5")}
    events: list[order_events.OrderEvent] = [fill(TERMS, name, *amounts[name]) for name in order_of]
    events.insert(end, order_events.OrderCanceled(client_order_id=KEY, at=seconds(9), reason="ASKED"))
    events.insert(ack, order_events.OrderAccepted(client_order_id=KEY, at=seconds(2), venue_order_id="v-1"))
    order = applied(submitted(TERMS), *events)
    assert (order.state, order.filled, order.filled_value) == (OrderState.CANCELED, Decimal("6.75"), Decimal("669.75"))
    assert order.venue_order_id == "v-1"


def test_a_late_answer_to_an_update_that_no_view_showed_counts_with_its_fills() -> None:
    asked = update_requested(accepted(), quantity="12")
    request = asked.pending_update
    assert request is not None
    answer = {"client_order_id": KEY, "at": NOON, "request_id": request.request_id}
    given_up = apply(asked, order_events.OrderUpdateRejected(**answer, reason=order_events.RECONCILED))
    assert (given_up.quantity, given_up.pending_update) == (Decimal(10), None)
    late = apply(given_up, order_events.OrderUpdated(**answer))
    assert (late.quantity, late.given_up) == (Decimal(12), ())
    filled = apply(given_up, fill(TERMS, "t-1", "11"))  # its fill may come before its answer
    assert (filled.filled, filled.state) == (Decimal(11), OrderState.FILLED)
    assert filled.overfilled == 0
    refused = apply(asked, order_events.OrderUpdateRejected(**answer, reason="NO"))
    assert apply(refused, fill(TERMS, "t-1", "11")).overfilled == 1


def test_the_answer_to_a_cancel_of_an_order_that_is_over_changes_nothing_of_it() -> None:
    over = apply(accepted(), fill(TERMS, "t-1", "10"))
    output = order_events.OrderCancelRejected(client_order_id=KEY, at=NOON, request_id="stray-1", reason="ORDER_DONE")
    assert apply(over, output).state is OrderState.FILLED
    assert apply(over, order_events.OrderCanceled(client_order_id=KEY, at=NOON, reason="STRAY")).state is OrderState.FILLED
