"""The period of a report: a day, a month or a year in a time zone, and the parts that its statement consists of.

A period is [start, end): a fact at its first instant belongs to it, one at its end to the next period. Days have 23 or 25 hours
when the clocks change. Accounts under prop-firm rules are reported in days of the rules' zone, all others in UTC days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalbox.reports.errors import PeriodError
from signalbox.trading.account import TradingAccount

_TEXT: Final = re.compile(r"(?P<year>\d{4})(-(?P<month>\d{2}))?(-(?P<day>\d{2}))?")
FIRST_YEAR: Final = 2009


class PeriodKind(StrEnum):
    """The length of a period. It also decides the parts: a year is split into months, a week and a month into days.

    Reports are of days, months and years; a week is summarised only.
    """

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class PeriodPart:
    """A part of a period: its name and [start, end) in UTC."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """A report's period. name: 2026-11-20, 2026-11 or 2026. first: its first date; after: the first date after its end."""

    name: str
    kind: PeriodKind
    zone: str
    first: date
    after: date

    @property
    def start(self) -> datetime:
        """The first instant, in UTC."""
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first instant after the period, in UTC."""
        return midnight(self.after, self.zone)

    def __contains__(self, day: date) -> bool:
        return self.first <= day < self.after

    def parts(self, until: datetime | None = None) -> tuple[PeriodPart, ...]:
        """Return the months of a year, the days of a month, or the day itself. Parts end at `until` at the latest."""
        last = self.end if until is None else min(self.end, until)
        found = []
        for first, after in self._pieces():
            start, end = midnight(first, self.zone), midnight(after, self.zone)
            if start < last:
                name = f"{first:%Y-%m}" if self.kind is PeriodKind.YEAR else first.isoformat()
                found.append(PeriodPart(name, start, min(end, last)))
        return tuple(found)

    def boundaries(self, until: datetime | None = None) -> tuple[datetime, ...]:
        """Return the instants at which the account must be valued: the start, and the end of every part."""
        parts = self.parts(until)
        return (self.start, *(part.end for part in parts))

    def day_of(self, instant: datetime) -> date:
        """Return the date of an instant in the period's zone."""
        return instant.astimezone(ZoneInfo(self.zone)).date()

    def _pieces(self) -> Iterator[tuple[date, date]]:
        first = self.first
        while first < self.after:
            after = _next_month(first) if self.kind is PeriodKind.YEAR else first + timedelta(days=1)
            yield first, after
            first = after


def parse_period(text: str, zone: str) -> ReportPeriod:
    """Return the period with that name. Raises PeriodError that says how to write a period."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise PeriodError(f"period {text!r}: expected a day 2026-11-20, a month 2026-11 or a year 2026")
    try:
        first = date(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))
    except ValueError as error:
        raise PeriodError(f"period {text!r}: {error}") from error
    if not FIRST_YEAR <= first.year < 2100:
        raise PeriodError(f"period {text!r}: expected a year from {FIRST_YEAR} to 2099")
    _zone(zone)
    if found["day"] is not None:
        return ReportPeriod(text, PeriodKind.DAY, zone, first, first + timedelta(days=1))
    if found["month"] is not None:
        return ReportPeriod(text, PeriodKind.MONTH, zone, first, _next_month(first))
    return ReportPeriod(text, PeriodKind.YEAR, zone, first, date(first.year + 1, 1, 1))


def zone_of(account: TradingAccount) -> str:
    """Return the time zone whose days an account is reported in."""
    return "UTC" if account.rules is None else account.rules.time_zone


def finished_week(at: datetime, zone: str) -> ReportPeriod | None:
    """Return the week, from Monday, that ended the day before `at`; None if none ended then."""
    today = at.astimezone(_zone(zone)).date()
    if today.isoweekday() != 1:
        return None
    first = today - timedelta(days=7)
    return ReportPeriod(f"{first:%G-W%V}", PeriodKind.WEEK, zone, first, today)


def finished_periods(at: datetime, zone: str) -> tuple[ReportPeriod, ...]:
    """Return the periods that ended the day before `at`: that day, on the 1st also its month, on 1 January also its year."""
    return _ended_with(at.astimezone(_zone(zone)).date(), zone)


def periods_ended(after: datetime, until: datetime, zone: str) -> tuple[ReportPeriod, ...]:
    """Return the periods with after < end <= until, ordered by end; at the same end the day, then the month, then the year."""
    known = _zone(zone)
    today, last = after.astimezone(known).date(), until.astimezone(known).date()
    found: list[ReportPeriod] = []
    while today <= last:
        found += [period for period in _ended_with(today, zone) if after < period.end <= until]
        today += timedelta(days=1)
    return tuple(found)


def _ended_with(today: date, zone: str) -> tuple[ReportPeriod, ...]:
    yesterday = today - timedelta(days=1)
    names = [yesterday.isoformat()]
    if today.day == 1:
        names.append(f"{yesterday:%Y-%m}")
    if (today.month, today.day) == (1, 1):
        names.append(f"{yesterday:%Y}")
    return tuple(parse_period(name, zone) for name in names)


def midnight(day: date, zone: str) -> datetime:
    """Return 00:00 of a date in a time zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC)


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise PeriodError(f"zone {name!r} is unknown: expected a name such as UTC or Europe/Prague") from error
