"""Leaving a position: what was refused is tried again, what rests in the way goes first, and it ends flat or is told about."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import (
    OrderCanceled,
    OrderCancelRejected,
    OrderRejected,
    OrderUnconfirmed,
    OrderUpdateRejected,
)
from signalbox.orders.messages import ExecutionRequested, OrderInstruction, VenueViewReported
from signalbox.orders.reconciliation import VenueDifference
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.entries import Fill
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import bookings, halts, operator_orders, venue_reports
from signalbox.trading.account import TradingAccount
from signalbox.trading.at_venue import Doubt
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import SignalSkipReason
from signalbox.trading.events import AccountReviewDue, ExitFailed, StopPassed, TradeClosed
from signalbox.trading.open_quantity import held_by
from signalbox.trading.order_requests import pause_after
from signalbox.trading.state import AccountState, TradeState, opening_transfer
from tests.unit.trading.market import BTC, ETH, START, bar, flat, history, paper, signal, state_at
from tests.unit.trading.test_live import LIVE, SECOND, accepted, compared, fill, opened, reported, requests

MT5: TradingAccount = TradingAccount.model_validate(LIVE.model_dump() | {"venue": "mt5"})
PERSON = "manual-req-1"


def theirs(account: TradingAccount, side: Side, quantity: str, *, reduce_only: bool, at: datetime = START) -> OrderTerms:
    """An order of a person that rests far from the market."""
    return OrderTerms(
        account=account.account,
        strategy=PERSON,
        symbol=BTC,
        decided_at=at,
        leg=Leg.EXIT if reduce_only else Leg.ENTRY,
        side=side,
        type=OrderType.LIMIT,
        limit_price=Decimal(62_000) if side is Side.SELL else Decimal(58_000),
        quantity=Decimal(quantity),
        reduce_only=reduce_only,
        send_before=at + timedelta(minutes=5),
    )


def asked(changes: ChangeSet, instruction: OrderInstruction = OrderInstruction.SUBMIT) -> list[ExecutionRequested]:
    return [e for e in changes.events if isinstance(e, ExecutionRequested) and e.instruction is instruction]


# On paper: what a person has resting never stands in the way of a stop, the kill switch or a deadline


def long_on_paper() -> AccountState:
    state, _ = enter(state_at(paper()), signal(), history(), START)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    assert state.trades[BTC].state is TradeState.OPEN
    return state


@pytest.mark.parametrize("reduce_only", [True, False])
def test_stop_on_paper_closes_the_trade_past_a_persons_order_that_rests_on_its_side(reduce_only: bool) -> None:
    state = long_on_paper()
    at = START + ONE_MINUTE
    state, _ = operator_orders.submit(state, theirs(state.account, Side.SELL, "0.1", reduce_only=reduce_only, at=at), at)
    fall = bar(BTC, at, "60000", low="59000", close="59100")
    state, changes = apply_bars(state, {BTC: [fall]}, at + ONE_MINUTE)
    assert [t.state for t in changes.trades][-1] is TradeState.CLOSED
    assert not state.books.position(BTC).quantity
    assert RiskEventKind.ORDER_REFUSED not in {risk.kind for risk in changes.risk}


@pytest.mark.parametrize("reduce_only", [True, False])
@pytest.mark.parametrize("cause", ["FLATTEN", "deadline"])
def test_every_reason_to_leave_on_paper_ends_flat_past_a_persons_order(reduce_only: bool, cause: str) -> None:
    state = long_on_paper()
    at = START + ONE_MINUTE
    state, _ = operator_orders.submit(state, theirs(state.account, Side.SELL, "0.1", reduce_only=reduce_only, at=at), at)
    minutes = 3
    if cause == "FLATTEN":
        state, _ = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    else:
        minutes = 65
    state, changes = apply_bars(state, {BTC: flat(BTC, at, minutes, "60000")}, at + ONE_MINUTE * minutes)
    assert state.books.position(BTC).quantity == 0
    assert not state.trades
    assert RiskEventKind.ORDER_REFUSED not in {risk.kind for risk in changes.risk}


# Live: precedence, retries, and the stop put back


def rejected(
    state: AccountState, key: str, at: datetime, reason: str = "MARKET_CLOSED", detail: str = ""
) -> tuple[AccountState, ChangeSet]:
    return reported(state, key, at, OrderRejected(client_order_id=key, at=at, reason=reason, detail=detail))


def sold_by_a_person(state: AccountState, at: datetime) -> tuple[AccountState, str]:
    """Return the state after a person's order to sell 0.1, and the order's id."""
    order = theirs(state.account, Side.SELL, "0.1", reduce_only=False, at=at)
    return operator_orders.submit(state, order, at)[0], order.client_order_id


def test_orders_in_the_way_are_cancelled_and_the_exit_takes_what_is_freed() -> None:
    state, entry, stop = opened()
    at = START + 2 * SECOND
    state, name = sold_by_a_person(state, at)
    state, _ = reported(state, name, at, *accepted(name, at))
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    assert {e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)} == {name, stop.client_order_id}
    assert asked(changes) == []  # the venue holds the coins until it has confirmed
    state, changes = reported(
        state, stop.client_order_id, at, OrderCanceled(client_order_id=stop.client_order_id, at=at, reason="X")
    )
    (first,) = asked(changes)
    assert first.terms.quantity == entry.terms.quantity - Decimal("0.1")
    state, changes = reported(state, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    out = first.client_order_id
    state, changes = reported(state, out, at, *accepted(out, at), fill(out, at, first.terms.quantity, trade="t8"))
    (second,) = asked(changes)
    assert second.terms.quantity == Decimal("0.1")
    assert second.client_order_id != out
    out = second.client_order_id
    state, changes = reported(state, out, at, *accepted(out, at), fill(out, at, "0.1", trade="t9"))
    assert state.is_idle
    assert any(isinstance(e, TradeClosed) for e in changes.events)


def test_person_that_holds_more_than_the_trade_keeps_what_is_not_in_its_way() -> None:
    state, _, stop = opened()
    at = START + 2 * SECOND
    for place, quantity in enumerate(("1", "1")):
        bought = theirs(state.account, Side.BUY, quantity, reduce_only=False, at=at + place * SECOND)
        state, _ = operator_orders.submit(state, bought, at + place * SECOND)
        key = bought.client_order_id
        if key in state.orders and not state.orders[key].state.is_closed:
            state, _ = reported(state, key, at, *accepted(key, at), fill(key, at, quantity, trade=f"b{place}"))
    sold = theirs(state.account, Side.SELL, "0.1", reduce_only=True, at=at + 5 * SECOND)
    state, _ = operator_orders.submit(state, sold, at + 5 * SECOND)
    state, _ = reported(state, sold.client_order_id, at + 5 * SECOND, *accepted(sold.client_order_id, at))
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, START + timedelta(minutes=60))
    assert {e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)} == {stop.client_order_id}


def test_a_refused_exit_is_retried_under_a_new_id_while_the_position_is_open() -> None:
    state, entry, stop = opened()
    at = START + timedelta(minutes=60)
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, at)
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    sent: list[ExecutionRequested] = asked(changes)
    alarms: list[ExitFailed] = []
    for _ in range(60):  # twenty minutes of refusals, as when a market is closed
        at += 20 * SECOND
        open_ones = [o for o in state.orders.values() if not o.state.is_closed]
        for order in open_ones:
            state, changes = rejected(state, order.client_order_id, at, detail="10018 Market closed")
            sent += asked(changes)
            alarms += [e for e in changes.events if isinstance(e, ExitFailed)]
        state, changes = apply_bars(state, {BTC: [bar(BTC, at.replace(second=0) - ONE_MINUTE, "60000")]}, at)
        sent += asked(changes)
        alarms += [e for e in changes.events if isinstance(e, ExitFailed)]
    exits = [e for e in sent if e.terms.type is OrderType.MARKET]
    assert len(exits) > 20
    assert len({e.client_order_id for e in sent}) == len(sent)
    assert {e.terms.quantity for e in exits} == {entry.terms.quantity}
    assert [e.number for e in alarms] == [1, 2, 3, 4, 5]  # after 1, 2, 5, 10 and 20 minutes: told again, and no flood
    assert "10018 Market closed" in alarms[-1].reason
    assert state.halt is None  # nothing was given up, so nobody has to resume it


@pytest.mark.parametrize("reasons", [("MARKET_CLOSED", "INSUFFICIENT_FUNDS", "CLOCK_SKEW"), ("PRICE_OLD",) * 3])
def test_three_refusals_within_a_second_are_no_end(reasons: tuple[str, ...]) -> None:
    state, entry, stop = opened()
    at = START + SECOND * 5
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    for reason in reasons:
        tried = [o.client_order_id for o in state.orders.values() if not o.state.is_closed]
        for one in tried:
            state, changes = rejected(state, one, at, reason)
    trade = state.trades[BTC]
    assert trade.state is TradeState.EXITING
    assert trade.progress.retry_at is not None
    assert timedelta(0) < trade.progress.retry_at - at <= timedelta(seconds=40)
    state, changes = apply_bars(state, {}, trade.progress.retry_at)
    for name in [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)]:  # a stop that was put back makes way
        state, changes = reported(state, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (again,) = asked(changes)
    assert (again.terms.leg, again.terms.quantity) == (Leg.FLATTEN, entry.terms.quantity)


def test_stop_is_put_back_while_the_next_exit_is_not_due_and_makes_way_for_it() -> None:
    state, entry, stop = opened()
    at = START + timedelta(minutes=60)
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, at)
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (first,) = asked(changes)
    state, changes = rejected(state, first.client_order_id, at)
    (second,) = asked(changes)  # the first failure is answered at once
    state, changes = rejected(state, second.client_order_id, at)
    (back,) = asked(changes)
    assert (back.terms.leg, back.terms.quantity, back.terms.stop_price) == (
        Leg.STOP_LOSS, entry.terms.quantity, state.trades[BTC].stop_loss,
    )  # fmt: skip
    review = next(e for e in changes.events if isinstance(e, AccountReviewDue))
    assert review.due == at + pause_after(2)
    name = back.client_order_id
    state, changes = reported(state, name, at, *accepted(name, at))
    state, changes = apply_bars(state, {}, review.due)
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [name]
    assert asked(changes) == []


def test_a_position_with_its_own_stop_exits_first_and_keeps_the_stop_until_filled() -> None:
    state, changes = enter(compared(state_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    assert entry.stop_loss == state.trades[BTC].stop_loss
    key, at = entry.client_order_id, START + SECOND
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    (stop,) = asked(changes)
    assert stop.entry == key
    state, _ = reported(state, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    (out,) = asked(changes)
    assert (out.terms.leg, out.terms.quantity, out.entry) == (Leg.FLATTEN, entry.terms.quantity, key)
    assert asked(changes, OrderInstruction.CANCEL) == []
    name = out.client_order_id
    state, changes = reported(state, name, at, *accepted(name, at), fill(name, at, entry.terms.quantity, trade="t9"))
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [stop.client_order_id]


def test_age_of_a_price_refuses_no_reduction() -> None:
    state, _, stop = opened()
    at = START + timedelta(minutes=9)  # no bar since START, not yet stale
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert [e.terms.leg for e in asked(changes)] == [Leg.FLATTEN]


def test_cancel_of_the_stop_that_is_refused_is_asked_again_within_seconds() -> None:
    state, _, stop = opened()
    key, at = stop.client_order_id, START + timedelta(minutes=60)
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, at)
    names = [asked(changes, OrderInstruction.CANCEL)[0].request_id]
    waits = []
    for _ in range(8):
        refused = OrderCancelRejected(client_order_id=key, at=at, request_id=names[-1] or "", reason="BUSY")
        state, changes = reported(state, key, at, refused)
        if not asked(changes, OrderInstruction.CANCEL):
            due = min(e.due for e in changes.events if isinstance(e, AccountReviewDue))
            waits.append(due - at)
            at = due
            state, changes = apply_bars(state, {}, at)
        names.append(asked(changes, OrderInstruction.CANCEL)[0].request_id)
    assert len(set(names)) == len(names)
    assert max(waits) <= timedelta(seconds=40)


# The size of the stop


def test_a_stop_the_venue_does_not_enlarge_is_replaced_and_the_trade_stays_open() -> None:
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at, part = entry.client_order_id, START + SECOND, Decimal("0.1")
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, part))
    (stop,) = asked(changes)
    assert stop.terms.quantity == part  # it follows the first fill at once
    name = stop.client_order_id
    state, _ = reported(state, name, at, *accepted(name, at))
    state, changes = reported(state, key, at, fill(key, at, part, trade="t2"))
    (grow,) = asked(changes, OrderInstruction.REPLACE)
    assert grow.quantity == 2 * part
    refused = OrderUpdateRejected(client_order_id=name, at=at, request_id=grow.request_id or "", reason="NO")
    state, changes = reported(state, name, at, refused)
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [name]
    state, changes = reported(state, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (larger,) = asked(changes)
    assert (larger.terms.leg, larger.terms.quantity) == (Leg.STOP_LOSS, 2 * part)
    assert state.trades[BTC].exit_leg is None


def test_stop_shrinks_when_a_person_has_closed_a_part() -> None:
    state, entry, stop = opened()
    at = START + 2 * SECOND
    state, key = sold_by_a_person(state, at)
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, "0.1", "62000", "t5"))
    (resize,) = asked(changes, OrderInstruction.REPLACE)
    assert (resize.client_order_id, resize.quantity) == (stop.client_order_id, entry.terms.quantity - Decimal("0.1"))


# What somebody does with a position and its stop in the venue's own app


def seen(
    state: AccountState, stop: ExecutionRequested, at: datetime, *, quantity: Decimal, price: Decimal | None, position: Decimal
) -> tuple[AccountState, ChangeSet]:
    """Compare with a view in which the stop rests with a quantity and a price."""
    view = VenueViewReported.model_validate(
        {"account": state.account.account, "requested_at": at, "asked_at": at, "trades": (), "positions": {BTC: position}}
        | {
            "orders": (
                {"client_order_id": stop.client_order_id, "venue_order_id": "V", "symbol": BTC, "status": "OPEN"}
                | {"quantity": quantity, "filled": Decimal(0), "stop_price": price},
            )
        }
    )
    return venue_reports.compare(state, view)


def test_stop_of_a_position_that_somebody_closed_at_the_venue_is_taken_out() -> None:
    state, entry, stop = opened()
    whole, at = entry.terms.quantity, START + 10 * SECOND
    changes = NO_CHANGES
    for _ in range(2):
        state, changes = seen(state, stop, at, quantity=whole, price=stop.terms.stop_price, position=Decimal(0))
        at += 40 * SECOND
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [stop.client_order_id]
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert asked(changes) == []  # the venue has nothing to protect
    state, changes = bookings.book(
        state,
        Fill(account=LIVE.account, key="adopt-1", at=at, symbol=BTC, side=Side.SELL, quantity=whole, price=Decimal(60_000)),
        at,
        [opening_transfer(LIVE, START - timedelta(hours=1))],
    )
    state, changes = apply_bars(state, {}, at + SECOND)
    assert [t.state for t in changes.trades] == [TradeState.CLOSED]
    assert not state.trades


def test_a_stop_resized_at_the_venue_is_sent_again_for_the_whole_position() -> None:
    state, entry, stop = opened()
    whole, at = entry.terms.quantity, START + 10 * SECOND
    changes = NO_CHANGES
    for _ in range(2):
        assert state.trades[BTC].exit_leg is None
        state, changes = seen(state, stop, at, quantity=whole / 2, price=stop.terms.stop_price, position=whole)
        at += 40 * SECOND
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [stop.client_order_id]
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (again,) = asked(changes)
    assert (again.terms.leg, again.terms.quantity) == (Leg.STOP_LOSS, whole)
    assert state.halt is not None


def test_stop_whose_price_somebody_changed_at_the_venue_is_told_and_stays() -> None:
    state, entry, stop = opened()
    at = START + 10 * SECOND
    for _ in range(3):
        state, changes = seen(
            state, stop, at, quantity=entry.terms.quantity, price=Decimal(59_000), position=entry.terms.quantity
        )
        assert asked(changes, OrderInstruction.CANCEL) == []
        at += 40 * SECOND
    assert state.halt is not None
    assert state.halt.why.startswith("ORDER_DIFFERS")


def test_an_unanswered_cancel_of_an_order_changed_at_the_venue_is_sent_again() -> None:
    state, entry, stop = opened()
    key, at = stop.client_order_id, START + 5 * SECOND
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    (first,) = asked(changes, OrderInstruction.CANCEL)
    state, _ = reported(state, key, at, OrderUnconfirmed(client_order_id=key, at=at, attempt=first.request_id or ""))
    at += 40 * SECOND
    state, changes = seen(
        state, stop, at, quantity=entry.terms.quantity / 2, price=stop.terms.stop_price, position=entry.terms.quantity
    )
    (again,) = asked(changes, OrderInstruction.CANCEL)
    assert again.client_order_id == key
    assert again.request_id != first.request_id


def with_order_of_others(
    state: AccountState, at: datetime, left: str | None, position: Decimal
) -> tuple[AccountState, ChangeSet]:
    """Compare with a view in which somebody's own sell order rests, placed in the venue's app; None: none rests."""
    order: dict[str, Any] = {
        "client_order_id": None, "venue_order_id": "theirs", "symbol": BTC, "status": "OPEN", "side": "SELL",
        "quantity": Decimal(left or 1), "filled": Decimal(0), "limit_price": Decimal(65_000),
    }  # fmt: skip
    shown = [order] if left is not None else []
    shown += [
        {"client_order_id": o.client_order_id, "venue_order_id": f"V{o.client_order_id}", "symbol": BTC, "status": "OPEN"}
        | {"quantity": o.quantity, "filled": o.filled, "stop_price": o.stop_price, "side": "SELL"}
        for o in state.orders.values()
        if o.accepted_at is not None and not o.state.is_closed
    ]
    view = VenueViewReported.model_validate(
        {"account": state.account.account, "requested_at": at, "asked_at": at, "trades": (), "positions": {BTC: position}}
        | {"orders": shown}
    )
    return venue_reports.compare(state, view)


def test_an_exit_takes_what_a_foreign_order_leaves_free_and_the_rest_later() -> None:
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    whole, at = entry.terms.quantity, START + 10 * SECOND
    state, _ = with_order_of_others(state, START + SECOND, "0.1", Decimal(0))
    state, changes = reported(
        state, entry.client_order_id, at, *accepted(entry.client_order_id, at), fill(entry.client_order_id, at, whole)
    )
    (stop,) = asked(changes)
    assert (stop.terms.leg, stop.terms.quantity) == (Leg.STOP_LOSS, whole - Decimal("0.1"))
    key = stop.client_order_id
    state, changes = reported(state, key, at, *accepted(key, at))
    assert asked(changes, OrderInstruction.REPLACE) == []  # the venue would not let it grow
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    assert (out.terms.leg, out.terms.quantity) == (Leg.FLATTEN, whole - Decimal("0.1"))
    key = out.client_order_id
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, out.terms.quantity, trade="t8"))
    assert asked(changes) == []  # nothing is free
    state, changes = with_order_of_others(state, at + 10 * SECOND, None, Decimal("0.1"))
    (rest,) = asked(changes)  # at once, with the view that shows it gone
    assert rest.terms.quantity == Decimal("0.1")


def test_stop_grows_once_an_order_placed_in_the_venues_app_is_gone() -> None:
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    whole, key, at = entry.terms.quantity, entry.client_order_id, START + 10 * SECOND
    state, _ = with_order_of_others(state, START + SECOND, "0.1", Decimal(0))
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, whole))
    (stop,) = asked(changes)
    state, _ = reported(state, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    state, changes = with_order_of_others(state, at + 10 * SECOND, None, whole)
    (more,) = asked(changes, OrderInstruction.REPLACE)
    assert (more.client_order_id, more.quantity) == (stop.client_order_id, whole)


def test_order_of_others_makes_no_stop_smaller() -> None:
    state, entry, _ = opened()
    state, changes = with_order_of_others(state, START + 10 * SECOND, "0.1", entry.terms.quantity)
    assert requests(changes) == []


def test_order_of_others_is_no_matter_where_stop_and_target_are_the_positions_own() -> None:
    state, changes = enter(compared(state_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    state, _ = with_order_of_others(state, START + SECOND, "0.1", Decimal(0))
    key, at = entry.client_order_id, START + 10 * SECOND
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    (stop,) = asked(changes)
    assert stop.terms.quantity == entry.terms.quantity


# A stop that the market has passed


def test_a_jumped_stop_is_closed_at_the_market_after_one_bar_closed_beyond_it() -> None:
    state, entry, stop = opened()
    gap = [bar(BTC, START, "60000"), bar(BTC, START + ONE_MINUTE, "55800")]  # 7 %, and the stop-limit did not fill
    state, changes = apply_bars(state, {BTC: gap}, START + 2 * ONE_MINUTE)
    (output,) = [e for e in changes.events if isinstance(e, StopPassed)]
    assert (output.stop_loss, output.price) == (state.trades[BTC].stop_loss, Decimal(55800))
    assert requests(changes) == [(OrderInstruction.CANCEL, Leg.STOP_LOSS)]
    key, at = stop.client_order_id, START + 2 * ONE_MINUTE
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    assert (out.terms.type, out.terms.quantity) == (OrderType.MARKET, entry.terms.quantity)


def test_bar_that_only_touches_the_stop_leaves_it_to_the_venue() -> None:
    state, _, _ = opened()
    touch = [bar(BTC, START, "60000"), bar(BTC, START + ONE_MINUTE, "60000", low="55800")]
    state, changes = apply_bars(state, {BTC: touch}, START + 2 * ONE_MINUTE)
    assert requests(changes) == []


# The kill switch and what belongs to no trade


def test_kill_switch_goes_on_with_what_belongs_to_no_trade_until_it_is_flat() -> None:
    state = compared(state_at(LIVE))
    bought = theirs(state.account, Side.BUY, "0.2", reduce_only=False)
    state, _ = operator_orders.submit(state, bought, START)
    key, at = bought.client_order_id, START + SECOND
    state, _ = reported(state, key, at, *accepted(key, at), fill(key, at, "0.2", "58000"))
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    seen = set()
    for _ in range(4):
        (out,) = asked(changes)
        assert out.client_order_id not in seen
        seen.add(out.client_order_id)
        state, changes = rejected(state, out.client_order_id, at)
        if not asked(changes):
            due = state.closings[BTC].progress.retry_at
            assert due is not None
            at = due
            state, changes = apply_bars(state, {}, at)
    (out,) = asked(changes)
    name = out.client_order_id
    state, _ = reported(state, name, at, *accepted(name, at), fill(name, at, "0.2", trade="t9"))
    assert not state.books.position(BTC).quantity
    assert not state.closings


def test_halt_goes_on_cancelling_new_risk_when_a_cancel_was_refused() -> None:
    state = compared(state_at(LIVE))
    bought = theirs(state.account, Side.BUY, "0.2", reduce_only=False)
    state, _ = operator_orders.submit(state, bought, START)
    key, at = bought.client_order_id, START + SECOND
    state, _ = reported(state, key, at, *accepted(key, at))
    state, changes = halts.halt(state, HaltLevel.HALT, "ann", "news", at)
    for _ in range(5):
        names = [e.request_id for e in asked(changes, OrderInstruction.CANCEL)]
        if not names:
            at += 40 * SECOND
            state, changes = apply_bars(state, {}, at)
            continue
        refused = OrderCancelRejected(client_order_id=key, at=at, request_id=names[0] or "", reason="BUSY")
        state, changes = reported(state, key, at, refused)
    at += 41 * SECOND
    state, changes = apply_bars(state, {}, at) if not asked(changes, OrderInstruction.CANCEL) else (state, changes)
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [key]


@pytest.mark.parametrize("account", [MT5, LIVE], ids=["margin", "spot"])
def test_exits_that_crossed_and_closed_too_much_are_made_good_where_one_can_be_short(account: TradingAccount) -> None:
    """A venue that had confirmed the cancel of the stop tells of its fill after the exit was filled.

    Nobody can be short of coins: what was sold there was somebody's, and to buy it would open a position.
    """
    state, entry, stop = opened()
    at = START + timedelta(minutes=60)
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, at)
    key, quantity = stop.client_order_id, entry.terms.quantity
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    state, _ = reported(
        state, out.client_order_id, at, *accepted(out.client_order_id, at), fill(out.client_order_id, at, quantity, trade="t8")
    )
    assert state.is_idle
    state, changes = reported(state.after(account=account), key, at, fill(key, at, quantity, "59000", "t9"))
    assert state.books.position(BTC).quantity == -quantity
    assert [risk.kind for risk in changes.risk] == [RiskEventKind.LATE_FILL]
    bought = [(back.terms.side, back.terms.quantity, back.terms.reduce_only) for back in asked(changes)]
    assert bought == ([(Side.BUY, quantity, True)] if account is MT5 else [])
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 62, "60000")}, at + timedelta(minutes=2))
    assert RiskEventKind.EXIT_FAILED in {risk.kind for risk in changes.risk}  # nothing came of it yet: a person has to look


# What the venue and people have beside it


def sell_at_venue(state: AccountState, at: datetime, quantity: str, side: Side, trade: str, strategy: str) -> AccountState:
    """A person's order that fills at once."""
    wanted = theirs(state.account, side, quantity, reduce_only=False, at=at).model_copy(update={"strategy": strategy})
    state, _ = operator_orders.submit(state, wanted, at)
    key = wanted.client_order_id
    return reported(state, key, at, *accepted(key, at), fill(key, at, quantity, trade=trade))[0]


