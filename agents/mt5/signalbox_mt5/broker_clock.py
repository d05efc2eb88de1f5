"""The broker's clock.

The terminal's times are the broker's wall-clock time, and the terminal does not say how far that is from UTC.

The offset is read from moving prices. The newest price is current, so its time minus our clock, rounded to half an hour, is the
time zone. While a market is closed its last price grows older, and the broker's clock seems to move west by half an hour every
half hour. A zone west of the known one is therefore accepted only from a price that has moved since the last reading, as when the
broker's summer time ends. While no price is current, the last known zone holds; the journal keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from signalbox.orders.venue_port import CLOCK_SKEW, VenueRefusedError, VenueSilentError
from signalbox_mt5.terminal import Terminal

ZONE_STEP: Final = timedelta(minutes=30)  # a broker's clock differs from UTC by a multiple of this
ZONES: Final = (timedelta(hours=-12), timedelta(hours=14))  # possible offsets from UTC; anything beyond comes from an old price
TOLERANCE: Final = timedelta(minutes=2)


class ZoneMemory(Protocol):
    """Stores the broker's time zone; the journal implements it."""

    zone: timedelta | None

    def keep_zone(self, zone: timedelta) -> None:
        """Store the zone."""


class BrokerClock:
    """The broker's clock, relative to ours."""

    def __init__(self, terminal: Terminal, names: Iterable[str], memory: ZoneMemory, clock: Callable[[], datetime]) -> None:
        self._terminal, self._names, self._memory, self._clock = terminal, tuple(names), memory, clock
        self._newest_price: int | None = None  # broker time of the newest price at the last look, in milliseconds

    def now(self, name: str) -> timedelta:
        """Return the broker's clock minus UTC. Raises VenueRefusedError if the symbol has no current price."""
        tick = self._terminal.symbol_info_tick(name)
        if tick is None:
            raise VenueRefusedError("NO_PRICE", f"{name}: the terminal has no price")
        ahead, zone = self._ahead(tick.time_msc), self.zone()
        if zone is None or abs(ahead - zone) > TOLERANCE:
            raise VenueRefusedError(
                CLOCK_SKEW,
                f"{name}: the newest price is not current in any time zone: the market is closed, the"
                " terminal lost its connection, or this machine's clock is wrong",
            )
        return zone

    def zone(self) -> timedelta | None:
        """Return the broker's clock minus UTC from the newest price of all symbols; else the last known zone; else None."""
        newest = max(self._prices_at(), default=None)
        known = self._memory.zone
        if newest is None:
            return known
        moved = self._newest_price is not None and newest > self._newest_price
        self._newest_price = newest
        ahead = self._ahead(newest)
        zone = ZONE_STEP * round(ahead / ZONE_STEP)
        if abs(ahead - zone) > TOLERANCE or not ZONES[0] <= zone <= ZONES[1]:
            return known
        if known is not None and zone < known and not moved:
            return known
        self._memory.keep_zone(zone)
        return zone

    def utc(self, broker_ms: int) -> datetime:
        """Return a broker time in UTC, but no later than now: what is shown has happened, even if its time stamp is ahead.

        Raises VenueSilentError if the zone is unknown because no price was ever current.
        """
        zone = self.zone()
        if zone is None:
            raise VenueSilentError(
                "no symbol has had a current price yet, so the broker's time zone and the times of deals are unknown"
            )
        return min(datetime.fromtimestamp(broker_ms / 1000, UTC) - zone, self._clock())

    def _prices_at(self) -> Iterator[int]:
        """Yield the broker time of each symbol's newest price. One that is ahead of every zone would hide all the others."""
        for name in self._names:
            try:
                tick = self._terminal.symbol_info_tick(name)
                if tick is not None and self._ahead(tick.time_msc) <= ZONES[1] + TOLERANCE:
                    yield int(tick.time_msc)
            except VenueSilentError:
                continue

    def _ahead(self, broker_ms: int) -> timedelta:
        return datetime.fromtimestamp(broker_ms / 1000, UTC) - self._clock()
