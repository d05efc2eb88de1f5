"""Leaving a position: what was refused is tried again, what rests in the way goes first, and it ends flat or is told about."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import (
    OrderCanceled,
    OrderCancelRejected,
    OrderRejected,
    OrderUnconfirmed,
    OrderUpdateRejected,
)
from signalbox.orders.messages import ExecutionRequested, Instruction, VenueViewReported
from signalbox.orders.reconciliation import Difference
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.entries import Fill
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import bookings, steps
from signalbox.trading.account import TradingAccount
from signalbox.trading.at_venue import Doubt
from signalbox.trading.changes import Changes, RiskEventKind
from signalbox.trading.entry import HeldBack
from signalbox.trading.events import AccountReviewDue, ExitFailed, StopPassed, TradeClosed
from signalbox.trading.exits import held_by
from signalbox.trading.sheet import Sheet, pause_after
from signalbox.trading.state import Desk, TradeState, opening_transfer
from tests.unit.trading.market import BTC, ETH, START, bar, desk_at, flat, history, paper, signal
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


def asked(changes: Changes, instruction: Instruction = Instruction.SUBMIT) -> list[ExecutionRequested]:
    return [e for e in changes.events if isinstance(e, ExecutionRequested) and e.instruction is instruction]


# On paper: what a person has resting never stands in the way of a stop, the kill switch or a deadline


def long_on_paper() -> Desk:
    desk, _ = steps.enter(desk_at(paper()), signal(), history(), START)
    desk, _ = steps.watch(desk, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    assert desk.trades[BTC].state is TradeState.OPEN
    return desk


@pytest.mark.parametrize("reduce_only", [True, False])
def test_stop_on_paper_closes_the_trade_past_a_persons_order_that_rests_on_its_side(reduce_only: bool) -> None:
    desk = long_on_paper()
    at = START + ONE_MINUTE
    desk, _ = steps.submit(desk, theirs(desk.account, Side.SELL, "0.1", reduce_only=reduce_only, at=at), at)
    fall = bar(BTC, at, "60000", low="59000", close="59100")
    desk, changes = steps.watch(desk, {BTC: [fall]}, at + ONE_MINUTE)
    assert [t.state for t in changes.trades][-1] is TradeState.CLOSED
    assert not desk.books.position(BTC).quantity
    assert RiskEventKind.ORDER_REFUSED not in {risk.kind for risk in changes.risk}


@pytest.mark.parametrize("reduce_only", [True, False])
@pytest.mark.parametrize("cause", ["FLATTEN", "deadline"])
def test_every_reason_to_leave_on_paper_ends_flat_past_a_persons_order(reduce_only: bool, cause: str) -> None:
    desk = long_on_paper()
    at = START + ONE_MINUTE
    desk, _ = steps.submit(desk, theirs(desk.account, Side.SELL, "0.1", reduce_only=reduce_only, at=at), at)
    minutes = 3
    if cause == "FLATTEN":
        desk, _ = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    else:
        minutes = 65
    desk, changes = steps.watch(desk, {BTC: flat(BTC, at, minutes, "60000")}, at + ONE_MINUTE * minutes)
    assert desk.books.position(BTC).quantity == 0
    assert not desk.trades
    assert RiskEventKind.ORDER_REFUSED not in {risk.kind for risk in changes.risk}


# Live: precedence, retries, and the stop put back


def rejected(desk: Desk, key: str, at: datetime, reason: str = "MARKET_CLOSED", detail: str = "") -> tuple[Desk, Changes]:
    return reported(desk, key, at, OrderRejected(client_order_id=key, at=at, reason=reason, detail=detail))


def test_what_rests_in_the_way_is_cancelled_and_the_exit_takes_what_the_confirmed_cancels_have_freed() -> None:
    desk, entry, stop = opened()
    at = START + 2 * SECOND
    mine = theirs(desk.account, Side.SELL, "0.1", reduce_only=False, at=at)
    desk, _ = steps.submit(desk, mine, at)
    name = mine.client_order_id
    desk, _ = reported(desk, name, at, *accepted(name, at))
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    assert {e.client_order_id for e in asked(changes, Instruction.CANCEL)} == {name, stop.client_order_id}
    assert asked(changes) == []  # the venue holds the coins until it has confirmed
    desk, changes = reported(
        desk, stop.client_order_id, at, OrderCanceled(client_order_id=stop.client_order_id, at=at, reason="X")
    )
    (first,) = asked(changes)
    assert first.terms.quantity == entry.terms.quantity - Decimal("0.1")
    desk, changes = reported(desk, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    out = first.client_order_id
    desk, changes = reported(desk, out, at, *accepted(out, at), fill(out, at, first.terms.quantity, trade="t8"))
    (second,) = asked(changes)
    assert second.terms.quantity == Decimal("0.1")
    assert second.client_order_id != out
    out = second.client_order_id
    desk, changes = reported(desk, out, at, *accepted(out, at), fill(out, at, "0.1", trade="t9"))
    assert desk.is_idle
    assert any(isinstance(e, TradeClosed) for e in changes.events)


def test_person_that_holds_more_than_the_trade_keeps_what_is_not_in_its_way() -> None:
    desk, _, stop = opened()
    at = START + 2 * SECOND
    for place, quantity in enumerate(("1", "1")):
        bought = theirs(desk.account, Side.BUY, quantity, reduce_only=False, at=at + place * SECOND)
        desk, _ = steps.submit(desk, bought, at + place * SECOND)
        key = bought.client_order_id
        if key in desk.orders and not desk.orders[key].state.is_closed:
            desk, _ = reported(desk, key, at, *accepted(key, at), fill(key, at, quantity, trade=f"b{place}"))
    sold = theirs(desk.account, Side.SELL, "0.1", reduce_only=True, at=at + 5 * SECOND)
    desk, _ = steps.submit(desk, sold, at + 5 * SECOND)
    desk, _ = reported(desk, sold.client_order_id, at + 5 * SECOND, *accepted(sold.client_order_id, at))
    desk, changes = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, START + timedelta(minutes=60))
    assert {e.client_order_id for e in asked(changes, Instruction.CANCEL)} == {stop.client_order_id}


def test_exit_that_is_refused_is_followed_by_another_under_a_new_id_for_as_long_as_the_position_is_there() -> None:
    desk, entry, stop = opened()
    at = START + timedelta(minutes=60)
    desk, _ = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, at)
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    sent: list[ExecutionRequested] = asked(changes)
    alarms: list[ExitFailed] = []
    for _ in range(60):  # twenty minutes of refusals, as when a market is closed
        at += 20 * SECOND
        open_ones = [o for o in desk.orders.values() if not o.state.is_closed]
        for order in open_ones:
            desk, changes = rejected(desk, order.client_order_id, at, detail="10018 Market closed")
            sent += asked(changes)
            alarms += [e for e in changes.events if isinstance(e, ExitFailed)]
        desk, changes = steps.watch(desk, {BTC: [bar(BTC, at.replace(second=0) - ONE_MINUTE, "60000")]}, at)
        sent += asked(changes)
        alarms += [e for e in changes.events if isinstance(e, ExitFailed)]
    exits = [e for e in sent if e.terms.type is OrderType.MARKET]
    assert len(exits) > 20
    assert len({e.client_order_id for e in sent}) == len(sent)
    assert {e.terms.quantity for e in exits} == {entry.terms.quantity}
    assert [e.number for e in alarms] == [1, 2, 3, 4, 5]  # after 1, 2, 5, 10 and 20 minutes: told again, and no flood
    assert "10018 Market closed" in alarms[-1].reason
    assert desk.halt is None  # nothing was given up, so nobody has to resume it


@pytest.mark.parametrize("reasons", [("MARKET_CLOSED", "INSUFFICIENT_FUNDS", "CLOCK_SKEW"), ("PRICE_OLD",) * 3])
def test_three_refusals_within_a_second_are_no_end(reasons: tuple[str, ...]) -> None:
    desk, entry, stop = opened()
    at = START + SECOND * 5
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    for reason in reasons:
        tried = [o.client_order_id for o in desk.orders.values() if not o.state.is_closed]
        for name in tried:
            desk, changes = rejected(desk, name, at, reason)
    trade = desk.trades[BTC]
    assert trade.state is TradeState.EXITING
    assert trade.progress.retry_at is not None
    assert timedelta(0) < trade.progress.retry_at - at <= timedelta(seconds=40)
    desk, changes = steps.watch(desk, {}, trade.progress.retry_at)
    for name in [e.client_order_id for e in asked(changes, Instruction.CANCEL)]:  # a stop that was put back makes way
        desk, changes = reported(desk, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (again,) = asked(changes)
    assert (again.terms.leg, again.terms.quantity) == (Leg.FLATTEN, entry.terms.quantity)


def test_stop_is_put_back_while_the_next_exit_is_not_due_and_makes_way_for_it() -> None:
    desk, entry, stop = opened()
    at = START + timedelta(minutes=60)
    desk, _ = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, at)
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (first,) = asked(changes)
    desk, changes = rejected(desk, first.client_order_id, at)
    (second,) = asked(changes)  # the first failure is answered at once
    desk, changes = rejected(desk, second.client_order_id, at)
    (back,) = asked(changes)
    assert (back.terms.leg, back.terms.quantity, back.terms.stop_price) == (
        Leg.STOP_LOSS, entry.terms.quantity, desk.trades[BTC].stop_loss,
    )  # fmt: skip
    review = next(e for e in changes.events if isinstance(e, AccountReviewDue))
    assert review.due == at + pause_after(2)
    name = back.client_order_id
    desk, changes = reported(desk, name, at, *accepted(name, at))
    desk, changes = steps.watch(desk, {}, review.due)
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [name]
    assert asked(changes) == []


def test_where_stop_and_target_are_the_positions_own_the_exit_goes_first_and_the_stop_stays_until_it_is_filled() -> None:
    desk, changes = steps.enter(compared(desk_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    assert entry.stop_loss == desk.trades[BTC].stop_loss
    key, at = entry.client_order_id, START + SECOND
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    (stop,) = asked(changes)
    assert stop.entry == key
    desk, _ = reported(desk, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    (out,) = asked(changes)
    assert (out.terms.leg, out.terms.quantity, out.entry) == (Leg.FLATTEN, entry.terms.quantity, key)
    assert asked(changes, Instruction.CANCEL) == []
    name = out.client_order_id
    desk, changes = reported(desk, name, at, *accepted(name, at), fill(name, at, entry.terms.quantity, trade="t9"))
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [stop.client_order_id]


def test_age_of_a_price_refuses_no_reduction() -> None:
    desk, _, stop = opened()
    at = START + timedelta(minutes=9)  # no bar since START, not yet stale
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert [e.terms.leg for e in asked(changes)] == [Leg.FLATTEN]


def test_cancel_of_the_stop_that_is_refused_is_asked_again_within_seconds() -> None:
    desk, _, stop = opened()
    key, at = stop.client_order_id, START + timedelta(minutes=60)
    desk, changes = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, at)
    names = [asked(changes, Instruction.CANCEL)[0].request_id]
    waits = []
    for _ in range(8):
        refused = OrderCancelRejected(client_order_id=key, at=at, request_id=names[-1] or "", reason="BUSY")
        desk, changes = reported(desk, key, at, refused)
        if not asked(changes, Instruction.CANCEL):
            due = min(e.due for e in changes.events if isinstance(e, AccountReviewDue))
            waits.append(due - at)
            at = due
            desk, changes = steps.watch(desk, {}, at)
        names.append(asked(changes, Instruction.CANCEL)[0].request_id)
    assert len(set(names)) == len(names)
    assert max(waits) <= timedelta(seconds=40)


# The size of the stop


def test_stop_that_the_venue_does_not_grow_is_taken_out_and_sent_anew_and_the_trade_is_not_left() -> None:
    desk, changes = steps.enter(compared(desk_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at, part = entry.client_order_id, START + SECOND, Decimal("0.1")
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, part))
    (stop,) = asked(changes)
    assert stop.terms.quantity == part  # it follows the first fill at once
    name = stop.client_order_id
    desk, _ = reported(desk, name, at, *accepted(name, at))
    desk, changes = reported(desk, key, at, fill(key, at, part, trade="t2"))
    (grow,) = asked(changes, Instruction.REPLACE)
    assert grow.quantity == 2 * part
    refused = OrderUpdateRejected(client_order_id=name, at=at, request_id=grow.request_id or "", reason="NO")
    desk, changes = reported(desk, name, at, refused)
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [name]
    desk, changes = reported(desk, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (larger,) = asked(changes)
    assert (larger.terms.leg, larger.terms.quantity) == (Leg.STOP_LOSS, 2 * part)
    assert desk.trades[BTC].exit_leg is None


def test_stop_shrinks_when_a_person_has_closed_a_part() -> None:
    desk, entry, stop = opened()
    at = START + 2 * SECOND
    sold = theirs(desk.account, Side.SELL, "0.1", reduce_only=False, at=at)
    desk, _ = steps.submit(desk, sold, at)
    key = sold.client_order_id
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, "0.1", "62000", "t5"))
    (resize,) = asked(changes, Instruction.REPLACE)
    assert (resize.client_order_id, resize.quantity) == (stop.client_order_id, entry.terms.quantity - Decimal("0.1"))


# What somebody does with a position and its stop in the venue's own app


def seen(
    desk: Desk, stop: ExecutionRequested, at: datetime, *, quantity: Decimal, price: Decimal | None, position: Decimal
) -> tuple[Desk, Changes]:
    """Compare with a view in which the stop rests with a quantity and a price."""
    view = VenueViewReported.model_validate(
        {"account": desk.account.account, "requested_at": at, "asked_at": at, "trades": (), "positions": {BTC: position}}
        | {
            "orders": (
                {"client_order_id": stop.client_order_id, "venue_order_id": "V", "symbol": BTC, "status": "OPEN"}
                | {"quantity": quantity, "filled": Decimal(0), "stop_price": price},
            )
        }
    )
    return steps.compare(desk, view)


def test_stop_of_a_position_that_somebody_closed_at_the_venue_is_taken_out() -> None:
    desk, entry, stop = opened()
    whole, at = entry.terms.quantity, START + 10 * SECOND
    for _ in range(2):
        desk, changes = seen(desk, stop, at, quantity=whole, price=stop.terms.stop_price, position=Decimal(0))
        at += 40 * SECOND
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [stop.client_order_id]
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert asked(changes) == []  # the venue has nothing to protect
    desk, changes = bookings.book(
        desk,
        Fill(account=LIVE.account, key="adopt-1", at=at, symbol=BTC, side=Side.SELL, quantity=whole, price=Decimal(60_000)),
        at,
        [opening_transfer(LIVE, START - timedelta(hours=1))],
    )
    desk, changes = steps.watch(desk, {}, at + SECOND)
    assert [t.state for t in changes.trades] == [TradeState.CLOSED]
    assert not desk.trades


def test_stop_whose_quantity_somebody_changed_at_the_venue_is_sent_anew_for_all_that_is_held() -> None:
    desk, entry, stop = opened()
    whole, at = entry.terms.quantity, START + 10 * SECOND
    for _ in range(2):
        assert desk.trades[BTC].exit_leg is None
        desk, changes = seen(desk, stop, at, quantity=whole / 2, price=stop.terms.stop_price, position=whole)
        at += 40 * SECOND
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [stop.client_order_id]
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (again,) = asked(changes)
    assert (again.terms.leg, again.terms.quantity) == (Leg.STOP_LOSS, whole)
    assert desk.halt is not None


def test_stop_whose_price_somebody_changed_at_the_venue_is_told_and_stays() -> None:
    desk, entry, stop = opened()
    at = START + 10 * SECOND
    for _ in range(3):
        desk, changes = seen(desk, stop, at, quantity=entry.terms.quantity, price=Decimal(59_000), position=entry.terms.quantity)
        assert asked(changes, Instruction.CANCEL) == []
        at += 40 * SECOND
    assert desk.halt is not None
    assert desk.halt.why.startswith("ORDER_DIFFERS")


def test_cancel_without_an_answer_of_an_order_that_somebody_changed_is_asked_for_again() -> None:
    desk, entry, stop = opened()
    key, at = stop.client_order_id, START + 5 * SECOND
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    (first,) = asked(changes, Instruction.CANCEL)
    desk, _ = reported(desk, key, at, OrderUnconfirmed(client_order_id=key, at=at, attempt=first.request_id or ""))
    at += 40 * SECOND
    desk, changes = seen(
        desk, stop, at, quantity=entry.terms.quantity / 2, price=stop.terms.stop_price, position=entry.terms.quantity
    )
    (again,) = asked(changes, Instruction.CANCEL)
    assert again.client_order_id == key
    assert again.request_id != first.request_id


def with_order_of_others(desk: Desk, at: datetime, left: str | None, position: Decimal) -> tuple[Desk, Changes]:
    """Compare with a view in which somebody's own sell order rests, placed in the venue's app; None: none rests."""
    order = {"client_order_id": None, "venue_order_id": "theirs", "symbol": BTC, "status": "OPEN", "side": "SELL"} | {
        "quantity": Decimal(left or 1), "filled": Decimal(0), "limit_price": Decimal(65_000),
    }  # fmt: skip
    shown = [order] if left is not None else []
    shown += [
        {"client_order_id": o.client_order_id, "venue_order_id": f"V{o.client_order_id}", "symbol": BTC, "status": "OPEN"}
        | {"quantity": o.quantity, "filled": o.filled, "stop_price": o.stop_price, "side": "SELL"}
        for o in desk.orders.values()
        if o.accepted_at is not None and not o.state.is_closed
    ]
    view = VenueViewReported.model_validate(
        {"account": desk.account.account, "requested_at": at, "asked_at": at, "trades": (), "positions": {BTC: position}}
        | {"orders": shown}
    )
    return steps.compare(desk, view)


def test_exit_takes_what_an_order_placed_in_the_venues_app_leaves_free_and_the_rest_once_that_is_gone() -> None:
    desk, changes = steps.enter(compared(desk_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    whole, at = entry.terms.quantity, START + 10 * SECOND
    desk, _ = with_order_of_others(desk, START + SECOND, "0.1", Decimal(0))
    desk, changes = reported(
        desk, entry.client_order_id, at, *accepted(entry.client_order_id, at), fill(entry.client_order_id, at, whole)
    )
    (stop,) = asked(changes)
    assert (stop.terms.leg, stop.terms.quantity) == (Leg.STOP_LOSS, whole - Decimal("0.1"))
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, *accepted(key, at))
    assert asked(changes, Instruction.REPLACE) == []  # the venue would not let it grow
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    assert (out.terms.leg, out.terms.quantity) == (Leg.FLATTEN, whole - Decimal("0.1"))
    key = out.client_order_id
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, out.terms.quantity, trade="t8"))
    assert asked(changes) == []  # nothing is free
    desk, changes = with_order_of_others(desk, at + 10 * SECOND, None, Decimal("0.1"))
    (rest,) = asked(changes)  # at once, with the view that shows it gone
    assert rest.terms.quantity == Decimal("0.1")


def test_stop_grows_once_an_order_placed_in_the_venues_app_is_gone() -> None:
    desk, changes = steps.enter(compared(desk_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    whole, key, at = entry.terms.quantity, entry.client_order_id, START + 10 * SECOND
    desk, _ = with_order_of_others(desk, START + SECOND, "0.1", Decimal(0))
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, whole))
    (stop,) = asked(changes)
    desk, _ = reported(desk, stop.client_order_id, at, *accepted(stop.client_order_id, at))
    desk, changes = with_order_of_others(desk, at + 10 * SECOND, None, whole)
    (more,) = asked(changes, Instruction.REPLACE)
    assert (more.client_order_id, more.quantity) == (stop.client_order_id, whole)


def test_order_of_others_makes_no_stop_smaller() -> None:
    desk, entry, _ = opened()
    desk, changes = with_order_of_others(desk, START + 10 * SECOND, "0.1", entry.terms.quantity)
    assert requests(changes) == []


def test_order_of_others_is_no_matter_where_stop_and_target_are_the_positions_own() -> None:
    desk, changes = steps.enter(compared(desk_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    desk, _ = with_order_of_others(desk, START + SECOND, "0.1", Decimal(0))
    key, at = entry.client_order_id, START + 10 * SECOND
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    (stop,) = asked(changes)
    assert stop.terms.quantity == entry.terms.quantity


# A stop that the market has passed


def test_stop_that_the_market_jumped_is_answered_at_the_market_after_one_closed_bar_beyond_it() -> None:
    desk, entry, stop = opened()
    gap = [bar(BTC, START, "60000"), bar(BTC, START + ONE_MINUTE, "55800")]  # 7 %, and the stop-limit did not fill
    desk, changes = steps.watch(desk, {BTC: gap}, START + 2 * ONE_MINUTE)
    (said,) = [e for e in changes.events if isinstance(e, StopPassed)]
    assert (said.stop_loss, said.price) == (desk.trades[BTC].stop_loss, Decimal(55800))
    assert requests(changes) == [(Instruction.CANCEL, Leg.STOP_LOSS)]
    key, at = stop.client_order_id, START + 2 * ONE_MINUTE
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    assert (out.terms.type, out.terms.quantity) == (OrderType.MARKET, entry.terms.quantity)


def test_bar_that_only_touches_the_stop_leaves_it_to_the_venue() -> None:
    desk, _, _ = opened()
    touch = [bar(BTC, START, "60000"), bar(BTC, START + ONE_MINUTE, "60000", low="55800")]
    desk, changes = steps.watch(desk, {BTC: touch}, START + 2 * ONE_MINUTE)
    assert requests(changes) == []


# The kill switch and what belongs to no trade


def test_kill_switch_goes_on_with_what_belongs_to_no_trade_until_it_is_flat() -> None:
    desk = compared(desk_at(LIVE))
    bought = theirs(desk.account, Side.BUY, "0.2", reduce_only=False)
    desk, _ = steps.submit(desk, bought, START)
    key, at = bought.client_order_id, START + SECOND
    desk, _ = reported(desk, key, at, *accepted(key, at), fill(key, at, "0.2", "58000"))
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    seen = set()
    for _ in range(4):
        (out,) = asked(changes)
        assert out.client_order_id not in seen
        seen.add(out.client_order_id)
        desk, changes = rejected(desk, out.client_order_id, at)
        if not asked(changes):
            due = desk.closings[BTC].progress.retry_at
            assert due is not None
            at = due
            desk, changes = steps.watch(desk, {}, at)
    (out,) = asked(changes)
    name = out.client_order_id
    desk, _ = reported(desk, name, at, *accepted(name, at), fill(name, at, "0.2", trade="t9"))
    assert not desk.books.position(BTC).quantity
    assert not desk.closings


def test_halt_goes_on_cancelling_new_risk_when_a_cancel_was_refused() -> None:
    desk = compared(desk_at(LIVE))
    bought = theirs(desk.account, Side.BUY, "0.2", reduce_only=False)
    desk, _ = steps.submit(desk, bought, START)
    key, at = bought.client_order_id, START + SECOND
    desk, _ = reported(desk, key, at, *accepted(key, at))
    desk, changes = steps.halt(desk, HaltLevel.HALT, "ann", "news", at)
    for _ in range(5):
        names = [e.request_id for e in asked(changes, Instruction.CANCEL)]
        if not names:
            at += 40 * SECOND
            desk, changes = steps.watch(desk, {}, at)
            continue
        refused = OrderCancelRejected(client_order_id=key, at=at, request_id=names[0] or "", reason="BUSY")
        desk, changes = reported(desk, key, at, refused)
    at += 41 * SECOND
    desk, changes = steps.watch(desk, {}, at) if not asked(changes, Instruction.CANCEL) else (desk, changes)
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [key]


def test_exits_that_crossed_and_closed_too_much_are_made_good() -> None:
    """A venue that had confirmed the cancel of the stop tells of its fill after the exit was filled."""
    desk, entry, stop = opened()
    at = START + timedelta(minutes=60)
    desk, _ = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, at)
    key, quantity = stop.client_order_id, entry.terms.quantity
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    (out,) = asked(changes)
    desk, _ = reported(
        desk, out.client_order_id, at, *accepted(out.client_order_id, at), fill(out.client_order_id, at, quantity, trade="t8")
    )
    assert desk.is_idle
    desk, changes = reported(desk, key, at, fill(key, at, quantity, "59000", "t9"))
    assert desk.books.position(BTC).quantity == -quantity
    (back,) = asked(changes)
    assert (back.terms.side, back.terms.quantity, back.terms.reduce_only) == (Side.BUY, quantity, True)
    assert [risk.kind for risk in changes.risk] == [RiskEventKind.LATE_FILL]


# What the venue and people have beside it


def sell_at_venue(desk: Desk, at: datetime, quantity: str, side: Side, trade: str, strategy: str) -> Desk:
    """A person's order that fills at once."""
    wanted = theirs(desk.account, side, quantity, reduce_only=False, at=at).model_copy(update={"strategy": strategy})
    desk, _ = steps.submit(desk, wanted, at)
    key = wanted.client_order_id
    return reported(desk, key, at, *accepted(key, at), fill(key, at, quantity, trade=trade))[0]