def test_what_people_sold_of_a_trade_is_gone_also_when_they_buy_beside_it() -> None:
    state, entry, _ = opened()
    at = START + 5 * SECOND
    state = sell_at_venue(state, at, "0.2", Side.SELL, "p1", "manual-a")
    state = sell_at_venue(state, at + SECOND, "0.2", Side.BUY, "p2", "manual-b")
    held = held_by(AccountDraft(state, at + SECOND), state.trades[BTC])
    assert held == entry.terms.quantity - Decimal("0.2")


def test_exit_is_at_most_what_the_venue_has_once_two_views_have_differed() -> None:
    state, entry, stop = opened()
    at, shown = START + 5 * SECOND, entry.terms.quantity - Decimal("0.1")
    doubt = Doubt(VenueDifference.POSITION_DIFFERS, BTC, str(entry.terms.quantity), str(shown), at, at, reported=True)
    state = replace(state, at_venue=replace(state.at_venue, doubts=(doubt,)))
    state, _ = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    _, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert [e.terms.quantity for e in asked(changes)] == [shown]


def test_exit_waits_for_the_end_of_the_stop_where_people_hold_coins_beside_the_trade() -> None:
    state, _, stop = opened()
    at = START + 5 * SECOND
    state = sell_at_venue(state, at, "0.1", Side.BUY, "p1", "manual-a")
    state, changes = apply_bars(state, {BTC: flat(BTC, START, 60, "60000")}, START + timedelta(minutes=60))
    assert requests(changes) == [(OrderInstruction.CANCEL, Leg.STOP_LOSS)]
    assert stop.client_order_id == asked(changes, OrderInstruction.CANCEL)[0].client_order_id


