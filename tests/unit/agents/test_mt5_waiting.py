"""What cannot be carried out now is kept here, tried again, and in the end reported; nothing is lost or held up by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from local.stand_ins.mt5 import TerminalFault, TerminalStandIn
from signalbox.adapters.venues.mt5_mailbox import Keys
from signalbox.orders.messages import ExecutionReported, OrderInstruction, VenueViewReported
from signalbox.orders.terms import OrderTerms
from tests.builders import NOON
from tests.unit.agents.world import NEXT_KEY, World, asked, details, entry, exit_of, kinds, of_account, reasons, stop_of, viewed

ENTRY = entry()
LIMIT = entry(price="49000", strategy="limit")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


def close_terminal(terminal: TerminalStandIn) -> None:
    terminal.is_running = False


def lose_server(terminal: TerminalStandIn) -> None:
    terminal.is_connected = False


def log_out(terminal: TerminalStandIn) -> None:
    terminal.login = None


def log_in_as_another(terminal: TerminalStandIn) -> None:
    terminal.login = 2


def close_session(terminal: TerminalStandIn) -> None:
    terminal.is_open = False


def repair(terminal: TerminalStandIn) -> None:
    terminal.is_running = terminal.is_connected = terminal.is_open = True
    terminal.login = 1


AWAY = [close_terminal, lose_server, log_out, log_in_as_another]
TROUBLES = [*AWAY, close_session]


def steps(world: World, seconds: int, each: int = 5) -> None:
    for _ in range(0, seconds, each):
        world.pass_time(each)
        world.agent.step()


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("restarts", [False, True])
def test_no_command_is_lost_while_the_terminal_is_away(
    world: World, trouble: Callable[[TerminalStandIn], None], restarts: bool
) -> None:
    world.submit(LIMIT)
    world.submit(ENTRY)
    trouble(world.terminal)
    commands = [
        asked(exit_of(ENTRY)),
        asked(LIMIT, OrderInstruction.CANCEL)
        if trouble is not close_session
        else asked(LIMIT, OrderInstruction.REPLACE, limit_price=Decimal(1)),
        viewed(ENTRY),
    ]
    for command in commands:
        world.command(command)
        world.agent.step()
        assert world.box.waiting == []  # the queue behind it is free, and it cannot end with the dead letters
    if restarts:
        world.restart()
    steps(world, 90)
    count = len(world.box.reports)
    repair(world.terminal)
    steps(world, 15)
    reported = world.reported()[count:]
    assert {event.client_order_id for event in reported if isinstance(event, ExecutionReported)} == {
        exit_of(ENTRY).client_order_id,
        LIMIT.client_order_id,
    }
    assert world.journal.kept == {}
    assert world.terminal.open_positions() == []
    assert any(isinstance(event, VenueViewReported) for event in world.reported())


@pytest.mark.parametrize("trouble", AWAY)
def test_nothing_is_sent_or_told_while_the_terminal_is_not_ours(world: World, trouble: Callable[[TerminalStandIn], None]) -> None:
    trouble(world.terminal)
    for command in (asked(ENTRY), asked(LIMIT, OrderInstruction.CANCEL), viewed()):
        world.wait(command)
    assert (world.terminal.sends, world.box.reports) == ([], [])


def test_a_closed_market_never_ends_an_exit(world: World) -> None:
    """10018 within a second used up all legs of an exit. It waits, and goes out within 15 s after the session opens."""
    world.submit(ENTRY)
    world.terminal.is_open = False
    world.wait(asked(exit_of(ENTRY)))
    steps(world, 240)
    world.terminal.is_open = True
    steps(world, 15)
    assert kinds(world.last())[-1] == "OrderFilled"
    assert world.terminal.open_positions() == []


@pytest.mark.parametrize("of", [entry(strategy="late"), exit_of(ENTRY)], ids=["entry", "exit"])
def test_what_waits_past_its_time_is_reported_with_what_the_terminal_said(world: World, of: OrderTerms) -> None:
    world.submit(ENTRY)
    world.terminal.is_open = False
    world.wait(asked(of))
    steps(world, 330)
    report = world.last()
    assert isinstance(report, ExecutionReported)
    assert (kinds(report), reasons(report)) == (["OrderExpired"], ["SEND_TOO_LATE"])
    assert "10018 MARKET_CLOSED" in details(report)
    assert world.journal.kept == {}
    world.terminal.is_open = True
    sends = len(world.terminal.sends)
    steps(world, 60)
    assert len(world.terminal.sends) == sends


def test_a_cancel_that_could_not_be_done_is_reported_in_the_end(world: World) -> None:
    world.submit(LIMIT)
    world.terminal.is_connected = False
    world.wait(asked(LIMIT, OrderInstruction.CANCEL))
    steps(world, 620)
    report = world.last()
    assert isinstance(report, ExecutionReported)
    assert (kinds(report), reasons(report)) == (["OrderCancelRejected"], ["GIVEN_UP"])
    assert "no connection to its server" in details(report)


def test_what_is_asked_of_one_order_stays_in_order_and_others_go_on(world: World) -> None:
    world.submit(LIMIT)
    world.submit(ENTRY)
    world.submit(stop_of(ENTRY))
    world.terminal.faults.append(TerminalFault.FROZEN)
    world.wait(asked(LIMIT, OrderInstruction.REPLACE, limit_price=Decimal(49_200)))
    world.wait(asked(LIMIT, OrderInstruction.CANCEL, request_id="r2"))
    assert kinds(world.submit(exit_of(ENTRY)))[-1] == "OrderFilled"  # nothing holds it
    count = len(world.reported())
    steps(world, 15)
    assert [kinds(event) for event in world.reported()[count:]] == [["OrderUpdated"], ["OrderAccepted", "OrderCanceled"]]


def test_a_cancel_ends_an_entry_that_waits_before_it_is_sent(world: World) -> None:
    world.terminal.is_open = False
    world.wait(asked(ENTRY))
    report = world.report(asked(ENTRY, OrderInstruction.CANCEL))
    assert (kinds(report), reasons(report)) == (["OrderCanceled"], ["NEVER_SENT"])
    world.terminal.is_open = True
    sends = len(world.terminal.sends)
    steps(world, 60)
    assert (len(world.terminal.sends), world.journal.kept) == (sends, {})


def test_of_views_the_newest_alone_is_kept(world: World) -> None:
    world.terminal.is_connected = False
    for minutes in range(3):
        world.wait(viewed(at=NOON + timedelta(minutes=minutes)))
    assert len(world.journal.kept) == 1
    world.terminal.is_connected = True
    steps(world, 15)
    (reported,) = [event for event in world.reported() if isinstance(event, VenueViewReported)]
    assert reported.requested_at == NOON + timedelta(minutes=2)


def test_a_view_waits_until_it_is_wanted(world: World) -> None:
    world.wait(viewed(not_before=NOON + timedelta(seconds=30)))
    steps(world, 25)
    assert world.box.reports == []
    steps(world, 10)
    assert isinstance(world.last(), VenueViewReported)


def test_the_queue_is_asked_often_while_something_is_due(world: World) -> None:
    world.agent.step()
    world.terminal.is_connected = False
    world.wait(asked(ENTRY))
    world.agent.step()
    assert world.box.patience[0] == 20
    assert world.box.patience[-1] <= 5


@pytest.mark.parametrize("fault", [TerminalFault.TIMEOUT, TerminalFault.NOTHING_AFTER])
def test_an_order_without_an_answer_is_asked_for_within_seconds(world: World, fault: TerminalFault) -> None:
    """ "Accepted, filled 0" and no answer at all are ambiguous: the next comparison is minutes away."""
    world.terminal.deals_lag = True
    world.terminal.faults.append(fault)
    world.submit(ENTRY)
    count = len(world.box.reports)
    steps(world, 10, each=1)
    assert len(world.box.reports) == count  # the same is not told twice
    world.terminal.deals_lag = False
    steps(world, 15, each=1)
    if fault is TerminalFault.NOTHING_AFTER:
        assert kinds(world.last()) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
    steps(world, 60)
    assert world.journal.kept == {}
    assert len(world.terminal.sends) == 1


def test_an_order_that_is_only_asked_for_does_not_hold_its_cancel(world: World) -> None:
    world.terminal.faults.append(TerminalFault.TIMEOUT)
    world.submit(LIMIT)
    assert world.journal.kept
    assert kinds(world.cancel(LIMIT)) == ["OrderUnconfirmed"]


@pytest.mark.parametrize(
    ("fault", "times"), [(TerminalFault.TOO_MANY, 4), (TerminalFault.REQUOTE, 12), (TerminalFault.PRICE_OFF, 12)]
)
def test_what_passes_in_a_moment_is_tried_again_within_a_second_and_then_less_often(
    world: World, fault: TerminalFault, times: int
) -> None:
    world.submit(ENTRY)
    world.terminal.faults.extend([fault] * times)
    world.wait(asked(exit_of(ENTRY)))
    tried = []
    for second in range(60):
        before = len(world.terminal.sends)
        world.pass_time(1)
        world.agent.step()
        if len(world.terminal.sends) > before:
            tried.append(second)
    assert world.terminal.open_positions() == []
    assert tried[0] == 0
    assert max(b - a for a, b in pairwise(tried)) <= 15


def test_a_signed_command_of_before_a_new_key_is_still_carried_out(world: World) -> None:
    world.terminal.is_connected = False
    world.wait(asked(of_account()))
    world.agent._keys = Keys(NEXT_KEY)
    world.terminal.is_connected = True
    steps(world, 15)
    assert len(world.terminal.open_positions()) == 1
