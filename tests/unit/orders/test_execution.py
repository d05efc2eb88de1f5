from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.events import parse_event
from signalbox.orders import events as order_events
from signalbox.orders.errors import TradeConflictError
from signalbox.orders.execution import SEND_TOO_LATE, execute, forward, query
from signalbox.orders.lifecycle import apply
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.order import Order
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_port import CLOCK_SKEW, OrderStatusReport, VenueBusyError
from signalbox.orders.venue_view import VenueStatus
from tests.builders import NOON
from tests.fakes.venues import Answer, Clock, Killed, MemorySendLog, MemoryVenue
from tests.unit.orders.samples import ACCOUNT, applied, new, seconds, terms
from tests.unit.orders.samples import asked as request_of

TERMS = terms()
LIMIT = terms(price="100")


def asked(instruction: OrderInstruction = OrderInstruction.SUBMIT, of: Any = TERMS, **changes: Any) -> ExecutionRequested:
    return request_of(of, instruction, **changes)


def released(of: Any = TERMS) -> Order:
    return applied(new(of), order_events.OrderReleased(client_order_id=of.client_order_id, at=NOON))


def kinds(report: ExecutionReported) -> list[str]:
    return [event.kind for event in report.events]


def run(venue: MemoryVenue, log: MemorySendLog | None = None, request: ExecutionRequested | None = None) -> ExecutionReported:
    return execute(request or asked(), venue, log if log is not None else MemorySendLog(), Clock(seconds(1)))


def test_a_send_reports_itself_the_acceptance_and_the_trades() -> None:
    venue = MemoryVenue(seconds(2), fills=(("t2", "6", "101"), ("t1", "4", "100")), status=VenueStatus.FILLED)
    report = run(venue)
    assert kinds(report) == ["OrderSubmitted", "OrderAccepted", "OrderFilled", "OrderFilled"]
    assert [e.trade_id for e in report.events if isinstance(e, order_events.OrderFilled)] == ["t1", "t2"]
    assert applied(released(), *report.events).state is OrderState.FILLED
    assert parse_event(report.type, report.to_detail()) == report


@pytest.mark.parametrize(("late", "sent"), [(timedelta(microseconds=-1), 1), (timedelta(0), 0), (timedelta(hours=1), 0)])
def test_nothing_is_sent_at_or_after_send_before(late: timedelta, sent: int) -> None:
    venue = MemoryVenue(NOON)
    report = execute(asked(), venue, MemorySendLog(), Clock(TERMS.send_before + late))
    assert len(venue.sends) == sent
    if not sent:
        assert [(e.kind, e.reason) for e in report.events if isinstance(e, order_events.OrderExpired)] == [
            ("OrderExpired", SEND_TOO_LATE)
        ]
        assert applied(released(), *report.events).state is OrderState.EXPIRED


def test_a_preparation_that_takes_past_send_before_sends_nothing() -> None:
    venue, log = MemoryVenue(NOON), MemorySendLog()
    report = execute(asked(), venue, log, Clock(TERMS.send_before - timedelta(seconds=2), step=timedelta(seconds=1)))
    assert (venue.sends, log.records, kinds(report)) == ([], {}, ["OrderExpired"])


def test_what_cannot_be_prepared_is_rejected_and_leaves_no_trace() -> None:
    venue, log = MemoryVenue(NOON, refuse_prepare=CLOCK_SKEW), MemorySendLog()
    (event,) = run(venue, log).events
    assert isinstance(event, order_events.OrderRejected)
    assert (event.reason, venue.sends, log.records) == (CLOCK_SKEW, [], {})


def test_a_lost_acknowledgement_is_asked_for_at_once_and_found() -> None:
    venue = MemoryVenue(NOON, iter([Answer.LOST_AFTER]))
    assert kinds(run(venue)) == ["OrderSubmitted", "OrderAccepted"]
    assert len(venue.sends) == 1


def test_no_answer_and_no_trace_is_unknown_and_not_failed() -> None:
    venue, log = MemoryVenue(NOON, iter([Answer.LOST_BEFORE])), MemorySendLog()
    report = run(venue, log)
    assert kinds(report) == ["OrderSubmitted", "OrderUnconfirmed"]
    order = applied(released(), *report.events)
    assert order.is_ambiguous
    assert order.state is OrderState.SUBMITTED
    assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderUnconfirmed"]
    assert venue.sends == []  # a second delivery asks and does not send


