"""Halts and resumes have their request_id as natural key: a queue may deliver one twice, a client may send one again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders.transitions import OrderState
from signalbox.portfolio.lots import LotMethod
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import NO_CHANGES, RiskEventKind
from signalbox.trading.commands import AnyCommand
from signalbox.trading.errors import CommandError
from signalbox.trading.service import TradingService
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.trading.market import START
from tests.unit.trading.test_service import PAPER, Floor, command, cycle, order

SECOND = timedelta(seconds=1)


def halt(at: datetime = START, request_id: str = "stop-1", **facts: Any) -> AnyCommand:
    return command("halt", at, **{"request_id": request_id, "why": "news", "level": "FLATTEN"} | facts)


def resume(at: datetime = START, request_id: str = "go-1", **facts: Any) -> AnyCommand:
    return command("resume", at, **{"request_id": request_id, "why": "looked"} | facts)


def test_a_flatten_that_is_delivered_again_after_a_resume_closes_nothing() -> None:
    floor = Floor()
    floor.deliver(cycle())
    floor.service.on_command(halt(), "ada")
    floor.service.on_command(resume(START + SECOND), "ada")
    sent = floor.service.on_command(order(START + 2 * SECOND), "ada").order
    assert sent is not None
    again = floor.service.on_command(halt(), "ada")
    assert again.changes == NO_CHANGES
    assert floor.state().orders[sent.client_order_id].state is OrderState.ACCEPTED
    assert not again.state.halt


def test_a_halt_that_changed_nothing_is_remembered_too() -> None:
    floor = Floor()
    floor.service.on_command(halt(), "ada")
    floor.service.on_command(halt(START + SECOND, "stop-2", level="HALT"), "ben")
    floor.service.on_command(resume(START + 2 * SECOND), "ada")
    assert floor.service.on_command(halt(START + SECOND, "stop-2", level="HALT"), "ben").state.halt is None


@pytest.mark.parametrize(
    "other", [{"level": "HALT"}, {"why": "other news"}, {"until": START + timedelta(hours=1)}], ids=["level", "reason", "end"]
)
def test_a_halt_with_a_known_id_and_other_content_is_refused(other: dict[str, Any]) -> None:
    floor = Floor()
    floor.service.on_command(halt(), "ada")
    floor.service.on_command(resume(START + SECOND), "ada")
    before = floor.rows().risk
    with pytest.raises(CommandError, match="stop-1: ada used it for"):
        floor.service.on_command(halt(**other), "ada")
    assert floor.rows().risk == before


def test_a_halt_sent_again_is_the_same_while_it_holds() -> None:
    floor = Floor()
    floor.service.on_command(halt(), "ada")
    again = floor.service.on_command(halt(START + 5 * SECOND), "ada")
    assert (again.changes.halts, again.changes.risk, again.changes.events) == ((), (), ())
    floor.service.on_command(resume(START + 6 * SECOND), "ada")
    with pytest.raises(CommandError, match="carried out and has ended; use a new one"):
        floor.service.on_command(halt(START + timedelta(days=3)), "ada")  # somebody takes an old id for a new stop


def test_a_resume_that_is_sent_again_releases_no_halt_that_came_after_it() -> None:
    """Over HTTP the gateway's time is the instant, so that the retry of a lost answer is younger than the halt in between."""
    floor = Floor()
    floor.service.on_command(halt(), "ada")
    floor.service.on_command(resume(START + SECOND), "ada")
    floor.service.on_command(halt(START + 2 * SECOND, "stop-2", why="worse news"), "ben")
    with pytest.raises(CommandError, match="go-1"):
        floor.service.on_command(resume(START + 3 * SECOND), "ada")
    assert floor.service.on_command(resume(START + SECOND), "ada").changes == NO_CHANGES  # the queue's second delivery
    found = floor.state().halt
    assert found is not None
    assert found.why == "worse news"


def test_a_resume_of_nothing_releases_nothing_later() -> None:
    floor = Floor()
    floor.service.on_command(resume(), "ada")
    floor.service.on_command(halt(START + SECOND), "ben")
    with pytest.raises(CommandError, match="go-1"):
        floor.service.on_command(resume(START + 2 * SECOND), "ada")
    assert floor.state().halt is not None


def test_lots_that_are_chosen_again_leave_what_was_chosen_since() -> None:
    floor = Floor()
    first = {"request_id": "lots-1", "method": "HIFO"}
    floor.service.on_command(command("lots", **first), "ada")
    floor.service.on_command(command("lots", START + SECOND, method="LIFO"), "ada")
    with pytest.raises(CommandError, match="lots-1"):
        floor.service.on_command(command("lots", START + 2 * SECOND, **first), "ada")
    assert [one.method for one in floor.state().books.standing_orders] == [LotMethod.HIFO, LotMethod.LIFO]


@given(
    st.lists(
        st.tuples(st.sampled_from(["halt", "resume"]), st.integers(1, 4), st.sampled_from(list(HaltLevel)[1:])),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 11), max_size=12),
)
def test_whatever_is_delivered_again_at_any_later_time_changes_nothing(
    said: list[tuple[str, int, HaltLevel]], again: list[int]
) -> None:
    service = TradingService(MemoryTradingLedger(), market="coinbase")
    service.open(PAPER, START, "test")
    rows = service.ledger.database.accounts  # type: ignore[attr-defined]
    done: list[AnyCommand] = []
    for number, (kind, number_of_id, level) in enumerate(said):
        at, key = START + number * SECOND, f"{kind}-{number_of_id}"
        made = halt(at, key, level=level) if kind == "halt" else resume(at, key)
        try:
            service.on_command(made, "ada")
        except CommandError:
            continue  # an id that stands for another command
        if all(one.request_id != made.request_id for one in done):
            done.append(made)
        before = dict(vars(rows[PAPER]))
        for place in again:
            if place < len(done):
                assert service.on_command(done[place], "ada").changes == NO_CHANGES
        assert vars(rows[PAPER]) == before
    keys = [key for kind, key in rows[PAPER].risk if kind is RiskEventKind.OVERRIDE]
    assert len(keys) == len(set(keys)) == len(done)
