"""Exits against a venue that misbehaves: many schedules hold, and one that is broken on purpose is found and made smaller."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from rich.console import Console
from typing_extensions import override

from local.bench.simulate import SimulateOptions, minimised, run_simulation
from local.simulation import world
from local.simulation.choices import Choices, smaller
from local.simulation.ledger import SimulatedLedger
from local.simulation.wire import carried, carried_command
from local.simulation.world import FLAT, NEVER_ALONE, NO_ERROR, PROTECTED, START, ScheduleRun, run_schedule
from signalbox.orders.order import Order
from signalbox.trading import exit_attempts, exits, open_quantity, order_requests, remainders, venue_comparison
from signalbox.trading.changes import ChangeSet
from signalbox.trading.commands import HaltTrading
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import AccountReviewDue
from signalbox.trading.state import AccountState

SCHEDULES = 20_000 if settings.get_current_profile_name() == "nightly" else 5_000
CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "schedules"  # minimised, one a file, named by its seed
FOUND = sorted(CORPUS.glob("*.json"))
QUIETLY = Console(quiet=True, stderr=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_schedule_leaves_a_position_alone_sends_twice_turns_it_or_loses_a_fill() -> None:
    found = run_simulation(SimulateOptions(SCHEDULES), console=QUIETLY)
    reported = [(one.seed, one.violation, one.story[-30:]) for one in found.violations[:3]]
    assert reported == []
    assert found.schedules == SCHEDULES
    assert found.steps > 5 * SCHEDULES
    assert found.by_wire > SCHEDULES / 40


def test_seed_and_its_recorded_choices_are_the_same_schedule() -> None:
    for seed in range(5):
        drawn = run_schedule(seed, story=True)
        again = run_schedule(recorded=drawn.choices, story=True)
        assert (drawn.choices, drawn.story) == (again.choices, again.story)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_schedule_that_was_found_once_holds(path: Path) -> None:
    run = run_schedule(recorded=json.loads(path.read_text())["choices"], story=True)
    assert run.violation is None, "\n".join(run.story)


def test_flatten_that_buys_where_nobody_can_be_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Books that are short of coins lack somebody's purchase: to "close" that would open a position."""
    monkeypatch.setattr(open_quantity, "_at_venue", lambda draft, symbol: abs(draft.quantity(symbol)))
    broken = recorded("189547").violation
    assert broken is not None
    assert "FLATTEN/0 0.0625" in broken.detail


def test_close_that_waits_for_a_view_without_asking_for_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_comparison, "_held_up", lambda _state, _at: ())
    broken = recorded("201348").violation
    assert broken is not None
    assert broken.invariant == FLAT


def recorded(seed: str) -> ScheduleRun:
    return run_schedule(recorded=json.loads((CORPUS / f"{seed}.json").read_text())["choices"])


def test_schedule_of_harmless_choices_protects_the_trade_and_leaves_it_flat() -> None:
    run = run_schedule(recorded=(), story=True)
    reported = "\n".join(run.story)
    assert run.violation is None
    assert "SUBMIT STOP_LOSS" in reported
    assert "TradeClosed" in reported


def failing(what: str, monkeypatch: pytest.MonkeyPatch) -> ScheduleRun:
    """The first schedule that breaks something once the code is made worse."""
    run = next((run for seed in range(400) if (run := run_schedule(seed)).violation is not None), None)
    assert run is not None, f"{what} was not noticed"
    return run


def test_exit_that_is_tried_once_only_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_attempts, "pause_after", lambda failures: timedelta(0) if failures < 2 else timedelta(hours=1))
    run = failing("an exit that gives up", monkeypatch)
    assert run.violation is not None
    assert run.violation.invariant in {FLAT, NEVER_ALONE, PROTECTED}


def test_trade_without_protection_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "protect", lambda *_: True)
    run = failing("a missing stop", monkeypatch)
    assert run.violation is not None
    assert "never without a stop" in run.violation.invariant


def test_cancel_that_is_asked_for_once_only_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = order_requests.request_cancel

    def once(draft: AccountDraft, order: Order, request_id: str, at: datetime) -> None:
        if order.cancels == 0:
            asked(draft, order, request_id, at)

    monkeypatch.setattr(order_requests, "request_cancel", once)
    assert failing("a refused cancel", monkeypatch).violation is not None


def test_stop_that_is_taken_out_in_the_venues_app_and_looked_for_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_comparison, "COMPARE_HELD", timedelta(minutes=5))
    run = failing("a stop that is gone for minutes", monkeypatch)
    assert run.violation is not None
    assert "never without" in run.violation.invariant


def test_step_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError("no such number")

    for module in (exits, remainders):
        monkeypatch.setattr(module, "hurry", fails)
    run = failing("an exit that is not filled whole", monkeypatch)
    assert run.violation is not None
    assert (run.violation.invariant, "no such number" in run.violation.detail) == (NO_ERROR, True)


def test_schedules_have_what_people_do_beside_a_trade_and_in_the_venues_app() -> None:
    missing = {"person BUY", "person SELL", "person cancels the stop", "person resumes: TradingResumed", "person adopts"}
    missing |= {"app: cancels", "app: SELL", "app: BUY", "app: stop price", "app: stop quantity", "rests at"}
    missing |= {"the edge stops"}
    for seed in range(300):
        reported = "\n".join(run_schedule(seed, story=True).story)
        missing = {what for what in missing if what not in reported}
        if not missing:
            return
    assert missing == set()


def test_message_comes_off_the_wire_as_it_was_put_there() -> None:
    review = AccountReviewDue(account="sim-1", at=START, due=START)
    assert carried(review) == review
    halt = HaltTrading(account="sim-1", request_id="halt-1", requested_at=START, level="FLATTEN", why="enough")
    assert carried_command(halt) == halt
    lossy = review.model_copy(update={"at": START.replace(tzinfo=None)})
    with pytest.raises(ValueError, match="AccountReviewDue: invalid fields: at"):
        carried(lossy)


def test_violation_is_made_smaller_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "protect", lambda *_: True)
    run = failing("a missing stop", monkeypatch)
    assert run.violation is not None
    least = minimised(7, run.choices, run.violation)
    assert sum(map(bool, least.choices)) < sum(map(bool, run.choices)) or not any(run.choices)
    assert least.violation.invariant == run.violation.invariant
    assert least.story


def test_smaller_keeps_just_what_fails() -> None:
    recorded = [3, 1, 0, 7, 2, 5, 9, 9, 4]
    assert smaller(recorded, lambda c: len(c) > 3 and c[3] == 7) == [0, 0, 0, 7]


def test_choices_are_below_their_count_and_harmless_ones_are_not_recorded() -> None:
    choices = Choices(1)
    drawn = [choices.pick(n) for n in range(1, 50)]
    assert all(value < n for n, value in enumerate(drawn, 1))
    choices.is_harmless = True
    assert [choices.pick(9), choices.happens(2)] == [0, False]
    assert choices.taken == drawn


class LedgerThatValidates(SimulatedLedger):
    """Reads everything that a step wrote as if it came from outside: what steps make without validation must be valid."""

    @override
    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        for event in (*changes.order_events, *changes.events):
            again = type(event).model_validate(event.model_dump())
            assert again == event
            assert again.model_dump_json() == event.model_dump_json()
        super().save(before, after, changes)


def test_what_steps_make_without_validation_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "SimulatedLedger", LedgerThatValidates)
    kinds = Counter(run_schedule(seed).violation for seed in range(12))
    assert kinds == {None: 12}
