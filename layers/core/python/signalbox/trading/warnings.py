"""Issued warnings: each is sent once and not repeated while it applies.

A warning about the use of a limit is in force for its day (in the loss rules' time zone); one about depleted headroom until
that day ends, or permanently. These are values only; the ledger decides how to store them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.snapshot import LossRule


@dataclass(frozen=True, slots=True)
class LimitWarning:
    """The use of a loss limit has reached a level. `day`: the limit's day in the rules' time zone, today or tomorrow."""

    rule: LossRule
    level: StopLevel
    day: date

    def stands_on(self, day: date) -> bool:
        """Return whether the warning is still in force on this day."""
        return self.day == day


@dataclass(frozen=True, slots=True)
class DepletionWarning:
    """No entry can pass a loss limit any more. `day`: the day of the limit; None means permanently."""

    rule: LossRule
    day: date | None

    def stands_on(self, day: date) -> bool:
        """Return whether the warning is still in force on this day."""
        return self.day is None or self.day == day


IssuedWarning: TypeAlias = LimitWarning | DepletionWarning


def without_depletion(warned: frozenset[IssuedWarning]) -> frozenset[IssuedWarning]:
    """Return the warnings without those about depleted headroom, so that it is announced again."""
    return frozenset(warning for warning in warned if not isinstance(warning, DepletionWarning))