def test_stop_that_is_refused_is_sent_again_and_the_trade_is_left_after_three() -> None:
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at = entry.client_order_id, START + SECOND
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    legs = [e.terms.leg for e in asked(changes)]
    for _ in range(3):
        (newest,) = asked(changes)
        state, changes = rejected(state, newest.client_order_id, at, "INSUFFICIENT_FUNDS")
        legs += [e.terms.leg for e in asked(changes)]
    assert legs == [Leg.STOP_LOSS, Leg.STOP_LOSS, Leg.STOP_LOSS, Leg.EXIT]


def late_fill_beside_a_trade() -> tuple[AccountState, ExecutionRequested, datetime]:
    """A trade with its stop, and 0.1 that an older entry filled late, on its way out."""
    state, changes = enter(compared(state_at(LIVE)), signal(), history(), START)
    (first,) = asked(changes)
    key, at = first.client_order_id, START + SECOND
    state, _ = reported(state, key, at, *accepted(key, at), OrderCanceled(client_order_id=key, at=at, reason="IOC"))
    later = START + timedelta(minutes=5)
    state, _ = apply_bars(state, {BTC: flat(BTC, START, 5, "60000")}, later)
    state, changes = enter(compared(state, later), signal(at=later), history(until=later), later)
    (second,) = asked(changes)
    name = second.client_order_id
    state, changes = reported(state, name, later, *accepted(name, later), fill(name, later, "0.2", trade="t2"))
    (stop,) = asked(changes)
    state, _ = reported(state, stop.client_order_id, later, *accepted(stop.client_order_id, later))
    at = later + 2 * SECOND
    state, changes = reported(state, key, at, fill(key, at, "0.1", trade="t3"))
    (out,) = asked(changes)
    assert (out.terms.quantity, out.entry) == (Decimal("0.1"), key)
    return state, out, at


