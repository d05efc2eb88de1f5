"""A live account: what is asked of the venue, what its reports do, and the races between a stop, a cancel and an exit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
    OrderSubmitted,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction, VenueViewReported
from signalbox.orders.terms import Leg, Side
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Entry
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts, operator_orders, venue_reports
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEventKind
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import SignalSkipReason
from signalbox.trading.errors import RebookNeededError
from signalbox.trading.state import AccountState, opening_transfer
from signalbox.trading.venue_comparison import needs_comparison, request_view
from tests.examples import examples
from tests.unit.trading.market import AT_VENUE, BASE, BTC, START, bar, flat, history, paper, signal, state_at

LIVE: TradingAccount = TradingAccount.model_validate(
    paper().model_dump() | {"account": "live-1", "mode": TradingMode.LIVE, "venue": "exchange"}
)
SECOND = timedelta(seconds=1)
DEADLINE = START + timedelta(minutes=60)


def compared(state: AccountState, at: datetime = START) -> AccountState:
    return replace(state, compared_at=at, at_venue=AT_VENUE)


def entered() -> tuple[AccountState, ExecutionRequested]:
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (request,) = changes.events
    assert isinstance(request, ExecutionRequested)
    return state, request


def reported(state: AccountState, key: str, at: datetime, *events: OrderEvent) -> tuple[AccountState, ChangeSet]:
    return venue_reports.report(state, ExecutionReported(account="live-1", client_order_id=key, reported_at=at, events=events))


def fill(key: str, at: datetime, quantity: Decimal | str, price: str = "60000", trade: str = "t1") -> OrderFilled:
    return OrderFilled(
        client_order_id=key, at=at, account="live-1", symbol=BTC, trade_id=trade, quantity=Decimal(quantity), price=Decimal(price)
    )


def accepted(key: str, at: datetime) -> tuple[OrderEvent, ...]:
    return OrderSubmitted(client_order_id=key, at=at), OrderAccepted(client_order_id=key, at=at, venue_order_id=f"V{key}")


def requests(changes: ChangeSet) -> list[tuple[OrderInstruction, Leg]]:
    return [(e.instruction, e.terms.leg) for e in changes.events if isinstance(e, ExecutionRequested)]


def opened() -> tuple[AccountState, ExecutionRequested, ExecutionRequested]:
    """The account state with a filled entry and a stop that the venue has accepted."""
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.STOP_LOSS)]
    stop = next(e for e in changes.events if isinstance(e, ExecutionRequested))
    state, changes = reported(state, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    assert requests(changes) == []
    return state, entry, stop


def test_entry_that_fills_gets_a_stop_of_its_size_at_the_venue() -> None:
    state, entry, stop = opened()
    assert stop.terms.reduce_only
    assert stop.terms.quantity == entry.terms.quantity
    assert stop.terms.stop_price == state.trades[BTC].stop_loss
    assert stop.snapshot_id is not None


def test_partial_fills_grow_the_stop() -> None:
    state, entry = entered()
    key, at, third = entry.client_order_id, START + SECOND, Decimal("0.1")
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, third))
    stop = next(e for e in changes.events if isinstance(e, ExecutionRequested))
    state, _ = reported(state, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    state, changes = reported(state, key, at + SECOND, fill(key, at + SECOND, third, trade="t2"))
    (grown,) = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert (grown.instruction, grown.quantity, grown.client_order_id) == (
        OrderInstruction.REPLACE,
        2 * third,
        stop.client_order_id,
    )


def test_deadline_cancels_the_stop_first_and_sends_the_exit_once_that_is_confirmed() -> None:
    state, entry, stop = opened()
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, DEADLINE)
    assert requests(changes) == [(OrderInstruction.CANCEL, Leg.STOP_LOSS)]
    again, changes = apply_bars(state, {BTC: flat(BTC, START, 61, "60000")}, DEADLINE + ONE_MINUTE)
    assert requests(changes) == []
    at = DEADLINE + ONE_MINUTE
    state, changes = reported(
        again, stop.client_order_id, at, OrderCanceled(client_order_id=stop.client_order_id, at=at, reason="CANCELED")
    )
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.TIMEOUT)]
    out = next(e for e in changes.events if isinstance(e, ExecutionRequested)).client_order_id
    state, changes = reported(state, out, at, *accepted(out, at), fill(out, at, entry.terms.quantity, trade="t9"))
    assert state.is_idle
    assert changes.trades[-1].exit_leg is Leg.TIMEOUT


def test_stop_that_fills_while_it_is_cancelled_leaves_nothing_to_send() -> None:
    state, entry, stop = opened()
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, DEADLINE)
    key, at = stop.client_order_id, DEADLINE + SECOND
    state, changes = reported(state, key, at, fill(key, at, entry.terms.quantity, "59000", "t2"))
    assert requests(changes) == []
    assert changes.trades[-1].exit_leg is Leg.STOP_LOSS
    assert state.is_idle


def test_stop_that_the_venue_ends_is_answered_by_leaving_at_once() -> None:
    state, _, stop = opened()
    key, at = stop.client_order_id, START + ONE_MINUTE
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="SELF"))
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.EXIT)]


def test_an_overfilled_entry_is_booked_protected_and_stops_the_account() -> None:
    state, entry, _ = opened()
    at, key = START + ONE_MINUTE, entry.client_order_id
    before = state.books.position(BTC).quantity
    state, changes = reported(state, key, at, fill(key, at, "5", trade="t7"))
    assert [risk.kind for risk in changes.risk] == [RiskEventKind.OVERFILL, RiskEventKind.HALTED]
    assert changes.risk[0].value == 5
    assert state.books.position(BTC).quantity == before + 5
    assert state.halt is not None
    assert state.halt.why == "OVERFILL"
    assert {request.instruction for request in changes.events if isinstance(request, ExecutionRequested)}  # the stop grows
    again, nothing = reported(state, key, at, fill(key, at, "5", trade="t7"))
    assert again.books == state.books
    assert not nothing.risk


def test_a_stop_made_larger_in_the_app_is_booked_and_its_excess_closed() -> None:
    state, entry, stop = opened()
    state = state.after(account=state.account.model_copy(update={"venue": "mt5"}))  # where one can be short
    at, key = START + ONE_MINUTE, stop.client_order_id
    more = entry.terms.quantity + Decimal("0.25")
    state, changes = reported(state, key, at, fill(key, at, more, trade="t7"))
    assert RiskEventKind.OVERFILL in {risk.kind for risk in changes.risk}
    assert state.books.position(BTC).quantity == Decimal("-0.25")
    (out,) = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert (out.terms.side, out.terms.quantity, out.terms.reduce_only) == (Side.BUY, Decimal("0.25"), True)


def test_a_conflicting_trade_is_refused_recorded_and_stops_the_account() -> None:
    state, entry, stop = opened()
    at = START + ONE_MINUTE
    wrong = fill(entry.client_order_id, at, entry.terms.quantity, "1")
    after, changes = reported(state, entry.client_order_id, at, wrong)
    assert [risk.kind for risk in changes.risk] == [RiskEventKind.EVENT_REFUSED, RiskEventKind.HALTED]
    assert after.books == state.books
    key = entry.terms.client_order_id
    assert after.orders[key] == state.orders[key]
    other = fill(stop.client_order_id, at, "0.01", trade="t1")  # the trade id of the entry
    after, changes = reported(state, stop.client_order_id, at, other)
    assert RiskEventKind.EVENT_REFUSED in {risk.kind for risk in changes.risk}
    assert after.books == state.books


def test_late_fill_of_a_cancelled_entry_is_booked_and_closed_again() -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    end = OrderCanceled(client_order_id=key, at=at, reason="IOC")
    state, changes = reported(state, key, at, *accepted(key, at), end)
    assert not state.trades
    state, changes = reported(state, key, at + SECOND, fill(key, at, "0.1"))
    assert state.books.position(BTC).quantity == Decimal("0.1")
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.EXIT)]


def test_a_late_fill_beside_an_open_trade_is_closed_by_an_order_of_its_own() -> None:
    state, first = entered()
    key, at = first.client_order_id, START + SECOND
    state, _ = reported(state, key, at, *accepted(key, at), OrderCanceled(client_order_id=key, at=at, reason="IOC"))
    later = START + timedelta(minutes=5)
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 5, "60000")}, later)
    state, changes = enter(compared(state, later), signal(at=later), history(until=later), later)
    second = next(e for e in changes.events if isinstance(e, ExecutionRequested)).client_order_id
    state, _ = reported(state, second, later + SECOND, *accepted(second, later), fill(second, later, "0.1", trade="t2"))
    state, changes = reported(state, key, later + 2 * SECOND, fill(key, later + 2 * SECOND, "0.1", trade="t3"))
    assert state.books.position(BTC).quantity == Decimal("0.2")
    assert state.halt is None
    assert [risk.kind for risk in changes.risk] == [RiskEventKind.LATE_FILL]
    (out,) = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert (out.terms.leg, out.terms.side, out.terms.quantity, out.entry) == (Leg.EXIT, Side.SELL, Decimal("0.1"), key)
    at = later + 3 * SECOND
    state, _ = reported(
        state, out.client_order_id, at, *accepted(out.client_order_id, at), fill(out.client_order_id, at, "0.1", trade="t4")
    )
    assert state.books.position(BTC).quantity == Decimal("0.1")
    assert [trade.entry for trade in state.trades.values()] == [second]
    assert not state.closings


@pytest.mark.parametrize("part", ["0.00073421", "0.00000001"])
def test_a_partial_entry_off_our_step_or_minimum_is_protected_and_closed(part: str) -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    end = OrderCanceled(client_order_id=key, at=at, reason="IOC")
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, part), end)
    (stop,) = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert (stop.terms.leg, stop.terms.quantity) == (Leg.STOP_LOSS, Decimal(part))
    name = stop.client_order_id
    state, _ = reported(state, name, at, *accepted(name, at))
    state, changes = reported(state, name, at + SECOND, OrderCanceled(client_order_id=name, at=at + SECOND, reason="SELF"))
    (out,) = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert (out.terms.leg, out.terms.quantity) == (Leg.EXIT, Decimal(part))


def test_a_refused_cancel_is_sent_again_once_a_minute_until_the_trade_is_closed() -> None:
    state, _, stop = opened()
    key = stop.client_order_id
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, DEADLINE)
    asked = [e for e in changes.events if isinstance(e, ExecutionRequested)]
    refusals = []
    for minute in range(1, 4):
        at = DEADLINE + ONE_MINUTE * minute
        request_id = asked[-1].request_id or ""
        refused = OrderCancelRejected(client_order_id=key, at=at - SECOND, request_id=request_id, reason="VENUE_REFUSED")
        state, changes = reported(state, key, at - SECOND, refused)
        refusals.append(len(requests(changes)))
        asked += [e for e in changes.events if isinstance(e, ExecutionRequested)]
        state, changes = apply_bars(state, {BTC: flat(BTC, START, 60 + minute, "60000")}, at)
        asked += [e for e in changes.events if isinstance(e, ExecutionRequested)]
    assert {(e.instruction, e.terms.leg) for e in asked} == {(OrderInstruction.CANCEL, Leg.STOP_LOSS)}
    assert len({e.event_id for e in asked}) == len(asked)  # the outbox keeps one event of a name
    assert len(asked) >= 3
    assert max(refusals) <= 1  # a refusal is not answered without end
    at = DEADLINE + ONE_MINUTE * 4
    _, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="CANCELED"))
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.TIMEOUT)]


def test_a_persons_cancel_that_was_refused_is_not_repeated_by_its_second_delivery() -> None:
    state, _, stop = opened()
    key, at = stop.terms.client_order_id, START + 2 * SECOND
    state, changes = operator_orders.cancel(state, key, "req-1", at)
    assert requests(changes) == [(OrderInstruction.CANCEL, Leg.STOP_LOSS)]
    state, _ = reported(state, key, at, OrderCancelRejected(client_order_id=key, at=at, request_id="req-1", reason="NO"))
    assert operator_orders.cancel(state, key, "req-1", at + ONE_MINUTE) == (state, NO_CHANGES)


def test_fill_that_comes_after_younger_ones_is_booked_from_all_entries() -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + 5 * SECOND
    state, first = reported(state, key, at, *accepted(key, at), fill(key, at, "0.1", trade="t2"))
    late = ExecutionReported(
        account="live-1", client_order_id=key, reported_at=at, events=(fill(key, START + SECOND, "0.1", "59000", "t1"),)
    )
    with pytest.raises(RebookNeededError):
        venue_reports.report(state, late)
    history_of = [opening_transfer(LIVE, START - timedelta(hours=1)), *first.entries]
    state, changes = venue_reports.report(state, late, history_of)
    assert changes.rebooked
    assert state.books == book(LIVE.account, [*history_of, *changes.entries]).books
    assert venue_reports.report(state, late) == (state, NO_CHANGES)


def test_account_is_compared_before_it_takes_new_risk_and_differences_stop_it() -> None:
    state = state_at(LIVE)
    assert needs_comparison(state, START)
    _, changes = enter(state, signal(), history(), START)
    assert [risk.code for risk in changes.risk] == [SignalSkipReason.NOT_COMPARED]
    _, changes = enter(compared(state), signal(stage="shadow"), history(), START)
    assert [risk.code for risk in changes.risk] == [SignalSkipReason.STAGE]
    seen = VenueViewReported(account="live-1", requested_at=START, asked_at=START, orders=(), trades=(), positions={})
    state, changes = venue_reports.compare(state, seen)
    assert state.compared_at == START
    assert not needs_comparison(state, START + ONE_MINUTE)
    odd = seen.model_copy(update={"asked_at": START + ONE_MINUTE, "positions": {BTC: Decimal(1)}})
    state, changes = venue_reports.compare(state, odd)
    assert ([risk.kind for risk in changes.risk], state.halt) == ([RiskEventKind.DOUBTED], None)
    state, changes = venue_reports.compare(state, odd.model_copy(update={"asked_at": START + 2 * ONE_MINUTE}))
    assert [risk.code for risk in changes.risk] == ["POSITION_DIFFERS", "HALT"]


def test_venue_is_asked_every_minute_while_something_is_held() -> None:
    """A stop that somebody takes out in the venue's own app is told by nothing else."""
    state, _, _ = opened()
    assert not needs_comparison(state, START + 50 * SECOND)
    assert needs_comparison(state, START + ONE_MINUTE)
    assert not needs_comparison(compared(state_at(LIVE)), START + ONE_MINUTE)


