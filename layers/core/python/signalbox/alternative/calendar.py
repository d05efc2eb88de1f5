"""Reads a calendar of economic releases: a CSV with the columns scheduled_at, name, importance and, if known, published_at.

Instants are ISO 8601 with an offset. importance is 1 (low) to 3 (high). published_at says when the calendar announced the
release; without it a release counts as published when it was read, so that no decision of the past can have known it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from signalbox.alternative.collection import RawObservation
from signalbox.alternative.observations import MAX_TEXT, ObservationError, ObservationKind
from signalbox.errors import SignalboxError

CALENDAR_PATH: Final = "alt/calendar.csv"  # in the lake
MAX_CALENDAR_BYTES: Final = 4 * 2**20
_COLUMNS: Final = ("scheduled_at", "name", "importance")


class CalendarError(SignalboxError):
    """A calendar file that cannot be read. The message names the line."""


class CalendarSource:
    """ObservationSource of a calendar's text. read_at: when it was read."""

    name = "calendar"
    kinds: Sequence[ObservationKind] = (ObservationKind.ECONOMIC_EVENT,)

    def __init__(self, text: str, read_at: datetime) -> None:
        self._releases = parse_calendar(text, read_at)

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:  # noqa: ARG002 - a calendar is about what comes
        """Return every release, whenever it is scheduled."""
        return self._releases


def parse_calendar(text: str, read_at: datetime) -> tuple[RawObservation, ...]:
    """Return the releases of a calendar. Raises CalendarError."""
    if len(text) > MAX_CALENDAR_BYTES:
        raise CalendarError(f"calendar: expected at most {MAX_CALENDAR_BYTES} characters, got {len(text)}")
    rows = csv.DictReader(io.StringIO(text))
    if absent := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise CalendarError(f"calendar: expected the columns {', '.join(_COLUMNS)}; {', '.join(absent)} is missing")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            scheduled, name, importance = _instant(row["scheduled_at"]), row["name"].strip(), int(row["importance"])
            published = _instant(row["published_at"]) if row.get("published_at") else read_at
        except (ValueError, TypeError, AttributeError, ObservationError) as error:
            raise CalendarError(f"calendar, line {number}: {error}") from error
        if importance not in {1, 2, 3} or not 0 < len(name) <= MAX_TEXT:
            raise CalendarError(
                f"calendar, line {number}: expected a name of 1 to {MAX_TEXT} characters and an importance of 1 to 3, "
                f"got {name[:MAX_TEXT]!r} and {importance}"
            )
        if published > read_at:
            raise CalendarError(f"calendar, line {number}: published_at lies in the future")
        found.append(RawObservation(scheduled, Decimal(importance), name, published))
    return tuple(found)


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text.strip())
    if found.tzinfo is None:
        raise ObservationError(f"expected an instant with an offset such as 2026-12-10T13:30:00Z, got {text.strip()!r}")
    return found.astimezone(UTC)
