"""AWS schedule expressions: `cron(minutes hours day-of-month month day-of-week year)` and `rate(n unit)`.

Follows https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. `L`, `W` and `#` are refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from local.errors import WorkbenchError

MONTHS: Final = {
    m: n for n, m in enumerate(("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1)
}
WEEKDAYS: Final = {d: n for n, d in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
FIELDS: Final[tuple[tuple[str, int, int, Mapping[str, int]], ...]] = (
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of week", 1, 7, WEEKDAYS),
    ("year", 1970, 2199, {}),
)
UNITS: Final = {
    "minute": timedelta(minutes=1),
    "minutes": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "hours": timedelta(hours=1),
    "day": timedelta(days=1),
    "days": timedelta(days=1),
}


class ScheduleExpressionError(WorkbenchError):
    """A schedule expression is invalid or not supported."""


def is_due(expression: str, instant: datetime, timezone: str = "UTC") -> bool:
    """Return whether the schedule fires in the minute of `instant`. `at(...)` and rates below a minute are not supported.

    A rate is counted from the epoch, so that every replay of an instant agrees. Raises ScheduleExpressionError.
    """
    rate = re.fullmatch(r"\s*rate\(\s*(\d+)\s+(\w+)\s*\)\s*", expression)
    if rate is not None:
        unit = UNITS.get(rate[2])
        if unit is None or int(rate[1]) < 1:
            raise ScheduleExpressionError(f"{expression}: expected rate(n minutes | hours | days)")
        return int(instant.timestamp() // 60) % (int(rate[1]) * unit // timedelta(minutes=1)) == 0
    cron = re.fullmatch(r"\s*cron\(([^)]*)\)\s*", expression)
    if cron is None:
        raise ScheduleExpressionError(f"{expression}: expected cron(...) or rate(...)")
    fields = cron[1].split()
    if len(fields) != len(FIELDS):
        raise ScheduleExpressionError(f"{expression}: expected {len(FIELDS)} fields, got {len(fields)}")
    local = instant.astimezone(ZoneInfo(timezone))
    weekday = local.isoweekday() % 7 + 1  # Sunday is 1
    values = (local.minute, local.hour, local.day, local.month, weekday, local.year)
    return all(
        value in _allowed(field, low, high, names, f"{expression}: {name}")
        for value, field, (name, low, high, names) in zip(values, fields, FIELDS, strict=True)
    )


def _allowed(field: str, low: int, high: int, names: Mapping[str, int], where: str) -> frozenset[int]:
    allowed: set[int] = set()
    for part in field.upper().split(","):
        match = re.fullmatch(r"(\*|\?|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if match is None:
            raise ScheduleExpressionError(f"{where}: {part!r} is not understood")
        step = int(match[3]) if match[3] else 1
        if match[1] in {"*", "?"}:
            first, last = low, high
        else:
            first = _number(match[1], names, where)
            last = _number(match[2], names, where) if match[2] else (high if match[3] else first)
        if step < 1 or not (low <= first <= high and low <= last <= high):
            raise ScheduleExpressionError(f"{where}: {part!r} is outside of {low} to {high}")
        span = range(first, last + 1) if first <= last else (*range(first, high + 1), *range(low, last + 1))
        allowed.update(list(span)[::step])
    return frozenset(allowed)


def _number(text: str, names: Mapping[str, int], where: str) -> int:
    if text in names:
        return names[text]
    if not text.isdigit():
        raise ScheduleExpressionError(f"{where}: {text!r} is not understood")
    return int(text)
