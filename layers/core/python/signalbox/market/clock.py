"""The bar clock: five-minute cycle boundaries and the minutes between them. Time is always an argument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, MarketDataError

CYCLE: Final = timedelta(minutes=5)


def cycle_of(instant: datetime) -> datetime:
    """Return the newest cycle boundary at or before `instant`, in UTC.

    A late or early delivery of the same schedule therefore belongs to one cycle. Raises MarketDataError if naive.
    """
    if instant.tzinfo is None:
        raise MarketDataError(f"expected an instant with a time zone, got {instant.isoformat()}")
    utc = instant.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 5, second=0, microsecond=0)


def cycles_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield every boundary b with start < b <= end."""
    boundary = cycle_of(start) + CYCLE
    while boundary <= end:
        yield boundary
        boundary += CYCLE


@dataclass(frozen=True, slots=True)
class Gap:
    """Absent minutes of one symbol: first and last missing open_time, both included, milliseconds since the epoch."""

    first_ms: int
    last_ms: int

    @property
    def minutes(self) -> int:
        """How many bars are missing."""
        return (self.last_ms - self.first_ms) // MINUTE_MS + 1


def newest_closed_open_time(instant: datetime) -> datetime:
    """Return the open_time of the newest bar that is closed at `instant`."""
    utc = instant.astimezone(UTC).replace(second=0, microsecond=0)
    return utc - ONE_MINUTE
