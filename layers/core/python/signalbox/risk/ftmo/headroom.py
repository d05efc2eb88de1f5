"""Headroom: how much of each loss limit is used, which internal stop that has reached, and the floors a snapshot carries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from signalbox.exact import ZERO
from signalbox.risk.ftmo.rules import InternalStops
from signalbox.risk.snapshot import LossFloor, LossRule

NEVER_ABOVE: Final = Decimal(10) ** 17  # a broken rule blocks whatever the equity


class StopLevel(StrEnum):
    """What the use of a limit asks for, mildest first."""

    CLEAR = "CLEAR"
    ALERT = "ALERT"
    BLOCK = "BLOCK"  # no new risk
    FLATTEN = "FLATTEN"
    BREACHED = "BREACHED"


SEVERITY: Final = {level: rank for rank, level in enumerate(StopLevel)}


@dataclass(frozen=True, slots=True)
class Limits:
    """References and amounts of both rules; a limit is reference - amount."""

    daily_reference: Decimal
    daily_amount: Decimal
    max_reference: Decimal
    max_amount: Decimal

    def reference(self, rule: LossRule) -> Decimal:
        """What the loss is measured from."""
        return self.daily_reference if rule is LossRule.MAX_DAILY_LOSS else self.max_reference

    def amount(self, rule: LossRule) -> Decimal:
        """How much may be lost."""
        return self.daily_amount if rule is LossRule.MAX_DAILY_LOSS else self.max_amount

    def floor(self, rule: LossRule) -> Decimal:
        """Equity below which the rule is broken."""
        return self.reference(rule) - self.amount(rule)


@dataclass(frozen=True, slots=True)
class RuleHeadroom:
    """One rule now. used: lost from the reference, at least 0. remaining: equity above the limit, below 0 once broken."""

    rule: LossRule
    reference: Decimal
    limit: Decimal
    amount: Decimal
    used: Decimal
    remaining: Decimal
    level: StopLevel


@dataclass(frozen=True, slots=True)
class Headroom:
    """Both rules now, and the floors of today and of the day after the next midnight (at today's balance).

    tomorrow: shortly before midnight, the rules whose limit will be tighter from then on (InternalStops says how long before).
    """

    equity: Decimal
    rules: tuple[RuleHeadroom, ...]
    floors: tuple[LossFloor, ...]
    tomorrow: tuple[RuleHeadroom, ...] = ()

    @property
    def level(self) -> StopLevel:
        """The most severe of all rules."""
        return max((item.level for item in (*self.rules, *self.tomorrow)), key=SEVERITY.__getitem__)

    @property
    def remaining(self) -> Decimal:
        """What may be lost before the first rule breaks."""
        return min(item.remaining for item in (*self.rules, *self.tomorrow))


def headroom_of(
    stops: InternalStops,
    *,
    equity: Decimal,
    today: Limits,
    tomorrow: Limits,
    day_start: datetime | None,
    next_midnight: datetime,
    following_midnight: datetime | None,
    broken: frozenset[LossRule],
    at: datetime | None = None,
) -> Headroom:
    """Return the headroom at `at`; None looks at today alone.

    Without a day (no event yet) there are no floors, so new risk is refused where they are needed.
    """
    rules = tuple(_one(rule, stops, equity, today, broken=rule in broken) for rule in LossRule)
    floors: list[LossFloor] = []
    coming: tuple[RuleHeadroom, ...] = ()
    if day_start is not None and following_midnight is not None:
        guard = timedelta(minutes=stops.midnight_minutes)
        for limits, start, end, blocks_from in (
            (today, day_start, next_midnight, None),
            (tomorrow, next_midnight, following_midnight, next_midnight - guard),
        ):
            for rule in LossRule:
                block = limits.reference(rule) - stops.block * limits.amount(rule)
                floors.append(LossFloor(rule, limits.floor(rule), NEVER_ABOVE if broken else block, start, end, blocks_from))
        if guard and at is not None and next_midnight - guard <= at:
            coming = tuple(
                _one(rule, stops, equity, tomorrow, broken=rule in broken)
                for rule in LossRule
                if tomorrow.floor(rule) > today.floor(rule)
            )
    return Headroom(equity, rules, tuple(floors), coming)


def _one(rule: LossRule, stops: InternalStops, equity: Decimal, limits: Limits, *, broken: bool) -> RuleHeadroom:
    amount = limits.amount(rule)
    used = max(limits.reference(rule) - equity, ZERO)
    level = StopLevel.CLEAR
    for share, name in ((stops.alert, StopLevel.ALERT), (stops.block, StopLevel.BLOCK), (stops.flatten, StopLevel.FLATTEN)):
        if used >= share * amount:
            level = name
    if broken:
        level = StopLevel.BREACHED
    return RuleHeadroom(rule, limits.reference(rule), limits.floor(rule), amount, used, equity - limits.floor(rule), level)