def test_what_people_sold_of_a_trade_is_gone_also_when_they_buy_beside_it() -> None:
    desk, entry, _ = opened()
    at = START + 5 * SECOND
    desk = sell_at_venue(desk, at, "0.2", Side.SELL, "p1", "manual-a")
    desk = sell_at_venue(desk, at + SECOND, "0.2", Side.BUY, "p2", "manual-b")
    held = held_by(Sheet(desk, at + SECOND), desk.trades[BTC])
    assert held == entry.terms.quantity - Decimal("0.2")


def test_exit_is_at_most_what_the_venue_has_once_two_views_have_differed() -> None:
    desk, entry, stop = opened()
    at, shown = START + 5 * SECOND, entry.terms.quantity - Decimal("0.1")
    doubt = Doubt(Difference.POSITION_DIFFERS, BTC, str(entry.terms.quantity), str(shown), at, at, told=True)
    desk = replace(desk, at_venue=replace(desk.at_venue, doubts=(doubt,)))
    desk, _ = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    key = stop.client_order_id
    _, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    assert [e.terms.quantity for e in asked(changes)] == [shown]


def test_exit_waits_for_the_end_of_the_stop_where_people_hold_coins_beside_the_trade() -> None:
    desk, _, stop = opened()
    at = START + 5 * SECOND
    desk = sell_at_venue(desk, at, "0.1", Side.BUY, "p1", "manual-a")
    desk, changes = steps.watch(desk, {BTC: flat(BTC, START, 60, "60000")}, START + timedelta(minutes=60))
    assert requests(changes) == [(Instruction.CANCEL, Leg.STOP_LOSS)]
    assert stop.client_order_id == asked(changes, Instruction.CANCEL)[0].client_order_id


