"""The ledger's resting stop and target as levels of positions, and exits by ticket, in both margin modes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.stand_ins.mt5 import TerminalFault
from signalbox.orders.messages import ExecutionReported, OrderInstruction
from signalbox.orders.reconciliation import reconcile
from signalbox.orders.terms import Leg, OrderTerms, Side
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_view import LocalView, VenueStatus
from signalbox_mt5.book import magic_of
from signalbox_mt5.terminal import Action, MarginMode, OrderKind
from tests.builders import BTC, NOON
from tests.unit.agents.world import (
    ACCOUNT,
    World,
    asked,
    entry,
    exit_of,
    kinds,
    of_account,
    reasons,
    released,
    stop_of,
    target_of,
    viewed,
)
from tests.unit.orders.samples import applied

ENTRY = entry()
STOP, TARGET = stop_of(ENTRY), target_of(ENTRY)
SHORT = entry(side=Side.SELL, strategy="short")


@pytest.fixture(params=[MarginMode.NETTING, MarginMode.HEDGING], ids=["netting", "hedging"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, margin_mode=request.param)
    yield made
    made.journal.close()


@pytest.fixture
def hedging(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


def levels(world: World) -> list[tuple[float, float]]:
    return [(p.sl, p.tp) for p in world.terminal.open_positions()]


def changes(world: World) -> list[Any]:
    return [send for send in world.terminal.sends if send["action"] == Action.SLTP]


def flatten_of_two_tickets(world: World) -> OrderTerms:
    """Open two tickets and return the terms of an order that closes both."""
    for number in range(2):
        world.submit(of_account(strategy=f"n{number}"))
    return of_account(strategy="kill-switch", leg=Leg.FLATTEN, side=Side.SELL, reduce_only=True, quantity="0.2")


class TestStops:
    def test_stop_and_target_travel_with_the_entry(self, world: World) -> None:
        world.submit(ENTRY, stop_loss=Decimal(49_000), take_profit=Decimal(52_000))
        assert levels(world) == [(49_000.0, 52_000.0)]
        assert kinds(world.submit(STOP)) == kinds(world.submit(TARGET)) == ["OrderSubmitted", "OrderAccepted"]
        assert changes(world) == []  # they are there already

    def test_a_stop_is_set_where_the_entry_had_none_and_leaves_the_target_alone(self, world: World) -> None:
        world.submit(ENTRY, take_profit=Decimal(52_000))
        order = applied(released(STOP), *world.submit(STOP).events)
        assert (order.state, levels(world)) == (OrderState.ACCEPTED, [(49_000.0, 52_000.0)])
        (shown,) = world.view(STOP).orders
        assert (shown.status, shown.stop_price, shown.quantity) == (VenueStatus.OPEN, Decimal(49_000), Decimal("0.1"))

    def test_a_stop_of_a_short_position_lies_above(self, world: World) -> None:
        world.submit(SHORT)
        world.submit(stop_of(SHORT, "51000"))
        assert levels(world) == [(51_000.0, 0.0)]
        world.terminal.quote("BTCUSD", 51_000.0, 51_010.0)
        order = applied(released(stop_of(SHORT, "51000")), *world.report(asked(stop_of(SHORT, "51000"))).events)
        assert (order.state, world.terminal.open_positions()) == (OrderState.FILLED, [])

    def test_cancelling_takes_the_level_away_and_replacing_moves_it(self, world: World) -> None:
        world.submit(ENTRY, take_profit=Decimal(52_000))
        world.submit(STOP)
        moved = world.report(asked(STOP, OrderInstruction.REPLACE, stop_price=Decimal(49_500)))
        assert (kinds(moved), levels(world)) == (["OrderUpdated"], [(49_500.0, 52_000.0)])
        larger = world.report(asked(STOP, OrderInstruction.REPLACE, quantity=Decimal("0.2"), request_id="r2"))
        assert (kinds(larger), levels(world)) == (["OrderUpdated"], [(49_500.0, 52_000.0)])
        assert kinds(world.cancel(STOP)) == ["OrderAccepted", "OrderCanceled"]
        assert levels(world) == [(0.0, 52_000.0)]
        assert [o.status for o in world.view(STOP).orders] == [VenueStatus.CANCELED]

    @pytest.mark.parametrize("level", [STOP, TARGET], ids=["stop", "target"])
    def test_the_deal_of_a_level_is_the_fill_of_its_order(self, world: World, level: OrderTerms) -> None:
        world.submit(ENTRY)
        world.submit(STOP)
        world.submit(TARGET)
        price = float(level.stop_price or level.limit_price or 0)
        world.terminal.quote("BTCUSD", price, price + 20)
        view = world.view(STOP, TARGET)
        found = [trade for trade in view.trades if trade.client_order_id == level.client_order_id]
        assert [(trade.side, trade.quantity, trade.price) for trade in found] == [
            (Side.SELL, Decimal("0.1"), Decimal(str(price)))
        ]
        assert {o.client_order_id: o.status for o in view.orders}[level.client_order_id] is VenueStatus.FILLED
        order = applied(released(level), *world.report(asked(level)).events)
        assert (order.state, order.trades[0].trade_id) == (OrderState.FILLED, found[0].trade_id)
        other = TARGET if level is STOP else STOP
        assert kinds(world.cancel(other))[-1] == "OrderCanceled"  # it went with its position

    def test_a_level_that_traded_before_its_order_came_is_that_orders_fill(self, world: World) -> None:
        world.submit(ENTRY, stop_loss=Decimal(49_000))
        world.terminal.quote("BTCUSD", 48_900.0, 48_920.0)
        world.wait(viewed(ENTRY))  # the deal is nobody's yet: it is not told as a stranger's
        order = applied(released(STOP), *world.submit(STOP).events)
        assert (order.state, order.average_price) == (OrderState.FILLED, Decimal(48_900))
        world.pass_time(5)
        world.agent.step()
        assert {t.client_order_id for t in world.view(ENTRY).trades} == {ENTRY.client_order_id, STOP.client_order_id}

    def test_a_level_that_no_order_comes_for_is_told_after_a_minute(self, world: World) -> None:
        world.submit(ENTRY, stop_loss=Decimal(49_000))
        world.terminal.quote("BTCUSD", 48_900.0, 48_920.0)
        world.pass_time(60)
        assert [t.client_order_id for t in world.view(ENTRY).trades] == [ENTRY.client_order_id, None]

    def test_a_refused_stop_says_why_and_leaves_what_was_there(self, world: World) -> None:
        world.submit(ENTRY, stop_loss=Decimal(49_000))
        too_near = stop_of(ENTRY, "49995", attempt=1)
        assert reasons(world.submit(too_near)) == [None, "INVALID_STOPS"]
        assert levels(world) == [(49_000.0, 0.0)]

    def test_a_second_stop_replaces_the_first_whose_late_cancel_does_not_remove_it(self, world: World) -> None:
        world.submit(ENTRY)
        world.submit(STOP)
        second = stop_of(ENTRY, "49200", attempt=1)
        world.submit(second)
        assert kinds(world.cancel(STOP))[-1] == "OrderCanceled"
        assert levels(world) == [(49_200.0, 0.0)]
        world.terminal.quote("BTCUSD", 49_200.0, 49_220.0)
        assert [t.client_order_id for t in world.view(STOP, second).trades][-1] == second.client_order_id

    def test_a_person_who_moves_or_removes_the_stop_is_seen(self, world: World) -> None:
        world.submit(ENTRY)
        order = applied(released(STOP), *world.submit(STOP).events)
        ticket = world.terminal.open_positions()[0].ticket
        world.terminal.person_moves(ticket, sl=48_000.0)
        assert [o.stop_price for o in world.view(STOP).orders] == [Decimal(48_000)]
        world.terminal.person_moves(ticket, sl=0.0)
        view = world.view(ENTRY, STOP)
        held = applied(released(ENTRY), *world.report(asked(ENTRY)).events)
        found = reconcile(LocalView(ACCOUNT, (held, order), {BTC: Decimal("0.1")}), view, settle=timedelta(0))
        assert {o.client_order_id: o.state for o in found.orders}[STOP.client_order_id] is OrderState.CANCELED

    def test_a_stop_without_its_position_is_refused(self, world: World) -> None:
        assert reasons(world.submit(STOP)) == [None, "REDUCE_ONLY"]
        assert world.terminal.sends == []

    def test_on_a_netting_account_a_stop_that_would_close_more_than_the_trade_is_refused(self, tmp_path: Path) -> None:
        world = World(tmp_path, margin_mode=MarginMode.NETTING)
        world.submit(ENTRY)
        world.terminal.person_trades("BTCUSD", OrderKind.BUY, 0.2)
        assert reasons(world.submit(STOP)) == [None, "POSITION_SHARED"]
        assert kinds(world.submit(exit_of(ENTRY)))[-1] == "OrderFilled"
        assert [p.volume for p in world.terminal.open_positions()] == [0.2]
        world.journal.close()

    def test_the_growing_fill_of_an_entry_is_under_its_stop(self, world: World) -> None:
        limit = entry(price="49500", strategy="limit")
        world.submit(limit, stop_loss=Decimal(48_000))
        ticket = world.terminal.all_orders()[-1].ticket
        world.terminal.trade(ticket, 0.04, 49_500.0)
        stop = stop_of(limit, "48000", quantity="0.04")
        world.submit(stop)
        world.terminal.trade(ticket, 0.06, 49_500.0)
        world.report(asked(stop, OrderInstruction.REPLACE, quantity=Decimal("0.1")))
        world.terminal.quote("BTCUSD", 48_000.0, 48_020.0)
        (shown,) = [o for o in world.view(stop).orders if o.client_order_id == stop.client_order_id]
        assert (shown.status, shown.filled) == (VenueStatus.FILLED, Decimal("0.1"))

    def test_a_closing_deal_that_is_not_in_the_history_yet_is_waited_for(self, world: World) -> None:
        world.submit(ENTRY)
        world.submit(STOP)
        world.terminal.deals_lag = True
        world.terminal.quote("BTCUSD", 49_000.0, 49_020.0)
        world.wait(viewed(STOP))
        assert kinds(world.report(asked(STOP))) == ["OrderSubmitted", "OrderUnconfirmed"]  # not: it was cancelled
        world.terminal.deals_lag = False
        assert kinds(world.report(asked(STOP)))[-1] == "OrderFilled"


class TestLostAnswersAndJournals:
    @pytest.mark.parametrize("fault", [TerminalFault.TIMEOUT_AFTER, TerminalFault.NOTHING_AFTER])
    def test_a_change_without_an_answer_is_looked_for(self, world: World, fault: TerminalFault) -> None:
        world.submit(ENTRY)
        world.terminal.faults.append(fault)
        assert kinds(world.submit(STOP)) == ["OrderSubmitted", "OrderAccepted"]
        world.terminal.faults.append(fault)
        assert kinds(world.report(asked(STOP, OrderInstruction.REPLACE, stop_price=Decimal(49_500)))) == ["OrderUpdated"]
        world.terminal.faults.append(fault)
        assert kinds(world.cancel(STOP))[-1] == "OrderCanceled"

    def test_a_change_that_was_not_done_is_asked_for_again(self, world: World) -> None:
        world.submit(ENTRY)
        world.terminal.faults.append(TerminalFault.TIMEOUT)
        world.wait(asked(STOP))
        world.pass_time(1)
        world.agent.step()
        assert (levels(world), world.journal.kept) == ([(49_000.0, 0.0)], {})

    @pytest.mark.parametrize("lose_journal", [False, True])
    def test_levels_outlive_a_restart_and_a_lost_journal(self, world: World, lose_journal: bool) -> None:
        world.submit(ENTRY)
        world.submit(STOP)
        world.submit(TARGET)
        world.restart(lose_journal=lose_journal)
        assert {o.client_order_id: o.status for o in world.view(STOP, TARGET).orders} == {
            STOP.client_order_id: VenueStatus.OPEN,
            TARGET.client_order_id: VenueStatus.OPEN,
        }
        world.restart(lose_journal=lose_journal)
        assert kinds(world.cancel(STOP))[-1] == "OrderCanceled"
        assert levels(world) == [(0.0, 52_000.0)]

    @pytest.mark.parametrize("lose_journal", [False, True])
    def test_a_stop_that_traded_while_the_agent_was_away_is_its_orders_fill(self, world: World, lose_journal: bool) -> None:
        world.submit(ENTRY)
        world.submit(STOP)
        world.terminal.quote("BTCUSD", 49_000.0, 49_020.0)
        world.restart(lose_journal=lose_journal)
        for _ in range(2):
            assert [t.client_order_id for t in world.view(ENTRY, STOP).trades] == [ENTRY.client_order_id, STOP.client_order_id]

    def test_an_exit_closes_its_position_after_the_journal_was_lost(self, world: World) -> None:
        world.submit(ENTRY)
        world.restart(lose_journal=True)
        assert kinds(world.submit(exit_of(ENTRY)))[-1] == "OrderFilled"
        assert world.terminal.open_positions() == []


class TestTickets:
    def test_an_exit_closes_its_own_ticket_and_nobody_elses(self, hedging: World) -> None:
        world = hedging
        manual = world.terminal.person_trades("BTCUSD", OrderKind.BUY, 0.1)
        robot = world.terminal.person_trades("BTCUSD", OrderKind.BUY, 0.1, magic=4711)
        world.submit(ENTRY)
        other = entry(strategy="other")
        world.submit(other)
        assert kinds(world.submit(exit_of(ENTRY)))[-1] == "OrderFilled"
        left = {p.ticket: p.magic for p in world.terminal.open_positions()}
        assert left == {manual: 0, robot: 4711, list(left)[-1]: magic_of(other.client_order_id)}

    def test_the_kill_switchs_order_closes_as_few_tickets_of_ours_as_can_be(self, hedging: World) -> None:
        world = hedging
        manual = world.terminal.person_trades("BTCUSD", OrderKind.BUY, 5.0)
        for number, quantity in enumerate(["0.1", "0.4", "0.2"]):
            world.submit(of_account(strategy=f"n{number}", quantity=quantity))
        rest = of_account(strategy="kill-switch", leg=Leg.FLATTEN, side=Side.SELL, reduce_only=True, quantity="0.5")
        order = applied(released(rest), *world.submit(rest).events)
        assert (order.state, order.filled, len(order.trades)) == (OrderState.FILLED, Decimal("0.5"), 2)
        assert sorted(p.volume for p in world.terminal.open_positions()) == [0.1, 0.1, 5.0]
        assert manual in {p.ticket for p in world.terminal.open_positions()}

    def test_what_belongs_to_no_trade_is_closed_before_what_does(self, hedging: World) -> None:
        world = hedging
        world.submit(ENTRY)
        world.submit(STOP)
        free = of_account(strategy="person")
        world.submit(free)
        out = of_account(strategy="kill-switch", leg=Leg.FLATTEN, side=Side.SELL, reduce_only=True)
        world.submit(out)
        assert [p.magic for p in world.terminal.open_positions()] == [magic_of(ENTRY.client_order_id)]

    def test_a_refusal_between_two_tickets_is_told_as_what_was_closed(self, hedging: World) -> None:
        world = hedging
        out = flatten_of_two_tickets(world)
        world.terminal.faults.extend([TerminalFault.PARTIAL, TerminalFault.REJECT])
        order = applied(released(out), *world.submit(out).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.05"))

    def test_a_part_without_an_answer_is_not_called_over_before_it_has_settled(self, hedging: World) -> None:
        world = hedging
        out = flatten_of_two_tickets(world)
        world.terminal.faults.extend([TerminalFault.NONE, TerminalFault.TIMEOUT])
        assert kinds(world.submit(out)) == ["OrderSubmitted", "OrderUnconfirmed"]
        world.wait(viewed(out))
        for _ in range(12):
            world.pass_time(5)
            world.agent.step()
        told = [one for one in world.reported() if isinstance(one, ExecutionReported) and out.client_order_id in one.event_id]
        order = applied(released(out), *[event for one in told for event in one.events])
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.1"))

    def test_a_reduction_of_odd_size_is_rounded_down_and_ends(self, world: World) -> None:
        world.submit(ENTRY)
        out = exit_of(ENTRY, quantity="0.0567")
        order = applied(released(out), *world.submit(out).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.05"))
        (shown,) = [o for o in world.view(ENTRY, out).orders if o.client_order_id == out.client_order_id]
        assert (shown.quantity, shown.filled) == (Decimal("0.0567"), Decimal("0.05"))
        dust = exit_of(ENTRY, quantity="0.0067", attempt=1)
        assert reasons(world.submit(dust)) == [None, "BELOW_MINIMUM"]

    def test_more_than_one_order_may_be_is_closed_in_parts(self, world: World) -> None:
        world.submit(ENTRY)
        world.terminal.of("BTCUSD").volume_max = 0.04
        order = applied(released(exit_of(ENTRY)), *world.submit(exit_of(ENTRY)).events)
        assert (order.state, len(order.trades)) == (OrderState.FILLED, 3)

    def test_a_position_that_is_smaller_than_the_ledger_thinks_is_closed_and_not_turned(self, world: World) -> None:
        world.submit(ENTRY)
        world.terminal.person_closes(world.terminal.open_positions()[0].ticket, 0.06)
        order = applied(released(exit_of(ENTRY)), *world.submit(exit_of(ENTRY)).events)
        assert (order.filled, world.terminal.open_positions()) == (Decimal("0.04"), [])

    @pytest.mark.parametrize("copies_magic", [False, True])
    def test_a_closing_by_hand_is_not_taken_for_ours(self, world: World, copies_magic: bool) -> None:
        world.terminal.copies_magic = copies_magic
        world.submit(ENTRY)
        world.terminal.person_closes(world.terminal.open_positions()[0].ticket)
        assert [t.client_order_id for t in world.view(ENTRY).trades] == [ENTRY.client_order_id, None]
        order = applied(released(ENTRY), *world.report(asked(ENTRY)).events)
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal("0.1"))

    def test_a_plain_order_against_what_is_held_closes_first_as_the_ledger_nets(self, hedging: World) -> None:
        world = hedging
        world.submit(ENTRY)
        world.terminal.person_trades("BTCUSD", OrderKind.BUY, 1.0)
        sold = of_account(strategy="person", side=Side.SELL, quantity="0.3")
        order = applied(released(sold), *world.submit(sold).events)
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal("0.3"))
        assert [(p.type, p.volume) for p in world.terminal.open_positions()] == [(0, 1.0), (1, 0.2)]

    def test_a_swap_is_paid_with_the_deal_that_closes(self, world: World) -> None:
        world.submit(ENTRY)
        world.submit(exit_of(ENTRY))
        world.terminal.deals()[-1].swap = -1.25
        assert world.view(since=NOON).trades[-1].fee == Decimal("0.35") + Decimal("1.25")


class TestPendingOrders:
    def test_one_whose_time_is_over_is_told_so(self, world: World) -> None:
        limit = entry(price="49000", time_in_force="GTD", expires_at=NOON + timedelta(minutes=3))
        world.submit(limit)
        assert world.terminal.sends[0]["expiration"] == int((NOON + timedelta(hours=3, minutes=3)).timestamp())
        world.terminal.expire(world.terminal.all_orders()[0].ticket)
        assert kinds(world.report(asked(limit)))[-1] == "OrderExpired"
        assert [o.status for o in world.view(limit).orders] == [VenueStatus.EXPIRED]

    def test_a_resting_entry_is_moved_and_keeps_its_levels(self, world: World) -> None:
        limit = entry(price="49000")
        world.submit(limit, stop_loss=Decimal(48_000))
        moved = world.report(asked(limit, OrderInstruction.REPLACE, limit_price=Decimal("49100.5")))
        (order,) = world.terminal.all_orders()
        assert (kinds(moved), order.price_open, order.sl) == (["OrderUpdated"], 49_100.5, 48_000.0)

    @pytest.mark.parametrize("lose_journal", [False, True])
    def test_a_resting_entry_of_another_size_is_another_order_under_the_same_id(self, world: World, lose_journal: bool) -> None:
        limit = entry(price="49000")
        order = applied(released(limit), *world.submit(limit, stop_loss=Decimal(48_000)).events)
        world.terminal.trade(world.terminal.all_orders()[0].ticket, 0.03, 49_000.0)
        grown = world.report(asked(limit, OrderInstruction.REPLACE, quantity=Decimal("0.25"), limit_price=Decimal(49_100)))
        assert kinds(grown) == ["OrderFilled", "OrderUpdated"]
        world.restart(lose_journal=lose_journal)
        (shown,) = world.view(limit).orders
        assert (shown.quantity, shown.filled, shown.limit_price) == (Decimal("0.25"), Decimal("0.03"), Decimal(49_100))
        newest = world.terminal.all_orders()[-1]
        assert (newest.volume_current, newest.sl, shown.venue_order_id) == (0.22, 48_000.0, order.venue_order_id)
        world.submit(stop_of(limit, "48000"))
        world.terminal.quote("BTCUSD", 49_080.0, 49_100.0)
        assert [o.status for o in world.view(limit).orders if o.client_order_id == limit.client_order_id] == [VenueStatus.FILLED]

    def test_a_size_that_nothing_followed_is_unknown_and_then_over(self, world: World) -> None:
        limit = entry(price="49000")
        world.submit(limit)
        world.terminal.faults.extend([TerminalFault.NONE, TerminalFault.NO_MONEY])
        refused = world.report(asked(limit, OrderInstruction.REPLACE, quantity=Decimal("0.2")))
        assert kinds(refused) == ["OrderUnconfirmed"]
        assert [o.status for o in world.view(limit).orders] == [VenueStatus.CANCELED]

    def test_a_price_on_the_wrong_side_is_refused(self, world: World) -> None:
        assert reasons(world.submit(entry(price="60000"))) == [None, "INVALID_PRICE"]
