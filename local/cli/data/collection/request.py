"""Parses the arguments of `signalbox collect`: symbols, venue and a period, which may be given as an age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typer

from local.cli.instants import parse_instant
from local.errors import DataError
from signalbox.market.candles import Symbol
from signalbox.market.lake import SeriesKey

EARLIEST: Final = datetime(2009, 1, 1, tzinfo=UTC)  # before there was anything to trade


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """A checked request. `since` is the start of a UTC day, `until` a whole minute in the past."""

    series: tuple[SeriesKey, ...]
    since: datetime
    until: datetime
    out: Path
    venue_url: str
    json_output: bool
    refresh_days: int = 0  # this many of the newest days are fetched again

    @property
    def venue(self) -> str:
        """The venue's name, which is the same for all series."""
        return self.series[0].venue


def parse_request(
    *,
    symbols: str,
    venue: str,
    start: str,
    end: str | None,
    out: Path,
    venue_url: str,
    json_output: bool,
    now: datetime,
    refresh_days: int = 0,
) -> CollectRequest:
    """Return the request. Raises DataError, which says what was expected, and MarketDataError for an invalid name."""
    names = list(dict.fromkeys(name.strip().upper().replace("/", "-") for name in symbols.split(",") if name.strip()))
    if not names:
        raise DataError("--symbols is empty; give some, such as BTC-USD,ETH-USD")
    minute = now.replace(second=0, microsecond=0)
    since, until = _instant("--start", start, minute), minute if end is None else _instant("--end", end, minute)
    if until > minute:
        raise DataError(f"--end: expected a time in the past, got {until.isoformat()}")
    if since < EARLIEST:
        raise DataError(f"--start: expected {EARLIEST.date()} or later, got {since.date()}")
    if since >= until:
        raise DataError(f"--start: expected an instant before {until.isoformat()}, got {since.isoformat()}")
    if venue_url and not venue_url.startswith(("http://", "https://")):
        raise DataError(f"--venue-url: expected an address as in https://HOST, got {venue_url!r}")
    if out.exists() and not out.is_dir():
        raise DataError(f"--out: {out} is a file; name a folder")
    return CollectRequest(
        series=tuple(SeriesKey(venue.lower(), Symbol(name)) for name in names),
        since=since.replace(hour=0, minute=0),
        until=until,
        out=out,
        venue_url=venue_url,
        json_output=json_output,
        refresh_days=refresh_days,
    )


def _instant(option: str, text: str, now: datetime) -> datetime:
    try:
        found = parse_instant(text, option, now=now)
    except typer.BadParameter as error:
        raise DataError(error.message) from error
    return (found or now).replace(second=0, microsecond=0)