def test_late_fill_is_still_to_be_closed_when_the_kill_switch_is_released() -> None:
    state, out, at = late_fill_beside_a_trade()
    state, changes = rejected(state, out.client_order_id, at)
    (again,) = asked(changes)
    state, changes = rejected(state, again.client_order_id, at)
    state, _ = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at + SECOND)
    state, _ = halts.resume(state, "ann", "looked", at + 2 * SECOND)
    assert state.closings[BTC].quantity == Decimal("0.1")


def test_a_persons_order_holding_a_late_fills_coins_is_cancelled_beside_our_stop() -> None:
    state, out, at = late_fill_beside_a_trade()
    state, changes = rejected(state, out.client_order_id, at)
    (again,) = asked(changes)
    state, changes = rejected(state, again.client_order_id, at)  # the next try is due in seconds
    rest = theirs(state.account, Side.SELL, "0.1", reduce_only=False, at=at)
    state, _ = operator_orders.submit(state, rest, at)
    state, _ = reported(state, rest.client_order_id, at, *accepted(rest.client_order_id, at))
    state, changes = apply_bars(state, {}, at + pause_after(2))
    assert [e.client_order_id for e in asked(changes, OrderInstruction.CANCEL)] == [rest.client_order_id]


def test_exit_that_two_views_do_not_show_is_followed_by_another() -> None:
    state, changes = enter(compared(state_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at, quantity = entry.client_order_id, START + SECOND, entry.terms.quantity
    state, changes = reported(state, key, at, *accepted(key, at), fill(key, at, quantity))
    state, changes = halts.halt(state, HaltLevel.FLATTEN, "ann", "enough", at)
    (out,) = asked(changes)
    state, _ = reported(state, out.client_order_id, at, *accepted(out.client_order_id, at))
    state, changes = apply_bars(state, {}, at + timedelta(seconds=21))
    assert asked(changes, OrderInstruction.CANCEL)  # it has not filled: taken back
    sent: list[ExecutionRequested] = []
    for seconds in (60, 100, 140):
        seen = VenueViewReported.model_validate(
            {"account": "live-1", "requested_at": at, "asked_at": at + timedelta(seconds=seconds), "orders": []}
            | {"positions": {BTC: quantity}, "trades": [as_traded(key, quantity, at)]}
        )
        state, changes = venue_reports.compare(state, seen)
        sent += [e for e in asked(changes) if e.terms.leg is Leg.FLATTEN]
    assert [e.terms.quantity for e in sent] == [quantity]
    assert sent[0].client_order_id != out.client_order_id


def as_traded(key: str, quantity: Decimal, at: datetime) -> dict[str, object]:
    return {
        "trade_id": "t1", "client_order_id": key, "symbol": BTC, "side": "BUY", "quantity": quantity, "price": Decimal(60000),
        "executed_at": at,
    }  # fmt: skip


# What it earned


def test_trade_that_a_persons_order_closed_is_told_at_that_fills_price_with_its_fee() -> None:
    state, entry, stop = opened()
    at, quantity = START + 10 * SECOND, entry.terms.quantity
    sold = theirs(state.account, Side.SELL, str(quantity), reduce_only=False, at=at)
    state, _ = operator_orders.submit(state, sold, at)
    key = sold.client_order_id
    fee = Decimal("3.5")
    part = fill(key, at, quantity, "59500", "t5").model_copy(update={"fee": fee})
    state, _ = reported(state, key, at, *accepted(key, at), part)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, "60400")]}, START + ONE_MINUTE)  # the mark is another
    name, at = stop.client_order_id, START + ONE_MINUTE
    state, changes = reported(state, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (closed,) = [e for e in changes.events if isinstance(e, TradeClosed)]
    assert (closed.price, closed.leg) == (Decimal(59_500), Leg.EXIT)
    assert closed.realised == (Decimal(59_500) - Decimal(60_000)) * quantity - fee
    assert closed.realised == state.books.balance - state.account.capital


# New risk while an exit does not go through


def test_signal_is_held_back_while_an_exit_of_the_account_does_not_go_through() -> None:
    state, _, stop = opened()
    at = START + SECOND * 5
    key = stop.client_order_id
    state, changes = reported(state, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    for _ in range(6):
        for order in [o for o in state.orders.values() if not o.state.is_closed]:
            state, changes = rejected(state, order.client_order_id, at)
        retry = state.trades[BTC].progress.retry_at
        at = max(at, retry or at)
        state, _ = apply_bars(state, {}, at)
    _, changes = enter(compared(state, at), signal(ETH), history(ETH), at)
    assert [risk.code for risk in changes.risk] == [SignalSkipReason.EXIT_FAILING]
