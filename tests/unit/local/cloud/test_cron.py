"""When a schedule is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloud.cron import ScheduleExpressionError, is_due

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
instants = st.integers(1_577_836_800, 2_051_222_400).map(lambda s: datetime.fromtimestamp(s, UTC))


@given(instants)
def test_every_five_minutes_is_due_at_boundaries_only(instant: datetime) -> None:
    assert is_due("cron(0/5 * * * ? *)", instant) == (instant.minute % 5 == 0)


@given(instants)
def test_every_minute_is_always_due(instant: datetime) -> None:
    assert is_due("cron(* * * * ? *)", instant)
    assert is_due("rate(1 minute)", instant)


@given(instants, st.integers(1, 59))
def test_rate_is_due_once_in_each_period(instant: datetime, minutes: int) -> None:
    due = [is_due(f"rate({minutes} minutes)", instant + timedelta(minutes=n)) for n in range(minutes)]
    assert sum(due) == 1


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("cron(0 12 ? * MON *)", True),
        ("cron(0 12 ? * 2 *)", True),
        ("cron(0 12 ? * TUE-SAT *)", False),
        ("cron(0 12 ? * FRI-MON *)", True),
        ("cron(0 12 1,2 MAR ? 2026)", True),
        ("cron(0 12 ? * 2 2027)", False),
        ("cron(30 12 * * ? *)", False),
        ("cron(0-10/5 8-17 * * ? *)", True),
        ("rate(2 hours)", True),
        ("rate(1 day)", False),
    ],
)
def test_fields_lists_ranges_names_and_steps(expression: str, due: bool) -> None:
    assert is_due(expression, NOON) is due


def test_time_zone_of_the_schedule_decides_across_daylight_saving() -> None:
    winter, summer = datetime(2026, 1, 15, 23, 0, tzinfo=UTC), datetime(2026, 7, 15, 22, 0, tzinfo=UTC)
    assert is_due("cron(0 0 * * ? *)", winter, "Europe/Prague")
    assert is_due("cron(0 0 * * ? *)", summer, "Europe/Prague")
    assert not is_due("cron(0 0 * * ? *)", summer + timedelta(hours=1), "Europe/Prague")


@pytest.mark.parametrize(
    "expression",
    [
        "at(2026-01-01T00:00:00)",
        "cron(* * * *)",
        "cron(61 * * * ? *)",
        "cron(L * * * ? *)",
        "rate(0 minutes)",
        "rate(5 fortnights)",
        "",
    ],
)
def test_expression_that_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleExpressionError):
        is_due(expression, NOON)