def test_stop_that_is_refused_is_sent_again_and_the_trade_is_left_after_three() -> None:
    desk, changes = steps.enter(compared(desk_at(LIVE)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at = entry.client_order_id, START + SECOND
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, entry.terms.quantity))
    legs = [e.terms.leg for e in asked(changes)]
    for _ in range(3):
        (newest,) = asked(changes)
        desk, changes = rejected(desk, newest.client_order_id, at, "INSUFFICIENT_FUNDS")
        legs += [e.terms.leg for e in asked(changes)]
    assert legs == [Leg.STOP_LOSS, Leg.STOP_LOSS, Leg.STOP_LOSS, Leg.EXIT]


def late_fill_beside_a_trade() -> tuple[Desk, ExecutionRequested, datetime]:
    """A trade with its stop, and 0.1 that an older entry filled late, on its way out."""
    desk, changes = steps.enter(compared(desk_at(LIVE)), signal(), history(), START)
    (first,) = asked(changes)
    key, at = first.client_order_id, START + SECOND
    desk, _ = reported(desk, key, at, *accepted(key, at), OrderCanceled(client_order_id=key, at=at, reason="IOC"))
    later = START + timedelta(minutes=5)
    desk, _ = steps.watch(desk, {BTC: flat(BTC, START, 5, "60000")}, later)
    desk, changes = steps.enter(compared(desk, later), signal(at=later), history(until=later), later)
    (second,) = asked(changes)
    name = second.client_order_id
    desk, changes = reported(desk, name, later, *accepted(name, later), fill(name, later, "0.2", trade="t2"))
    (stop,) = asked(changes)
    desk, _ = reported(desk, stop.client_order_id, later, *accepted(stop.client_order_id, later))
    at = later + 2 * SECOND
    desk, changes = reported(desk, key, at, fill(key, at, "0.1", trade="t3"))
    (out,) = asked(changes)
    assert (out.terms.quantity, out.entry) == (Decimal("0.1"), key)
    return desk, out, at