def test_order_without_an_answer_is_asked_about_and_found_by_comparing() -> None:
    state, entry = entered()
    key, at = entry.client_order_id, START + SECOND
    state, _ = reported(state, key, at, OrderUnconfirmed(client_order_id=key, at=at, attempt="submit"))
    assert needs_comparison(state, START + 31 * SECOND)
    _, changes = request_view(state, START + 31 * SECOND)
    assert changes.events[0].model_dump()["orders"] == (key,)
    view = VenueViewReported.model_validate(
        {
            "account": "live-1",
            "requested_at": START,
            "asked_at": START + 32 * SECOND,
            "orders": [
                {"client_order_id": key, "venue_order_id": "V", "symbol": BTC, "status": "FILLED"}
                | {"quantity": entry.terms.quantity, "filled": entry.terms.quantity}
            ],
            "trades": [
                {"trade_id": "t1", "client_order_id": key, "symbol": BTC, "side": "BUY", "quantity": entry.terms.quantity}
                | {"price": Decimal(60000), "executed_at": at}
            ],
            "positions": {BTC: entry.terms.quantity},
        }
    )
    state, changes = venue_reports.compare(state, view)
    assert state.halt is None
    assert requests(changes) == [(OrderInstruction.SUBMIT, Leg.STOP_LOSS)]


