"""The broker's clock: the terminal's times are the broker's wall clock, and nothing says how far that is from UTC.

It is read from prices that move: the newest one is of now, so what it is ahead of our clock, to the nearest half hour, is the
zone. A price that stands still looks like a zone further west every half hour, so a zone behind the known one is believed
only of a price that moved since the last look, as when the broker's summer ends. While no price is of now the zone of before
holds, which the journal keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from signalbox.orders.venue_port import CLOCK_SKEW, VenueRefusedError, VenueSilentError
from signalbox_mt5.terminal import Terminal

ZONE_STEP: Final = timedelta(minutes=30)  # a broker's clock is a whole number of these from UTC
ZONES: Final = (timedelta(hours=-12), timedelta(hours=14))  # from UTC, on this earth; what is beyond is an old price
TOLERANCE: Final = timedelta(minutes=2)


class ZoneMemory(Protocol):
    """What remembers the broker's zone: the journal."""

    zone: timedelta | None

    def keep_zone(self, zone: timedelta) -> None:
        """Remember another zone."""


class BrokerClock:
    """What the broker's clock shows, beside ours."""

    def __init__(self, terminal: Terminal, names: Iterable[str], memory: ZoneMemory, clock: Callable[[], datetime]) -> None:
        self._terminal, self._names, self._memory, self._clock = terminal, tuple(names), memory, clock
        self._newest_price: int | None = None  # milliseconds of the broker's clock, as last looked at

    def now(self, name: str) -> timedelta:
        """Return the broker's clock minus UTC. Raises VenueRefusedError unless the symbol has a price of now."""
        tick = self._terminal.symbol_info_tick(name)
        if tick is None:
            raise VenueRefusedError("NO_PRICE", f"{name}: the terminal has no price")
        ahead, zone = self._ahead(tick.time_msc), self.zone()
        if zone is None or abs(ahead - zone) > TOLERANCE:
            raise VenueRefusedError(
                CLOCK_SKEW,
                f"{name}: the newest price is not of now in any time zone of the broker's: the market is closed, the"
                " terminal lost its connection, or this machine's clock is wrong",
            )
        return zone

    def zone(self) -> timedelta | None:
        """Return the broker's clock minus UTC as the newest price of all symbols says, else as before, else None."""
        ticks = (self._terminal.symbol_info_tick(name) for name in self._names)
        newest = max((int(tick.time_msc) for tick in ticks if tick is not None), default=None)
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
        """Return an instant of the broker's in UTC. Raises VenueSilentError where no price has ever told the zone."""
        zone = self.zone()
        if zone is None:
            raise VenueSilentError(
                "no price is of now and none was before: the broker's time zone, so when deals were, is unknown"
            )
        return datetime.fromtimestamp(broker_ms / 1000, UTC) - zone

    def _ahead(self, broker_ms: int) -> timedelta:
        return datetime.fromtimestamp(broker_ms / 1000, UTC) - self._clock()
