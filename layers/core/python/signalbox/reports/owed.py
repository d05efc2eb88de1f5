"""Finds the finished periods to publish again: facts of theirs were booked after their files were made.

Facts arrive late: a venue may report a fill a day later, or the functions may be down over midnight. Every fact has the number
under which it was booked, and every file the number up to which its facts were read, so changes are found without reading what
did not change. Candles have no such number; as long as one may still arrive late, a period is made again each night. The tax
report looks past a period's end for fills that make a loss a wash sale, so each period is made once more after that window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from signalbox.reports.period import ReportPeriod, parse_period, periods_ended
from signalbox.reports.source import FactsBooked, Publication, ReportMark

LATE_CANDLES: Final = timedelta(days=3)  # a candle that arrives later changes no published report
WASH_WINDOW: Final = timedelta(days=31)  # covers 30 days in any time zone


@dataclass(frozen=True, slots=True)
class _Made:
    """The files of a period, with the earliest `made_from` and `made_at` among them."""

    period: ReportPeriod
    paths: frozenset[str]
    made_from: int
    made_at: datetime


def published_until(published: Iterable[Publication], zone: str) -> datetime | None:
    """Return the end of the latest published period; None if nothing was published."""
    return max((parse_period(one.period, zone).end for one in published), default=None)


def owed_periods(
    published: Sequence[Publication],
    booked: Sequence[FactsBooked],
    *,
    mark: ReportMark,
    expected: int,
    scheduled_at: datetime,
    zone: str,
) -> tuple[ReportPeriod, ...]:
    """Return the periods to publish at `scheduled_at`, ordered by their ends.

    published: every file of one account. booked: the account's facts booked since `mark`. expected: number of files per period.
    """
    made = _made(published, zone)
    owed = {period for period in periods_ended(mark.at, scheduled_at, zone) if _is_incomplete(made.get(period), expected)}
    for one in made.values():
        if one.period.end <= scheduled_at and (_may_change(one, scheduled_at) or _has_changed(one, booked)):
            owed.add(one.period)
    return tuple(sorted(owed, key=lambda period: (period.end, -period.start.timestamp(), period.name)))


def _made(published: Sequence[Publication], zone: str) -> dict[ReportPeriod, _Made]:
    files: defaultdict[str, list[Publication]] = defaultdict(list)
    for one in published:
        files[one.period].append(one)
    found = {}
    for name, of_period in files.items():
        period = parse_period(name, zone)
        found[period] = _Made(
            period,
            frozenset(one.path for one in of_period),
            min(one.made_from for one in of_period),
            min(one.made_at for one in of_period),
        )
    return found


def _is_incomplete(made: _Made | None, expected: int) -> bool:
    return made is None or len(made.paths) < expected


def _may_change(made: _Made, at: datetime) -> bool:
    """Return whether facts without a number (candles, the wash-sale window) may have changed since the files were made."""
    if made.made_at >= at:
        return False
    window_over = made.period.end + WASH_WINDOW
    return made.made_at < made.period.end + LATE_CANDLES or made.made_at < window_over <= at


def _has_changed(made: _Made, booked: Collection[FactsBooked]) -> bool:
    return any(facts.booked > made.made_from and facts.touch(made.period) for facts in booked)