# The races


@dataclass
class _Venue:
    """A venue that honours reduce-only and answers every request, in its own time."""

    draw: st.DataObject
    position: Decimal = Decimal(0)
    left: dict[str, Decimal] = field(default_factory=dict)
    terms: dict[str, ExecutionRequested] = field(default_factory=dict)
    reports: deque[ExecutionReported] = field(default_factory=deque)
    trades: int = 0
    lowest: Decimal = Decimal(0)

    def say(self, key: str, at: datetime, *events: OrderEvent) -> None:
        self.reports.append(ExecutionReported(account="live-1", client_order_id=key, reported_at=at, events=events))

    def ask(self, request: ExecutionRequested, at: datetime) -> None:
        key = request.client_order_id
        match request.instruction:
            case OrderInstruction.SUBMIT:
                self.left[key], self.terms[key] = request.terms.quantity, request
                self.say(key, at, *accepted(key, at))
                if request.terms.type == "MARKET":
                    self.trade(key, at, whole=request.terms.reduce_only)
                    if self.left[key] and request.terms.time_in_force == "IOC":
                        if self.draw.draw(st.booleans(), "more of the entry"):
                            self.trade(key, at)
                        if self.left[key]:
                            self.left[key] = Decimal(0)
                            self.say(key, at, OrderCanceled(client_order_id=key, at=at, reason="IOC"))
            case OrderInstruction.CANCEL:
                answer = {"client_order_id": key, "at": at}
                if self.left[key]:
                    self.left[key] = Decimal(0)
                    self.say(key, at, OrderCanceled(**answer, reason="CANCELED"))
                else:
                    self.say(key, at, OrderCancelRejected(**answer, request_id=request.request_id, reason="OVER"))
            case OrderInstruction.REPLACE:
                answer = {"client_order_id": key, "at": at, "request_id": request.request_id}
                if self.left[key] and self.draw.draw(st.booleans(), "replace"):
                    done = self.terms[key].terms.quantity - self.left[key]
                    self.left[key] = (request.quantity or Decimal(0)) - done
                    self.terms[key] = self.terms[key].model_copy(
                        update={"terms": request.terms.model_copy(update={"quantity": request.quantity})}
                    )
                    self.say(key, at, OrderUpdated(**answer))
                else:
                    self.say(key, at, OrderUpdateRejected(**answer, reason="NO"))

    def trade(self, key: str, at: datetime, *, whole: bool = False) -> None:
        terms = self.terms[key].terms
        most = self.left[key]
        if terms.reduce_only:
            most = min(most, max(-self.position * terms.side.sign, Decimal(0)))
        if not most:
            return
        part = most if whole else min(most, self.draw.draw(st.sampled_from((Decimal("0.01"), Decimal("0.1"), most)), "part"))
        self.trades += 1
        self.left[key] -= part
        self.position += terms.side.sign * part
        self.lowest = min(self.lowest, self.position)
        self.say(key, at, fill(key, at, part, trade=f"x{self.trades}"))