def test_a_rate_limit_is_delivered_again_and_may_send_then() -> None:
    venue, log = MemoryVenue(NOON, iter([Answer.BUSY])), MemorySendLog()
    with pytest.raises(VenueBusyError) as caught:
        run(venue, log)
    assert caught.value.retry_after == 3
    assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderAccepted"]
    assert len(venue.sends) == 1


@pytest.mark.parametrize("when", [Answer.KILLED_BEFORE, Answer.KILLED_AFTER])
def test_a_kill_between_send_and_report_never_sends_twice(when: Answer) -> None:
    venue, log = MemoryVenue(NOON, iter([when])), MemorySendLog()
    with pytest.raises(Killed):
        run(venue, log)
    report = run(venue, log)
    assert kinds(report)[0] == "OrderSubmitted"
    assert kinds(report)[1] == ("OrderUnconfirmed" if when is Answer.KILLED_BEFORE else "OrderAccepted")
    assert len(venue.sends) == (when is Answer.KILLED_AFTER)


def test_a_second_worker_that_lost_the_race_only_asks() -> None:
    class Raced(MemorySendLog):
        @override
        def read(self, account: str, client_order_id: str) -> None:
            return None

    venue, log = MemoryVenue(NOON), Raced()
    assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderAccepted"]
    assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderAccepted"]
    assert len(venue.sends) == 1


def test_an_overfill_is_reported_as_it_is_and_recorded() -> None:
    report = run(MemoryVenue(NOON, fills=(("t1", "11", "100"),), status=VenueStatus.FILLED))
    order = applied(released(), *report.events[:2])
    assert apply(order, report.events[2]).overfilled == 1


def test_a_trade_id_with_other_data_is_reported_as_it_is_and_the_ledger_refuses_it() -> None:
    venue, log = MemoryVenue(NOON, fills=(("t1", "3", "100"),)), MemorySendLog()
    order = applied(released(), *run(venue, log).events)
    (name,) = venue.book
    (trade,) = venue.book[name].trades
    venue.book[name] = replace(venue.book[name], trades=(replace(trade, price=trade.price + 1),))
    second = run(venue, log)
    with pytest.raises(TradeConflictError):
        applied(order, *second.events)


def test_an_end_is_held_back_while_trades_of_it_are_missing() -> None:
    venue, log = MemoryVenue(NOON, fills=(("t1", "3", "100"),), status=VenueStatus.CANCELED), MemorySendLog()
    assert kinds(run(venue, log))[-1] == "OrderCanceled"
    (name,) = venue.book
    venue.book[name] = replace(venue.book[name], trades=())
    assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderAccepted"]


def cancelling(order: Order) -> Order:
    return applied(
        order, order_events.OrderCancelRequested(client_order_id=order.client_order_id, at=seconds(3), request_id="r1")
    )


def test_a_cancel_takes_the_order_out_and_says_so() -> None:
    venue, log = MemoryVenue(NOON, fills=(("t1", "3", "100"),)), MemorySendLog()
    order = cancelling(applied(released(LIMIT), *run(venue, log, asked(of=LIMIT)).events))
    report = run(venue, log, asked(OrderInstruction.CANCEL, LIMIT))
    assert isinstance(report.events[-1], order_events.OrderCanceled)
    assert applied(order, *report.events).state is OrderState.CANCELED


def test_a_fill_after_the_cancel_is_a_late_fill() -> None:
    venue, log = MemoryVenue(NOON), MemorySendLog()
    order = cancelling(applied(released(LIMIT), *run(venue, log, asked(of=LIMIT)).events))
    order = applied(order, *run(venue, log, asked(OrderInstruction.CANCEL, LIMIT)).events)
    late = MemoryVenue(NOON, fills=(("t9", "2", "100"),), status=VenueStatus.CANCELED)
    late.submit(asked(of=LIMIT))
    venue.book = late.book
    order = applied(order, *run(venue, log, asked(of=LIMIT)).events)
    assert (order.state, order.filled) == (OrderState.CANCELED, Decimal(2))


def test_a_cancel_of_what_is_filled_is_refused_with_the_fills() -> None:
    venue, log = MemoryVenue(NOON, fills=(("t1", "10", "100"),), status=VenueStatus.FILLED), MemorySendLog()
    order = cancelling(applied(released(), order_events.OrderSubmitted(client_order_id=TERMS.client_order_id, at=NOON)))
    run(venue, log)
    report = run(venue, log, asked(OrderInstruction.CANCEL))
    assert isinstance(report.events[-1], order_events.OrderCancelRejected)
    assert applied(order, *report.events).state is OrderState.FILLED


