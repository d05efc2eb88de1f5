"""What `signalbox collect` was asked to do, parsed once: symbols, venue, and a period that may be told as an age."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from local.errors import DataError
from signalbox.market.candles import Symbol
from signalbox.market.lake import SeriesKey

EARLIEST: Final = datetime(2009, 1, 1, tzinfo=UTC)  # before there was anything to trade
_AGE: Final = re.compile(r"(\d{1,5})([hdwy])")
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """A checked request. `since` is the start of a UTC day, `until` a whole minute that is past."""

    series: tuple[SeriesKey, ...]
    since: datetime
    until: datetime
    out: Path
    venue_url: str
    json_output: bool

    @property
    def venue(self) -> str:
        """The venue's name; all series are of one."""
        return self.series[0].venue


def parse_request(
    *, symbols: str, venue: str, since: str, until: str | None, out: Path, venue_url: str, json_output: bool, now: datetime
) -> CollectRequest:
    """Return the request. Raises DataError that says what was expected, MarketDataError for a name that is none."""
    names = list(dict.fromkeys(name.strip().upper().replace("/", "-") for name in symbols.split(",") if name.strip()))
    if not names:
        raise DataError("--symbols: expected some, such as BTC-USD,ETH-USD, was none")
    minute = now.replace(second=0, microsecond=0)
    start, end = _instant("--since", since, minute), minute if until is None else _instant("--until", until, minute)
    if end > minute:
        raise DataError(f"--until: expected an instant that is past, was {end.isoformat()}")
    if start < EARLIEST:
        raise DataError(f"--since: expected {EARLIEST.date()} or later, was {start.date()}")
    if start >= end:
        raise DataError(f"--since: expected an instant before {end.isoformat()}, was {start.isoformat()}")
    if out.exists() and not out.is_dir():
        raise DataError(f"--out: expected a folder, {out} is a file")
    return CollectRequest(
        series=tuple(SeriesKey(venue.lower(), Symbol(name)) for name in names),
        since=start.replace(hour=0, minute=0),
        until=end,
        out=out,
        venue_url=venue_url,
        json_output=json_output,
    )


def _instant(option: str, text: str, now: datetime) -> datetime:
    if (age := _AGE.fullmatch(text.strip().lower())) is not None:
        return now - timedelta(hours=int(age[1]) * _HOURS[age[2]])
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"{option}: expected an age such as 30d or 2y, or ISO 8601, was {text!r}") from error
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(second=0, microsecond=0)