@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_position_never_turns_and_ends_flat_whatever_races_the_exit(data: st.DataObject) -> None:
    venue = _Venue(data)
    state, first = entered()
    asked: deque[ExecutionRequested] = deque([first])
    refused: list[object] = []
    at, flatten_at = START, data.draw(st.none() | st.integers(1, 30), "flatten at")
    entries: list[Entry] = [opening_transfer(LIVE, START - timedelta(hours=1))]

    def take(step: tuple[AccountState, ChangeSet]) -> None:
        nonlocal state
        state, changes = step
        asked.extend(e for e in changes.events if isinstance(e, ExecutionRequested))
        refused.extend(r for r in changes.risk if r.kind in {RiskEventKind.EVENT_REFUSED, RiskEventKind.ORDER_REFUSED})
        entries.extend(changes.entries)

    for i in range(140):
        at += 30 * SECOND
        is_end = i >= 125  # the rest is quiet: everything is answered and delivered
        if i == flatten_at:
            take(halts.halt(state, HaltLevel.FLATTEN, "anna", "enough", at))
        if asked and (is_end or data.draw(st.booleans(), "venue acts")):
            while asked:
                venue.ask(asked.popleft(), at)
        for key, request in sorted(venue.terms.items()):
            may_trade = request.terms.leg is Leg.STOP_LOSS and venue.left[key] and not is_end and i % 9 == 0
            if may_trade and data.draw(st.booleans(), "stop trades"):
                venue.trade(key, at)
        while venue.reports and (is_end or data.draw(st.booleans(), "delivered")):
            report = venue.reports.popleft()
            take(venue_reports.report(state, report))
            if data.draw(st.booleans(), "twice") if not is_end else False:
                assert venue_reports.report(state, report) == (state, NO_CHANGES)
        close = at.replace(second=0)
        take(apply_bars(state, {BTC: [bar(BTC, close - ONE_MINUTE, BASE[BTC])]}, at))
    assert not refused
    assert venue.lowest >= 0
    assert venue.position == 0
    assert state.books.position(BTC).quantity == 0
    assert state.is_idle
    assert state.halt is None or state.halt.level is HaltLevel.FLATTEN
    assert book(LIVE.account, entries).books == state.books
