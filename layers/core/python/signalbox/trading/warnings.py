"""Warnings that stand: what an account was warned of once, and is not warned of again while it stands.

A warning of a limit's use stands for its day of the rules' zone, one of depleted headroom until that day ends or for good.
Values only; how they are stored is the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.snapshot import LossRule


@dataclass(frozen=True, slots=True)
class LimitWarning:
    """The use of a loss limit reached a level. day: of the rules' zone, tomorrow's limits included."""

    rule: LossRule
    level: StopLevel
    day: date

    def stands_on(self, day: date) -> bool:
        """Whether it still stands once a day has begun."""
        return self.day == day


@dataclass(frozen=True, slots=True)
class DepletionWarning:
    """No entry can pass a loss limit. day: the one whose limit it is; None: no midnight ends it."""

    rule: LossRule
    day: date | None

    def stands_on(self, day: date) -> bool:
        """Whether it still stands once a day has begun."""
        return self.day is None or self.day == day


StandingWarning: TypeAlias = LimitWarning | DepletionWarning


def without_depletion(warned: frozenset[StandingWarning]) -> frozenset[StandingWarning]:
    """Return the warnings without those of depleted headroom, so that it is reported again."""
    return frozenset(warning for warning in warned if not isinstance(warning, DepletionWarning))
