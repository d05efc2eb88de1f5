"""Parses instants and periods as a person types them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from local.errors import DataError

_AGE: Final = re.compile(r"(\d{1,5})([hdwy])")
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}


def parse_instant(text: str | None, option: str = "instant", *, now: datetime | None = None) -> datetime | None:
    """Return an instant in UTC from ISO 8601 (UTC without an offset) or from an age such as 30d. Raises typer.BadParameter."""
    if text is None:
        return None
    if (age := _AGE.fullmatch(text.strip().lower())) is not None:
        minute = (now or datetime.now(UTC)).replace(second=0, microsecond=0)  # an age counts from the wall clock by definition
        return minute - timedelta(hours=int(age[1]) * _HOURS[age[2]])
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{option}: expected ISO 8601 such as 2024-03-01T12:00, or an age such as 30d, got {text!r}"
        ) from error
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).astimezone(UTC)


def parse_bounds(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Return --start and --end as instants. Raises DataError unless the first is before the second."""
    first, last = parse_instant(start, "--start"), parse_instant(end, "--end")
    if first is not None and last is not None and first >= last:
        raise DataError(f"--start: expected a time before --end ({last:%Y-%m-%dT%H:%M}), got {first:%Y-%m-%dT%H:%M}")
    return first, last


def parse_period(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """Return --start and --end; the default of both is now. Raises DataError as parse_bounds."""
    first, last = parse_bounds(start, end)
    now = datetime.now(UTC)
    return first or now, last or now
