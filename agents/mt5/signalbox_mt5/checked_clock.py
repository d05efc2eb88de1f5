"""The machine's clock, checked against that of the queues: an age is judged by it, and a machine's clock can be set.

Each answer of the queues says when they gave it. As long as the two agree the machine's own clock is used, which knows
milliseconds; where they differ by more than CLOCK_TOLERANCE the queues' counts, for theirs is set by those who run them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

CLOCK_TOLERANCE: Final = timedelta(seconds=30)
logger = logging.getLogger("signalbox.mt5_agent")


class CheckedClock:
    """A clock that stays near the queues'. `off`: how far the machine's runs ahead of them, by their newest answer."""

    def __init__(self, own: Callable[[], datetime]) -> None:
        self._own = own
        self._correction = timedelta(0)
        self.off = timedelta(0)

    def __call__(self) -> datetime:
        return self._own() + self._correction

    def hear(self, theirs: datetime) -> None:
        """Take the time of an answer that came just now."""
        self.off = self._own() - theirs
        was_right = not self._correction
        self._correction = -self.off if abs(self.off) > CLOCK_TOLERANCE else timedelta(0)
        if self._correction and was_right:
            logger.error("this machine's clock is %+.0f s off the queues': theirs counts; set it", self.off.total_seconds())
        elif not self._correction and not was_right:
            logger.info("this machine's clock agrees with the queues' again")
