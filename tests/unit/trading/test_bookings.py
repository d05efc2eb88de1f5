"""What an operator books by hand, and what a venue's ledger brings: once, audited, and neither profit nor loss."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from signalbox.orders.messages import ViewedTransfer
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Fill, Transfer
from signalbox.risk.ftmo.state import AccountStatus
from signalbox.trading.changes import NO_CHANGES, RiskEventKind
from signalbox.trading.errors import CommandError
from signalbox.trading.snapshot import risk_snapshot, rule_monitor_of
from tests.unit.trading.market import BTC, START
from tests.unit.trading.test_live_service import NAME, SECOND, World, view
from tests.unit.trading.test_service import Floor, command, cycle

VIEWED = START + 10 * SECOND


def money(key: str, amount: str, at: timedelta = SECOND) -> ViewedTransfer:
    return ViewedTransfer(key=key, at=START + at, amount=Decimal(amount))


def booked(world: World) -> None:
    """What is kept equals the books of all entries."""
    rows = world.floor.rows(NAME)
    assert rows.state.books == book(NAME, rows.entries.values()).books


def test_a_position_is_adopted_once_under_its_requester_and_then_matches_the_venue() -> None:
    world = World()
    world.ready()
    before = world.floor.state(NAME).books
    facts = {"symbol": BTC, "quantity": "0.00000731", "price": "60000", "why": "dust of before", "request_id": "dust-1"}
    handled = world.say("adopt", VIEWED, **facts)
    (line,) = handled.changes.risk
    assert (line.kind, line.code, line.who) == (RiskEventKind.OVERRIDE, "ADOPT", "ada")
    assert "0.00000731 BTC-USD at 60000: dust of before" in line.detail
    (entry,) = handled.changes.entries
    assert isinstance(entry, Fill)
    after = handled.state.books
    assert (after.position(BTC).quantity, after.balance) == (Decimal("0.00000731"), before.balance)
    again = world.say("adopt", VIEWED + SECOND, **facts)
    assert (again.changes.entries, again.changes.risk, again.state.books) == ((), (), after)
    with pytest.raises(CommandError, match="conflicting duplicate"):
        world.say("adopt", VIEWED + SECOND, **facts | {"quantity": "1"})
    world.floor.deliver(view(VIEWED + 2 * SECOND, positions={BTC: "0.00000731"}))
    assert world.floor.state(NAME).at_venue.doubts == ()
    booked(world)


def test_what_was_there_before_the_account_or_is_still_to_come_is_not_booked() -> None:
    world = World()
    world.ready()
    for at in (START - timedelta(days=1), VIEWED + timedelta(hours=1)):
        made = command("adopt", VIEWED, NAME, symbol=BTC, quantity="1", price="1", why="early")
        with pytest.raises(CommandError, match="expected a time after"):
            world.floor.service.on_command(made.model_copy(update={"at": at}), "ada")
    with pytest.raises(CommandError, match="only a live account"):
        Floor().service.on_command(command("adopt", symbol=BTC, quantity="1", price="1", why="paper"), "ada")


def test_money_of_a_view_is_booked_under_the_venues_id_however_often_it_is_shown() -> None:
    world = World()
    world.ready()
    capital = world.floor.state(NAME).books.balance
    shown = [money("T1", "500"), money("T2", "-200", 2 * SECOND), money("old", "9", -timedelta(days=3))]
    world.floor.deliver(view(VIEWED, transfers=shown), view(VIEWED + SECOND, transfers=shown))
    assert world.floor.state(NAME).books.balance == capital + 300
    kept = [e for e in world.floor.rows(NAME).entries.values() if isinstance(e, Transfer)]
    assert sorted(e.key for e in kept) == ["opening", "venue-T1", "venue-T2"]
    booked(world)


def test_a_command_and_a_view_of_the_same_money_book_it_once_in_either_order() -> None:
    for first in ("command", "view"):
        world = World()
        world.ready()
        capital = world.floor.state(NAME).books.balance
        steps: dict[str, Callable[[], object]] = {
            "command": partial(world.say, "deposit", VIEWED, amount="500", why="more", venue_id="T1"),
            "view": partial(world.floor.deliver, view(VIEWED, transfers=[money("T1", "500")])),
        }
        steps.pop(first)()
        (last,) = steps.values()
        last()
        assert world.floor.state(NAME).books.balance == capital + 500
        booked(world)


def test_money_with_another_amount_than_is_booked_is_told_and_not_booked() -> None:
    world = World()
    world.ready()
    world.say("deposit", VIEWED, amount="500", why="more", venue_id="T1")
    (handled,) = world.floor.deliver(view(VIEWED + SECOND, transfers=[money("T1", "510")]))
    assert [line.kind for line in handled.changes.risk] == [RiskEventKind.TRANSFER_DIFFERS]
    assert handled.changes.entries == ()


def test_money_of_a_live_account_needs_the_venues_id_and_of_a_paper_one_does_not() -> None:
    world = World()
    world.ready()
    with pytest.raises(CommandError, match="venue_id"):
        world.say("deposit", VIEWED, amount="500", why="more")
    floor = Floor()
    again = [floor.service.on_command(command("withdraw", amount="500", why="holiday"), "ada") for _ in range(2)]
    assert (again[0].state.books.transfers, again[1].changes) == (again[0].account.capital - 500, NO_CHANGES)


@pytest.mark.parametrize("amount", ["50000", "-50000"])
def test_money_that_moves_is_neither_profit_nor_loss_to_the_firms_rules(amount: str) -> None:
    world = World()
    world.ready()
    kind = "deposit" if amount[0] != "-" else "withdraw"
    before = risk_snapshot(world.floor.state(NAME), START)
    world.say(kind, VIEWED, amount=amount.lstrip("-"), why="moved", venue_id="T1")
    world.floor.deliver(cycle(START + timedelta(minutes=5)))
    state = world.floor.state(NAME)
    monitor = rule_monitor_of(state.account, state.loss_rules)
    assert monitor is not None
    assert (monitor.status, monitor.target_reached_at, monitor.breaches) == (AccountStatus.ACTIVE, None, {})
    assert state.halt is None
    assert not state.locks
    after = risk_snapshot(state, START)
    service = [[snapshot.balance - floor.block_below for floor in snapshot.floors] for snapshot in (before, after)]
    assert service[0] == service[1]
