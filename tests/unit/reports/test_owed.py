"""Periods that are owed: those that a late fact is told in, in the days of the account's zone, and none beside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.reports.owed import LATE_CANDLES, WASH_WINDOW, owed_periods, published_until
from signalbox.reports.period import ReportPeriod, finished_periods, parse_period, periods_ended
from signalbox.reports.source import FactsBooked, Publication, ReportMark

NIGHT = datetime(2024, 4, 12, 1, 40, tzinfo=UTC)
FIRST = datetime(2024, 2, 1, tzinfo=UTC)
ZONES = st.sampled_from(["UTC", "Europe/Prague", "Pacific/Auckland", "America/St_Johns"])
INSTANTS = st.integers(0, int((NIGHT - FIRST).total_seconds())).map(lambda seconds: FIRST + timedelta(seconds=seconds))


def made(period: ReportPeriod, number: int = 5, at: datetime = NIGHT) -> Publication:
    return Publication(f"path of {period.name}", "paper-100k", period.name, "pnl", "0" * 64, 10, at, at, number)


def owed(
    zone: str, published: list[Publication], booked: list[FactsBooked], *, since: datetime = NIGHT, at: datetime = NIGHT
) -> list[str]:
    mark = ReportMark(5, since)
    found = owed_periods(published, booked, mark=mark, expected=1, scheduled_at=at, zone=zone)
    return [period.name for period in found]


@given(ZONES, INSTANTS, st.booleans(), st.integers(4, 7))
def test_a_late_fact_is_owed_in_exactly_the_periods_that_tell_of_it(
    zone: str, instant: datetime, moves_the_books: bool, number: int
) -> None:
    published = periods_ended(FIRST, NIGHT, zone)
    facts = FactsBooked(instant, None if moves_the_books else instant, number)
    local = instant.astimezone(ZoneInfo(zone)).date()
    wanted = {
        period.name for period in published if number > 5 and (local < period.after if moves_the_books else local in period)
    }
    assert set(owed(zone, [made(period) for period in published], [facts])) == wanted


def test_an_evening_in_utc_is_the_next_day_of_prague() -> None:
    fill = FactsBooked(datetime(2024, 4, 1, 22, 30, tzinfo=UTC), datetime(2024, 4, 1, 22, 30, tzinfo=UTC), 9)
    days = ("2024-04-01", "2024-04-02")
    assert owed("UTC", [made(parse_period(day, "UTC")) for day in days], [fill]) == ["2024-04-01"]
    assert owed("Europe/Prague", [made(parse_period(day, "Europe/Prague")) for day in days], [fill]) == ["2024-04-02"]


def test_a_day_its_month_and_its_year_are_owed_in_the_order_they_ended() -> None:
    at = datetime(2025, 1, 5, 1, 40, tzinfo=UTC)
    names = ("2024", "2024-12", "2024-12-31", "2024-12-30", "2025-01-01", "2024-11")
    fill = FactsBooked(datetime(2024, 12, 30, 12, tzinfo=UTC), None, 6)
    published = [made(parse_period(name, "UTC"), at=at) for name in names]
    assert owed("UTC", published, [fill], since=at, at=at) == ["2024-12-30", "2024-12-31", "2024-12", "2024", "2025-01-01"]


@given(ZONES, INSTANTS, INSTANTS)
def test_what_no_run_wrote_is_owed(zone: str, one: datetime, other: datetime) -> None:
    since, at = sorted((one, other))
    found = owed(zone, [], [], since=since, at=at)
    assert found == [period.name for period in periods_ended(since, at, zone)]
    nights = [since + timedelta(hours=hours) for hours in range(int((at - since) / timedelta(hours=1)) + 1)]
    known = {period.name for night in (*nights, at) for period in finished_periods(night, zone) if since < period.end}
    assert set(found) == known


@pytest.mark.parametrize(
    ("made_after", "asked_after", "is_owed"),
    [
        (timedelta(hours=2), timedelta(hours=26), True),
        (LATE_CANDLES - timedelta(seconds=1), LATE_CANDLES, True),  # the last time for candles
        (LATE_CANDLES, WASH_WINDOW - timedelta(seconds=1), False),
        (LATE_CANDLES, WASH_WINDOW, True),  # once, when every fill of the window is known
        (WASH_WINDOW, WASH_WINDOW + timedelta(days=300), False),
    ],
)
def test_a_report_is_rebuilt_while_candles_may_come_and_after_its_wash_sale_window(
    made_after: timedelta, asked_after: timedelta, is_owed: bool
) -> None:
    day = parse_period("2024-03-31", "Europe/Prague")  # of 23 hours
    published, at = [made(day, at=day.end + made_after)], day.end + asked_after
    assert owed("Europe/Prague", published, [], since=at, at=at) == ([day.name] if is_owed else [])
    assert owed("Europe/Prague", [made(day, at=at)], [], since=at, at=at) == []


def test_a_period_of_which_a_file_is_older_is_owed_whole() -> None:
    day = parse_period("2024-04-01", "UTC")
    tax = Publication("tax", "paper-100k", day.name, "tax", "0" * 64, 10, NIGHT, NIGHT, 3)
    fill = FactsBooked(day.start, None, 4)
    assert owed("UTC", [made(day)], [fill]) == []
    assert owed("UTC", [made(day), tax], [fill]) == [day.name]


def test_a_period_that_is_not_over_at_the_asked_instant_is_not_owed() -> None:
    day = parse_period("2024-04-20", "UTC")
    assert owed("UTC", [made(day)], [FactsBooked(FIRST, None, 9)]) == []


def test_what_was_published_reaches_to_its_newest_end() -> None:
    names = ("2024-03", "2024-04-02", "2024-04-01")
    found = published_until([made(parse_period(name, "Europe/Prague")) for name in names], "Europe/Prague")
    assert found == datetime(2024, 4, 2, 22, tzinfo=UTC)
    assert published_until([], "UTC") is None
