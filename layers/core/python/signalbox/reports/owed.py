"""Which finished periods have to be written again: those whose facts changed since their files were made.

Facts arrive late: a venue tells a fill a day later, or the functions stood still over midnight. Every fact has the number it
was booked under, and a file the number it was made from, so what changed is found without reading what did not. A candle has
no such number; while one may still come late a period is made again each night. Tax looks past a period's end at the fills
that make a wash sale of a loss, so a period is made once more when that window is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from signalbox.reports.period import ReportPeriod, parse_period, periods_ended
from signalbox.reports.source import FactsBooked, Publication, ReportMark

LATE_CANDLES: Final = timedelta(days=3)  # a candle that comes later changes no published report
WASH_WINDOW: Final = timedelta(days=31)  # 30 days of any zone


@dataclass(frozen=True, slots=True)
class _Made:
    """The files of a period: the oldest making among them."""

    period: ReportPeriod
    paths: frozenset[str]
    made_from: int
    made_at: datetime


def published_until(published: Iterable[Publication], zone: str) -> datetime | None:
    """Return the newest instant that a published report tells of; None when there is none."""
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
    """Return the periods to write at `scheduled_at`, in the order in which they ended.

    published: every file of one account; booked: its facts since `mark`; expected: how many files a period has.
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
    """Return whether something without a number may differ from when the files were made."""
    if made.made_at >= at:
        return False
    window_over = made.period.end + WASH_WINDOW
    return made.made_at < made.period.end + LATE_CANDLES or made.made_at < window_over <= at


def _has_changed(made: _Made, booked: Collection[FactsBooked]) -> bool:
    return any(facts.booked > made.made_from and facts.touch(made.period) for facts in booked)
