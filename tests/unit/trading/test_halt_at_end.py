"""The kill switch at the end of a period, told from what was written, is the one that was in force then."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts
from signalbox.trading.changes import ChangeSet
from signalbox.trading.halts import halt_at_end
from signalbox.trading.state import AccountState, Halt
from tests.unit.trading.market import START, paper, state_at

HOUR = timedelta(hours=1)
STEP = st.integers(1, 300).map(lambda minutes: timedelta(minutes=minutes))
SETTING = st.tuples(st.sampled_from([HaltLevel.HALT, HaltLevel.REDUCE_ONLY, HaltLevel.FLATTEN]), st.none() | STEP)


def level(halt: Halt | None, at: datetime) -> HaltLevel:
    return HaltLevel.NONE if halt is None else halt.level_at(at)


def played(*steps: tuple[timedelta, tuple[HaltLevel, timedelta | None] | None]) -> tuple[list[AccountState], ChangeSet]:
    """Each step after its pause: a halt (level, how long), or None, which resumes. Gives each state and what was written."""
    state, at, written, states = state_at(paper("paper-100k"), START), START, ChangeSet(), []
    for pause, setting in steps:
        at += pause
        if setting is None:
            state, changes = halts.resume(state, "anna", "looked", at)
        else:
            lasts = setting[1]
            state, changes = halts.halt(state, setting[0], "anna", "news", at, None if lasts is None else at + lasts)
        written += changes
        states.append(state)
    return states, written


def told(written: ChangeSet, end: datetime) -> Halt | None:
    return halt_at_end(written.halts, written.risk, end)


def test_a_resume_releases_every_period_that_ends_after_it() -> None:
    _, written = played((HOUR, (HaltLevel.HALT, None)), (HOUR, None))
    assert level(told(written, START + 90 * timedelta(minutes=1)), START + 90 * timedelta(minutes=1)) is HaltLevel.HALT
    assert told(written, START + timedelta(days=30)) is None


def test_a_halt_that_ended_by_itself_is_told_and_not_in_force() -> None:
    _, written = played((HOUR, (HaltLevel.HALT, HOUR)))
    found = told(written, START + 3 * HOUR)
    assert found is not None
    assert level(found, START + 3 * HOUR) is HaltLevel.NONE


def test_the_stricter_of_two_holds_until_the_later_end() -> None:
    _, written = played((HOUR, (HaltLevel.HALT, 5 * HOUR)), (HOUR, (HaltLevel.FLATTEN, HOUR)))
    assert level(told(written, START + 4 * HOUR), START + 4 * HOUR) is HaltLevel.FLATTEN
    assert level(told(written, START + 7 * HOUR), START + 7 * HOUR) is HaltLevel.NONE


@given(st.lists(st.tuples(STEP, st.none() | SETTING), min_size=1, max_size=8), STEP)
def test_what_is_told_is_what_was_in_force(
    steps: list[tuple[timedelta, tuple[HaltLevel, timedelta | None] | None]], later: timedelta
) -> None:
    states, written = played(*steps)
    at = START
    for (pause, _), state, (following, _) in zip(steps, states, [*steps[1:], (later, None)], strict=True):
        at += pause
        for end in (at + timedelta(microseconds=1), at + following):  # right after it, and until the next one
            assert level(told(written, end), end) is level(state.halt, end)