def test_a_cancel_without_an_answer_stays_pending() -> None:
    venue, log = MemoryVenue(NOON), MemorySendLog()
    order = cancelling(applied(released(LIMIT), *run(venue, log, asked(of=LIMIT)).events))
    venue.answers = iter([Answer.LOST_AFTER])
    report = run(venue, log, asked(OrderInstruction.CANCEL, LIMIT))
    assert [e.attempt for e in report.events if isinstance(e, order_events.OrderUnconfirmed)] == ["r1"]
    assert applied(order, *report.events).state is OrderState.PENDING_CANCEL


@pytest.mark.parametrize("forgets", [True, False])
def test_an_order_that_is_not_shown_is_not_called_cancelled_by_whoever_asked(forgets: bool) -> None:
    venue, log = MemoryVenue(NOON, forgets_unfilled=forgets), MemorySendLog()
    run(venue, log, asked(of=LIMIT))
    venue.book.clear()
    report = run(venue, log, asked(OrderInstruction.CANCEL, LIMIT))
    assert kinds(report) == ["OrderUnconfirmed"]
    wanted = VenueViewRequested(
        account=ACCOUNT, venue="coinbase", at=NOON, since=NOON, orders=(LIMIT.client_order_id,), symbols=("BTC-USD",)
    )
    view = query(wanted, venue, log)
    assert (view.orders, view.forgets_unfilled) == ((), forgets)
    assert parse_event(view.type, view.to_detail()) == view
    assert isinstance(view, VenueViewReported)


def test_a_replace_is_told_by_what_is_there_after_it() -> None:
    venue, log = MemoryVenue(NOON), MemorySendLog()
    run(venue, log, asked(of=LIMIT))
    report = run(venue, log, asked(OrderInstruction.REPLACE, LIMIT, quantity="7"))
    assert [type(e) for e in report.events] == [order_events.OrderUpdated]
    report = run(venue, log, asked(OrderInstruction.REPLACE, LIMIT, limit_price="99"))
    assert [type(e) for e in report.events] == [order_events.OrderUpdateRejected]


def test_what_is_handed_on_is_submitted_unless_it_is_late() -> None:
    handed: list[str] = []

    class Box:
        def forward(self, request: Any) -> None:
            handed.append(request.event_id)

    report = forward(asked(), Box(), Clock(NOON))
    assert report is not None
    assert kinds(report) == ["OrderSubmitted"]
    assert forward(asked(OrderInstruction.CANCEL), Box(), Clock(NOON)) is None
    late = forward(asked(), Box(), Clock(TERMS.send_before))
    assert late is not None
    assert kinds(late) == ["OrderExpired"]
    assert len(handed) == 2


@given(
    answers=st.lists(st.sampled_from(Answer), max_size=8),
    deliveries=st.integers(1, 5),
    fills=st.lists(st.integers(1, 3), max_size=3),
    forgets=st.booleans(),
)
def test_whatever_fails_an_order_is_sent_at_most_once_and_every_event_is_legal(
    answers: list[Answer], deliveries: int, fills: list[int], forgets: bool
) -> None:
    trades = tuple((f"t{n}", str(size), "100") for n, size in enumerate(fills))
    venue = MemoryVenue(NOON, iter(answers), forgets_unfilled=forgets, fills=trades)
    log, clock, order = MemorySendLog(), Clock(seconds(1), step=timedelta(seconds=1)), released()
    for _ in range(deliveries):
        try:
            events: tuple[order_events.OrderEvent, ...] = execute(asked(), venue, log, clock).events
        except (Killed, VenueBusyError):
            continue
        order = applied(order, *events)
        assert any(isinstance(e, order_events.OrderAccepted) for e in events) <= bool(venue.sends)
    assert len(venue.sends) <= 1
    assert not (venue.sends and order.state is OrderState.EXPIRED)


def test_a_standing_without_a_reason_still_says_why_it_was_rejected() -> None:
    venue = MemoryVenue(NOON, status=VenueStatus.REJECTED)
    (_, event) = run(venue).events
    assert isinstance(event, order_events.OrderRejected)
    assert event.reason
    assert isinstance(next(iter(venue.book.values())), OrderStatusReport)