def test_late_fill_is_still_to_be_closed_when_the_kill_switch_is_released() -> None:
    desk, out, at = late_fill_beside_a_trade()
    desk, changes = rejected(desk, out.client_order_id, at)
    (again,) = asked(changes)
    desk, changes = rejected(desk, again.client_order_id, at)
    desk, _ = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at + SECOND)
    desk, _ = steps.resume(desk, "ann", "looked", at + 2 * SECOND)
    assert desk.closings[BTC].quantity == Decimal("0.1")


def test_persons_order_that_holds_a_late_fills_coins_is_in_its_way_whatever_our_own_stop_holds() -> None:
    desk, out, at = late_fill_beside_a_trade()
    desk, changes = rejected(desk, out.client_order_id, at)
    (again,) = asked(changes)
    desk, changes = rejected(desk, again.client_order_id, at)  # the next try is due in seconds
    rest = theirs(desk.account, Side.SELL, "0.1", reduce_only=False, at=at)
    desk, _ = steps.submit(desk, rest, at)
    desk, _ = reported(desk, rest.client_order_id, at, *accepted(rest.client_order_id, at))
    desk, changes = steps.watch(desk, {}, at + pause_after(2))
    assert [e.client_order_id for e in asked(changes, Instruction.CANCEL)] == [rest.client_order_id]


