"""The machine's clock, checked against the queues' clock, because the age of commands depends on it and anyone can set it.

Each answer of the queues carries their time. While both clocks agree, the machine's own is used, because it has milliseconds. If
they differ by more than CLOCK_TOLERANCE, the queues' time is used, because AWS sets it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

CLOCK_TOLERANCE: Final = timedelta(seconds=30)
logger = logging.getLogger("signalbox.mt5_agent")


class CheckedClock:
    """A clock that stays near that of the queues. off: how far this machine's clock is ahead, by their newest answer."""

    def __init__(self, own: Callable[[], datetime]) -> None:
        self._own = own
        self._correction = timedelta(0)
        self.off = timedelta(0)

    def __call__(self) -> datetime:
        return self._own() + self._correction

    def hear(self, theirs: datetime) -> None:
        """Remember the time that the queue service gave in an answer just received."""
        self.off = self._own() - theirs
        was_right = not self._correction
        self._correction = -self.off if abs(self.off) > CLOCK_TOLERANCE else timedelta(0)
        if self._correction and was_right:
            logger.error(
                "this machine's clock is %+.0f s off; the queues' time is used instead; set the clock", self.off.total_seconds()
            )
        elif not self._correction and not was_right:
            logger.info("this machine's clock agrees with the queues' again")
