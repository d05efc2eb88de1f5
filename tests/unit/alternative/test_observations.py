"""What was known at an instant: versions are added and never changed, and nothing is known before it was fetched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.alternative.calendar import CalendarError, parse_calendar
from signalbox.alternative.observations import (
    WHOLE_MARKET,
    MarketObservation,
    ObservationError,
    ObservationKind,
    as_known,
    assess_observations,
    merge,
)
from tests.builders import NOON, minutes

KIND = ObservationKind.OPEN_INTEREST


def observation(at: datetime = NOON, value: str = "1", after: float = 1, **changes: Any) -> MarketObservation:
    facts: dict[str, Any] = {
        "source": "okx", "kind": KIND, "subject": "BTC-USD", "observed_at": at, "published_at": at,
        "known_at": at + minutes(after), "value": Decimal(value),
    }  # fmt: skip
    return MarketObservation(**{**facts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"source": ""},
        {"subject": ""},
        {"item": "x" * 81},
        {"value": Decimal("NaN")},
        {"value": Decimal("1e18")},
        {"known_at": NOON - minutes(1)},
        {"published_at": NOON - minutes(1)},
        {"observed_at": NOON.replace(tzinfo=None)},
    ],
)
def test_an_observation_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ObservationError):
        observation(**changes)


def test_a_scheduled_release_is_published_before_it_happens() -> None:
    made = observation(kind=ObservationKind.ECONOMIC_EVENT, published_at=NOON - timedelta(days=7), known_at=NOON - minutes(1))
    assert made.observed_at > made.known_at


def test_a_value_is_not_known_before_it_was_fetched_though_it_is_about_the_past() -> None:
    late = observation(NOON, after=60 * 24)
    assert as_known([late], NOON + minutes(60)) == ()
    assert as_known([late], late.known_at) == (late,)
    assert late.is_late


def test_a_revision_leaves_what_was_known_before_it_as_it_was() -> None:
    first = observation(value="1")
    kept = merge((), [first])
    revised = observation(value="2", after=10)
    again = merge(kept, [revised])
    assert again == (first, revised)
    assert as_known(again, NOON + minutes(5)) == (first,)
    assert as_known(again, NOON + minutes(10)) == (revised,)
    assert merge(again, [observation(value="2", after=20)]) == again  # no news
    assert merge(again, [observation(value="3", after=5)]) == again  # out of order


_MADE = st.builds(
    lambda at, value, after, subject: observation(NOON + minutes(5 * at), str(value), after, subject=subject),
    st.integers(0, 4),
    st.integers(0, 2),
    st.integers(0, 30),
    st.sampled_from(["BTC-USD", "ETH-USD"]),
)


@given(st.lists(_MADE, max_size=12), st.lists(_MADE, max_size=12), st.integers(0, 60))
def test_what_is_fetched_later_changes_nothing_that_was_known(
    first: list[MarketObservation], second: list[MarketObservation], known: int
) -> None:
    kept = merge((), first)
    now = max((one.known_at for one in first), default=NOON)
    fetched = [replace(one, known_at=now + (one.known_at - one.observed_at) + minutes(30)) for one in second]
    after = merge(kept, fetched)
    at = min(now, NOON + minutes(known))
    assert as_known(after, at) == as_known(kept, at)
    assert merge(after, fetched) == after
    assert set(kept) <= set(after)
    keys = [one.key for one in as_known(after, NOON + minutes(500))]
    assert len(keys) == len(set(keys))


def test_gaps_late_values_and_revisions_are_counted_by_series() -> None:
    made = [observation(NOON + minutes(5 * i), after=1) for i in (0, 1, 2, 5, 6)]
    made += [observation(NOON + minutes(35), after=45), observation(NOON, "2", after=50)]
    made.append(observation(source="alternativeme", kind=ObservationKind.FEAR_AND_GREED, subject=WHOLE_MARKET))
    fear, interest = assess_observations(made)
    assert (interest.values, interest.missing, interest.late, interest.revised) == (6, 2, 1, 1)
    assert interest.first_missing == NOON + minutes(15)
    assert (fear.values, fear.missing, fear.late, fear.revised) == (1, 0, 0, 0)


def test_funding_every_four_hours_is_no_gap_of_four_and_an_absent_one_is() -> None:
    hours = [0, 4, 8, 12, 20, 24]
    made = [observation(NOON + timedelta(hours=h), kind=ObservationKind.FUNDING_RATE) for h in hours]
    (found,) = assess_observations(made)
    assert (found.missing, found.first_missing) == (1, NOON + timedelta(hours=16))


READ_AT = datetime(2026, 11, 20, tzinfo=UTC)


def test_a_calendar_is_read_with_its_instants_and_what_was_published_when() -> None:
    text = (
        "scheduled_at,name,importance,published_at\n"
        "2026-12-10T13:30:00Z,CPI,3,2026-11-01T00:00:00Z\n"
        "2026-12-09T14:00:00-05:00,Rate decision,3,\n"
    )
    first, second = parse_calendar(text, READ_AT)
    assert (first.item, first.value, first.published_at) == ("CPI", Decimal(3), datetime(2026, 11, 1, tzinfo=UTC))
    assert second.observed_at == datetime(2026, 12, 9, 19, tzinfo=UTC)
    assert second.published_at == READ_AT  # not known before anybody here could know it


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2026-12-10T13:30:00,CPI,3,", "line 2: expected an instant with an offset"),
        ("10.12.2026,CPI,3,", "line 2"),
        ("2026-12-10T13:30:00Z,CPI,9,", "importance of 1 to 3"),
        ("2026-12-10T13:30:00Z,,3,", "a name of 1 to"),
        ("2026-12-10T13:30:00Z,CPI,3,2026-12-01T00:00:00Z", "published_at lies in the future"),
        ("2026-12-10T13:30:00Z", "line 2"),
    ],
)
def test_a_calendar_that_says_too_little_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(CalendarError, match=says):
        parse_calendar(f"scheduled_at,name,importance,published_at\n{line}\n", READ_AT)


def test_a_calendar_without_its_columns_is_refused() -> None:
    with pytest.raises(CalendarError, match="importance is missing"):
        parse_calendar("scheduled_at,name\n", READ_AT)