def test_exit_that_two_views_do_not_show_is_followed_by_another() -> None:
    desk, changes = steps.enter(compared(desk_at(MT5)), signal(), history(), START)
    (entry,) = asked(changes)
    key, at, quantity = entry.client_order_id, START + SECOND, entry.terms.quantity
    desk, changes = reported(desk, key, at, *accepted(key, at), fill(key, at, quantity))
    desk, changes = steps.halt(desk, HaltLevel.FLATTEN, "ann", "enough", at)
    (out,) = asked(changes)
    desk, _ = reported(desk, out.client_order_id, at, *accepted(out.client_order_id, at))
    desk, changes = steps.watch(desk, {}, at + timedelta(seconds=21))
    assert asked(changes, Instruction.CANCEL)  # it has not filled: taken back
    sent: list[ExecutionRequested] = []
    for seconds in (60, 100, 140):
        seen = VenueViewReported.model_validate(
            {"account": "live-1", "requested_at": at, "asked_at": at + timedelta(seconds=seconds), "orders": []}
            | {"positions": {BTC: quantity}, "trades": [as_traded(key, quantity, at)]}
        )
        desk, changes = steps.compare(desk, seen)
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
    desk, entry, stop = opened()
    at, quantity = START + 10 * SECOND, entry.terms.quantity
    sold = theirs(desk.account, Side.SELL, str(quantity), reduce_only=False, at=at)
    desk, _ = steps.submit(desk, sold, at)
    key = sold.client_order_id
    fee = Decimal("3.5")
    part = fill(key, at, quantity, "59500", "t5").model_copy(update={"fee": fee})
    desk, _ = reported(desk, key, at, *accepted(key, at), part)
    desk, _ = steps.watch(desk, {BTC: [bar(BTC, START, "60400")]}, START + ONE_MINUTE)  # the mark is another
    name, at = stop.client_order_id, START + ONE_MINUTE
    desk, changes = reported(desk, name, at, OrderCanceled(client_order_id=name, at=at, reason="X"))
    (closed,) = [e for e in changes.events if isinstance(e, TradeClosed)]
    assert (closed.price, closed.leg) == (Decimal(59_500), Leg.EXIT)
    assert closed.realised == (Decimal(59_500) - Decimal(60_000)) * quantity - fee
    assert closed.realised == desk.books.balance - desk.account.capital


# New risk while an exit does not go through


def test_signal_is_held_back_while_an_exit_of_the_account_does_not_go_through() -> None:
    desk, _, stop = opened()
    at = START + SECOND * 5
    key = stop.client_order_id
    desk, changes = reported(desk, key, at, OrderCanceled(client_order_id=key, at=at, reason="X"))
    for _ in range(6):
        for order in [o for o in desk.orders.values() if not o.state.is_closed]:
            desk, changes = rejected(desk, order.client_order_id, at)
        retry = desk.trades[BTC].progress.retry_at
        at = max(at, retry or at)
        desk, _ = steps.watch(desk, {}, at)
    _, changes = steps.enter(compared(desk, at), signal(ETH), history(ETH), at)
    assert [risk.code for risk in changes.risk] == [HeldBack.EXIT_FAILING]
