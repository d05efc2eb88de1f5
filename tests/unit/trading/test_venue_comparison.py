"""A venue in motion: what one view shows is doubted, what it does not show is no fact, and what has no answer is asked again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.adapters.aws.trading_metrics import counted
from signalbox.contracts import Metric
from signalbox.orders.events import (
    OrderCanceled,
    OrderEvent,
    OrderRejected,
    OrderReleased,
    OrderSubmitted,
    OrderUnconfirmed,
)
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    VenueViewReported,
    VenueViewRequested,
    ViewedInstrument,
)
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import HaltAccount, VenueDifference
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_port import SETTLE
from signalbox.portfolio.entries import Entry
from signalbox.risk.codes import RefusalCode
from signalbox.trading import operator_orders, venue_reports
from signalbox.trading.at_venue import NEXT_VIEW_AFTER, AtVenue, review_doubts
from signalbox.trading.changes import ChangeSet, RiskEventKind
from signalbox.trading.entries import enter, objection_to
from signalbox.trading.entry_plan import SignalSkipReason
from signalbox.trading.events import VenueRefused
from signalbox.trading.service import AccountOutcome
from signalbox.trading.state import AccountState, opening_transfer
from signalbox.trading.venue_comparison import OVERLAP, needs_comparison, request_view
from signalbox.trading.view import account_view
from tests.examples import examples
from tests.unit.trading.market import AT_VENUE, BTC, ETH, START, history, signal, state_at
from tests.unit.trading.test_live import LIVE, SECOND, accepted, compared, entered, fill, opened, reported
from tests.unit.trading.test_live_service import NAME, World
from tests.unit.trading.test_live_service import view as service_view
from tests.unit.trading.test_service import order


def view(at: datetime, **facts: Any) -> VenueViewReported:
    """What the venue of LIVE shows, one that forgets orders that ended without a fill."""
    return VenueViewReported.model_validate(
        {"account": "live-1", "requested_at": at, "asked_at": at, "orders": (), "trades": (), "positions": {}}
        | {"forgets_unfilled": True, "instruments": [ViewedInstrument.of(one) for one in AT_VENUE.instruments], **facts}
    )


def at_venue(account_state: AccountState, key: str, status: str = "OPEN", filled: Decimal | str = "0") -> dict[str, Any]:
    known = account_state.orders[key]  # type: ignore[index]
    return {
        "client_order_id": key, "venue_order_id": f"V{key}", "symbol": BTC, "status": status, "quantity": known.quantity,
        "filled": Decimal(filled), "stop_price": known.stop_price, "limit_price": known.limit_price,
    }  # fmt: skip


def traded(key: str, quantity: Decimal | str, at: datetime, trade_id: str = "t1", side: str = "BUY") -> dict[str, Any]:
    return {
        "trade_id": trade_id, "client_order_id": key, "symbol": BTC, "side": side, "quantity": Decimal(quantity),
        "price": Decimal(60000), "executed_at": at,
    }  # fmt: skip


def codes(changes: ChangeSet, *kinds: RiskEventKind) -> list[str]:
    return [str(line.code) for line in changes.risk if not kinds or line.kind in kinds]


def views_asked(changes: ChangeSet) -> list[VenueViewRequested]:
    return [event for event in changes.events if isinstance(event, VenueViewRequested)]


class TestAbsence:
    def test_an_order_not_shown_after_ten_seconds_is_awaited_and_its_fill_booked(self) -> None:
        account_state, entry = entered()
        key, at = entry.terms.client_order_id, START + SECOND
        account_state, _ = reported(account_state, key, at, *accepted(key, at))
        account_state, _ = venue_reports.compare(account_state, view(START + 11 * SECOND))
        assert account_state.orders[key].state is OrderState.ACCEPTED
        assert account_state.halt is None
        _, asked = request_view(account_state, START + 40 * SECOND)
        assert views_asked(asked)[0].since <= at
        quantity = entry.terms.quantity
        account_state, _ = venue_reports.compare(
            account_state,
            view(
                START + 41 * SECOND,
                orders=[at_venue(account_state, key, "FILLED", quantity)],
                trades=[traded(key, quantity, at)],
                positions={BTC: quantity},
            ),
        )
        assert (account_state.books.position(BTC).quantity, account_state.halt) == (quantity, None)

    def test_a_resting_stop_that_one_view_does_not_show_is_not_believed_cancelled(self) -> None:
        account_state, entry, stop = opened()
        held = {"positions": {BTC: entry.terms.quantity}, "trades": [traded(entry.client_order_id, entry.terms.quantity, START)]}
        at = START + timedelta(minutes=2)
        account_state, changes = venue_reports.compare(account_state, view(at, **held))
        assert codes(changes) == ["ORDER_VANISHED"]
        assert (account_state.orders[stop.terms.client_order_id].state, account_state.halt) == (OrderState.ACCEPTED, None)
        account_state, changes = venue_reports.compare(
            account_state, view(at + SETTLE, orders=[at_venue(account_state, stop.client_order_id)], **held)
        )
        assert (changes.risk, account_state.at_venue.doubts, account_state.halt) == ((), (), None)

    def test_an_order_missing_in_two_views_ends_or_stops_the_account_by_kind_of_venue(
        self,
    ) -> None:
        for forgets, state in ((True, OrderState.CANCELED), (False, OrderState.ACCEPTED)):
            account_state, entry, stop = opened()
            facts = {"positions": {BTC: entry.terms.quantity}, "forgets_unfilled": forgets}
            at = START + timedelta(minutes=2)
            for seen in (at, at + SETTLE):
                account_state, _ = venue_reports.compare(account_state, view(seen, **facts))
            assert account_state.orders[stop.terms.client_order_id].state is state
            assert (account_state.halt is None) == forgets

    def test_a_cancel_without_an_answer_is_believed_once_it_has_settled(self) -> None:
        account_state, entry, stop = opened()
        key, held = stop.terms.client_order_id, {"positions": {BTC: entry.terms.quantity}}
        at = START + timedelta(minutes=2)
        account_state, _ = operator_orders.cancel(account_state, key, "req-1", at)
        account_state, _ = venue_reports.compare(account_state, view(at + SETTLE - SECOND, **held))
        assert account_state.orders[key].state is OrderState.PENDING_CANCEL
        account_state, _ = venue_reports.compare(account_state, view(at + SETTLE, **held))
        assert account_state.orders[key].state is OrderState.CANCELED

    def test_what_was_given_up_is_asked_about_and_its_late_fill_is_booked(self) -> None:
        account_state, entry = entered()
        key, at = entry.terms.client_order_id, START + SECOND
        account_state, _ = reported(account_state, key, at, OrderUnconfirmed(client_order_id=key, at=at, attempt="submit"))
        account_state, _ = venue_reports.compare(account_state, view(at + SETTLE))
        assert account_state.orders[key].state is OrderState.CANCELED
        later = START + timedelta(hours=2)
        bare = replace(account_state, orders={})  # closed orders leave the account state
        _, asked = request_view(bare, later)
        assert views_asked(asked)[0].orders == (key,)
        account_state, _ = venue_reports.compare(
            account_state,
            view(
                later,
                orders=[at_venue(account_state, key, "CANCELED", "0.1")],
                trades=[traded(key, "0.1", at)],
                positions={BTC: "0.1"},
            ),
        )
        assert account_state.books.position(BTC).quantity == Decimal("0.1")

    def test_an_order_in_a_mailbox_may_be_sent_until_it_expires(self) -> None:
        account_state, entry = entered()
        key, at = entry.terms.client_order_id, START + SECOND
        account_state, _ = reported(account_state, key, at, OrderSubmitted(client_order_id=key, at=at))
        account_state, _ = venue_reports.compare(account_state, view(START + timedelta(minutes=4)))
        assert account_state.orders[key].state is OrderState.SUBMITTED
        account_state, _ = venue_reports.compare(account_state, view(entry.terms.send_before + SETTLE))
        assert account_state.orders[key].state is OrderState.CANCELED

    def test_views_overlap(self) -> None:
        at = START + timedelta(hours=1)
        _, asked = request_view(compared(state_at(LIVE), at), at + SECOND)
        assert views_asked(asked)[0].since == at - OVERLAP


class TestDoubts:
    def test_a_stop_that_fills_during_a_view_halts_nothing_if_the_next_view_explains_it(self) -> None:
        account_state, entry, stop = opened()
        key, quantity, at = stop.client_order_id, entry.terms.quantity, START + timedelta(minutes=2)
        torn = view(at, orders=[at_venue(account_state, key)], positions={})  # the balances were read after it traded
        account_state, changes = venue_reports.compare(account_state, torn)
        assert codes(changes, RiskEventKind.DOUBTED) == ["POSITION_DIFFERS"]
        assert account_state.halt is None
        whole = view(
            at + SETTLE,
            orders=[at_venue(account_state, key, "FILLED", quantity)],
            trades=[traded(key, quantity, at, "t2", "SELL")],
        )
        account_state, changes = venue_reports.compare(account_state, whole)
        assert (account_state.halt, account_state.at_venue.doubts, account_state.is_idle) == (None, (), True)

    def test_a_difference_in_a_second_view_halts_the_account_and_says_by_how_much(self) -> None:
        account_state = compared(state_at(LIVE))
        at = START + SECOND
        account_state, _ = venue_reports.compare(account_state, view(at, positions={BTC: "1"}))
        (doubt,) = account_state.at_venue.doubts
        assert (doubt.difference, doubt.subject, doubt.since) == ("POSITION_DIFFERS", BTC, at)
        account_state, changes = venue_reports.compare(account_state, view(at + SETTLE - SECOND, positions={BTC: "1"}))
        assert account_state.halt is None  # too soon after the first
        account_state, changes = venue_reports.compare(account_state, view(at + SETTLE, positions={BTC: "1"}))
        assert codes(changes) == ["POSITION_DIFFERS", "HALT"]
        assert account_state.halt is not None
        assert account_state.halt.why == "POSITION_DIFFERS BTC-USD: 0 in the ledger, 1 at the venue"

    def test_a_difference_that_is_another_one_in_every_view_stops_the_account_in_the_end(self) -> None:
        account_state, at, seen = compared(state_at(LIVE)), START, 0
        while account_state.halt is None:
            at, seen = at + NEXT_VIEW_AFTER, seen + 1
            account_state, _ = venue_reports.compare(account_state, view(at, positions={BTC: str(seen)}))
            assert seen < 60
        assert at - START > timedelta(minutes=2)

    def test_while_something_is_doubted_no_new_risk_is_taken_and_reductions_are(self) -> None:
        world = World()
        world.ready()
        world.floor.deliver(service_view(START + SECOND, positions={"BTC-USD": "1"}))
        (handled,) = world.floor.deliver(signal(BTC))
        assert not [e for e in handled.changes.order_events if isinstance(e, OrderReleased)]
        account_state, _ = venue_reports.compare(compared(state_at(LIVE)), view(START + SECOND, positions={BTC: "1"}))
        assert objection_to(account_state, signal(), START + SECOND) is SignalSkipReason.IN_DOUBT

    def test_the_doubt_asks_for_the_next_view_within_seconds_and_only_for_one(self) -> None:
        world = World()
        world.ready()
        (handled,) = world.floor.deliver(service_view(START + SECOND, positions={"BTC-USD": "1"}))
        (asked,) = views_asked(handled.changes)
        assert asked.not_before is not None
        assert asked.not_before - (START + SECOND) <= timedelta(seconds=10)
        delivered = ExecutionReported.model_validate(
            {"account": NAME, "client_order_id": "ab" * 16, "reported_at": START + 2 * SECOND}
            | {"events": [{"kind": "OrderLost", "client_order_id": "ab" * 16, "at": START + 2 * SECOND}]}
        )
        (handled,) = world.floor.deliver(delivered)
        assert views_asked(handled.changes) == []

    def test_a_trade_of_nobody_is_told_once_although_views_overlap(self) -> None:
        account_state, at = compared(state_at(LIVE)), START + SECOND
        trades = [traded("ab" * 16, "0.1", START)]
        lines: list[str] = []
        for n in range(6):
            account_state, changes = venue_reports.compare(account_state, view(at + n * SETTLE, trades=trades))
            lines += codes(changes, RiskEventKind.DIFFERENCE)
        assert lines == ["TRADE_UNKNOWN"]

    def test_dust_is_told_once_and_stops_nothing(self) -> None:
        account_state, at, lines = compared(state_at(LIVE)), START + SECOND, []
        for n in range(4):
            account_state, changes = venue_reports.compare(account_state, view(at + n * SETTLE, positions={BTC: "0.00009999"}))
            lines += [(line.kind, line.key) for line in changes.risk]
        assert account_state.halt is None
        assert {kind for kind, _ in lines} == {RiskEventKind.DUST}
        assert len(set(lines)) == 1  # one row of the ledger: its key is the same

    def test_what_others_hold_is_told_whenever_it_changes_is_shown_and_is_left_alone(self) -> None:
        account_state, at, delivered = compared(state_at(LIVE)), START + SECOND, []
        for n, held in enumerate(({BTC: "0.2"}, {BTC: "0.2"}, {BTC: "-0.1", ETH: "0"}, {}, {})):
            account_state, changes = venue_reports.compare(account_state, view(at + n * SETTLE, others=held))
            delivered += [(str(line.symbol), line.limit, line.value) for line in changes.risk]
            assert {line.kind for line in changes.risk} <= {RiskEventKind.OTHERS_AT_VENUE}
            assert (changes.order_events, changes.events) == ((), ())  # nothing is sent, cancelled or closed
            if n == 1:
                assert account_view(account_state)["others"] == [{"symbol": BTC, "quantity": "0.2"}]
                assert counted((AccountOutcome(account_state, changes),))[Metric.OTHERS_AT_VENUE] == 0
        assert delivered == [(BTC, 0, Decimal("0.2")), (BTC, Decimal("0.2"), Decimal("-0.1")), (BTC, Decimal("-0.1"), 0)]
        assert (account_state.halt, account_state.books.positions, account_view(account_state)["others"]) == (None, {}, [])

    def test_what_is_kept_of_the_venue_survives_its_text(self) -> None:
        account_state, _ = venue_reports.compare(
            compared(state_at(LIVE)), view(START + SECOND, positions={BTC: "1"}, others={BTC: "0.20"})
        )
        account_state, _ = request_view(account_state, START + 2 * SECOND)
        assert AtVenue.from_text(account_state.at_venue.to_text()) == account_state.at_venue

    def test_a_reported_difference_is_stored_under_the_name_that_releases_read(self) -> None:
        halted = HaltAccount(VenueDifference.POSITION_DIFFERS, BTC, "1", "2")
        (doubt,) = review_doubts((), [halted], START).doubts
        kept = AtVenue(doubts=(replace(doubt, reported=True),))
        assert json.loads(kept.to_text())["doubts"][0]["told"] is True
        assert AtVenue.from_text(kept.to_text()) == kept


class TestFollowingUp:
    def sent(self) -> tuple[World, Order]:
        """A ready account, and the market order that a person sent."""
        world = World()
        world.ready()
        order_sent = world.floor.service.on_command(order(account=NAME), "ada").order
        assert order_sent is not None
        return world, order_sent

    def delivered(self, *events: OrderEvent, key: str, at: datetime, world: World) -> AccountOutcome:
        (handled,) = world.floor.deliver(ExecutionReported(account=NAME, client_order_id=key, reported_at=at, events=events))
        return handled

    def test_an_accepted_market_order_without_a_fill_is_queried_within_seconds(self) -> None:
        world, sent = self.sent()
        key, at = sent.client_order_id, START + SECOND
        (asked,) = views_asked(self.delivered(*accepted(key, at), key=key, at=at, world=world).changes)
        assert asked.not_before is not None
        assert at < asked.not_before <= at + timedelta(seconds=10)
        assert asked.orders == (key,)
        assert needs_comparison(world.floor.state(NAME), START + timedelta(seconds=31))

    def test_one_that_has_ended_is_not(self) -> None:
        world, sent = self.sent()
        key, at = sent.client_order_id, START + SECOND
        done = fill(key, at, sent.quantity).model_copy(update={"symbol": sent.terms.symbol})
        assert views_asked(self.delivered(*accepted(key, at), done, key=key, at=at, world=world).changes) == []

    def test_a_view_that_came_too_late_to_be_compared_is_followed_by_another(self) -> None:
        world, sent = self.sent()
        key, at = sent.client_order_id, START + SECOND
        (asked,) = views_asked(self.delivered(*accepted(key, at), key=key, at=at, world=world).changes)
        assert asked.not_before is not None
        part = fill(key, asked.not_before + SECOND, "0.1").model_copy(update={"symbol": sent.terms.symbol})
        assert views_asked(self.delivered(part, key=key, at=part.at, world=world).changes) == []
        (old,) = world.floor.deliver(service_view(asked.not_before))
        assert len(views_asked(old.changes)) == 1


class TestInstruments:
    def test_a_live_account_without_an_instruments_rules_may_exit_but_take_no_new_risk(self) -> None:
        blind = replace(compared(state_at(LIVE)), at_venue=AtVenue())
        assert objection_to(blind, signal(), START) is SignalSkipReason.NO_INSTRUMENT
        account_state, _, stop = opened()
        account_state = replace(account_state, at_venue=AtVenue())
        market = {"type": OrderType.MARKET, "stop_price": None, "leg": Leg.EXIT}
        out = stop.terms.model_copy(update={"strategy": "manual-1", **market})
        account_state, _ = operator_orders.cancel(account_state, stop.terms.client_order_id, "req-1", START + 2 * SECOND)
        end = OrderCanceled(client_order_id=stop.client_order_id, at=START + 3 * SECOND, reason="X")
        account_state, _ = reported(replace(account_state, trades={}), stop.client_order_id, START + 3 * SECOND, end)
        after, _ = operator_orders.submit(account_state, out, START + 4 * SECOND)
        assert after.orders[out.client_order_id].state is OrderState.RELEASED
        more = out.model_copy(update={"strategy": "manual-2", "reduce_only": False, "side": Side.BUY})
        after, changes = operator_orders.submit(account_state, more, START + 4 * SECOND)
        assert RefusalCode.INSTRUMENT_UNKNOWN in codes(changes)

    def test_a_venue_that_takes_reductions_only_is_not_asked_for_more(self) -> None:
        closed = replace(AT_VENUE.instruments[0], can_open=False)
        account_state = replace(compared(state_at(LIVE)), at_venue=AtVenue(instruments=(closed, *AT_VENUE.instruments[1:])))
        assert objection_to(account_state, signal(), START) is SignalSkipReason.NO_INSTRUMENT

    def test_sizes_are_those_of_the_venue_and_one_below_its_minimum_is_held_back(self) -> None:
        coarse = replace(AT_VENUE.instruments[0], step=Decimal("0.05"), min_quantity=Decimal("0.05"))
        account_state = replace(compared(state_at(LIVE)), at_venue=AtVenue(instruments=(coarse,)))
        _, changes = enter(account_state, signal(), history(), START)
        (sent,) = [e for e in changes.order_events if isinstance(e, OrderReleased)]
        (quantity,) = {e.terms.quantity for e in changes.events if hasattr(e, "terms")}
        assert sent.client_order_id in {e.client_order_id for e in changes.events if isinstance(e, ExecutionRequested)}
        assert quantity % Decimal("0.05") == 0
        large = replace(coarse, min_quantity=Decimal(50))
        _, changes = enter(replace(account_state, at_venue=AtVenue(instruments=(large,))), signal(), history(), START)
        assert codes(changes) == [SignalSkipReason.BELOW_MINIMUM_SIZE]


def test_the_venues_own_words_reach_the_order_the_record_and_the_alert() -> None:
    world = World()
    world.ready()
    handled = world.floor.service.on_command(order(account=NAME), "ada")
    assert handled.order is not None
    key, at = handled.order.client_order_id, START + SECOND
    refused = OrderRejected(client_order_id=key, at=at, reason="VENUE_REFUSED", detail="size is too small. Minimum size is 1")
    (handled,) = world.floor.deliver(ExecutionReported(account=NAME, client_order_id=key, reported_at=at, events=(refused,)))
    (line,) = [one for one in handled.changes.risk if one.kind is RiskEventKind.VENUE_REFUSED]
    assert "Minimum size is 1" in line.detail
    (alert,) = [event for event in handled.changes.events if isinstance(event, VenueRefused)]
    assert (alert.what, alert.detail) == ("order", refused.detail)
    with world.floor.service.ledger.transaction(NAME) as tx:
        kept = tx.order(key)
    assert kept is not None
    assert kept.detail == refused.detail


# Whatever the true history, and whatever each view shows of it within the venue's delays

SHARE = Decimal("0.0250")
MANUAL = OrderTerms(
    account="live-1",
    strategy="manual-1",
    symbol=BTC,
    decided_at=START,
    leg=Leg.ENTRY,
    side=Side.BUY,
    type=OrderType.LIMIT,
    quantity=SHARE * 4,
    limit_price=Decimal(60000),
    send_before=START + timedelta(minutes=5),
)


@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_books_end_as_the_venues_fills_and_no_halt_remains_whatever_each_view_shows(data: st.DataObject) -> None:
    """A venue takes an order or not, fills parts of it, ends it, and shows orders, fills and balances late, or torn."""
    draw, settle = data.draw, int(SETTLE.total_seconds())
    key = MANUAL.client_order_id
    account_state, _ = operator_orders.submit(compared(state_at(LIVE)), MANUAL, START)
    arrives = draw(st.booleans(), "arrives")
    shown_from = draw(st.integers(0, settle - 1), "order is shown after")
    fills = st.lists(st.tuples(st.integers(0, 100), st.integers(0, settle - 5)), max_size=3)  # second, until it is listed
    parts = draw(fills, "fills") if arrives else []
    ends_at = max((second for second, _ in parts), default=0) + draw(st.integers(1, 40), "ends")
    heard = draw(st.sampled_from(["nothing", "unconfirmed", "accepted"]), "reported")
    at = START + SECOND
    if heard == "accepted" and arrives:
        account_state, _ = reported(account_state, key, at, *accepted(key, at))
    elif heard == "unconfirmed":
        account_state, _ = reported(account_state, key, at, OrderUnconfirmed(client_order_id=key, at=at, attempt="submit"))

    def shown(now: int, later: int) -> VenueViewReported:
        """Orders and fills as of `now`, balances as of `later`."""
        listed = [(n, second) for n, (second, delay) in enumerate(parts) if second + delay <= now]
        filled = SHARE * sum(second <= now for second, _ in parts)
        held = SHARE * sum(second <= later for second, _ in parts)
        is_known = arrives and now >= shown_from and (filled or now < ends_at)
        return view(
            START + SECOND * now,
            orders=[at_venue(account_state, key, "CANCELED" if now >= ends_at else "OPEN", filled)] if is_known else [],
            trades=[traded(key, SHARE, START + SECOND * second, f"t{n}") for n, second in listed],
            positions={BTC: held} if held else {},
        )

    now = 2
    entries: list[Entry] = [opening_transfer(LIVE, START - timedelta(hours=1))]
    while now < 420:
        seen = shown(now, now + draw(st.integers(0, 3), "balances are read later"))
        account_state, changes = venue_reports.compare(account_state, seen, entries)
        entries += changes.entries
        assert account_state.halt is None
        now += draw(st.integers(8, 45), "next view")
    assert account_state.books.position(BTC).quantity == account_state.orders[key].filled == SHARE * len(parts)
    assert account_state.orders[key].state.is_closed
    assert account_state.at_venue.doubts == ()
