"""Headroom: how much of each loss limit is used, which internal stop that reaches, and the floors for risk snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from signalbox.exact import ZERO
from signalbox.risk.ftmo.rules import InternalStops
from signalbox.risk.snapshot import LossFloor, LossRule

NEVER_ABOVE: Final = Decimal(10) ** 17  # a floor that no equity reaches: after a breach new risk is always blocked


class StopLevel(StrEnum):
    """The action that the use of a loss limit calls for, mildest first."""

    CLEAR = "CLEAR"
    ALERT = "ALERT"
    BLOCK = "BLOCK"  # no new risk
    FLATTEN = "FLATTEN"
    BREACHED = "BREACHED"


SEVERITY: Final = {level: rank for rank, level in enumerate(StopLevel)}


@dataclass(frozen=True, slots=True)
class Limits:
    """Reference and amount of both loss rules, in account currency. A rule's limit is reference - amount."""

    daily_reference: Decimal
    daily_amount: Decimal
    max_reference: Decimal
    max_amount: Decimal

    def reference(self, rule: LossRule) -> Decimal:
        """Return the equity or balance that the loss is measured from."""
        return self.daily_reference if rule is LossRule.MAX_DAILY_LOSS else self.max_reference

    def amount(self, rule: LossRule) -> Decimal:
        """Return how much may be lost."""
        return self.daily_amount if rule is LossRule.MAX_DAILY_LOSS else self.max_amount

    def floor(self, rule: LossRule) -> Decimal:
        """Return the equity below which the rule is broken."""
        return self.reference(rule) - self.amount(rule)


@dataclass(frozen=True, slots=True)
class RuleHeadroom:
    """One rule now. used: loss from the reference, at least 0. remaining: equity above the limit, negative once broken."""

    rule: LossRule
    reference: Decimal
    limit: Decimal
    amount: Decimal
    used: Decimal
    remaining: Decimal
    level: StopLevel


@dataclass(frozen=True, slots=True)
class Headroom:
    """Both loss rules now, with the floors of today and of the following day (computed at today's balance).

    tomorrow: shortly before midnight, the rules whose limit becomes tighter at midnight; InternalStops says how long before.
    """

    equity: Decimal
    rules: tuple[RuleHeadroom, ...]
    floors: tuple[LossFloor, ...]
    tomorrow: tuple[RuleHeadroom, ...] = ()

    @property
    def level(self) -> StopLevel:
        """The most severe level of all rules."""
        return max((item.level for item in (*self.rules, *self.tomorrow)), key=SEVERITY.__getitem__)

    @property
    def remaining(self) -> Decimal:
        """How much may be lost before the first rule breaks."""
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
    """Return the headroom at `at`; if `at` is None, tomorrow's limits are left out.

    Before the first event there is no day and therefore no floor, so new risk is refused where floors are required.
    """
    rules = tuple(_one(rule, stops, equity, today, broken=rule in broken) for rule in LossRule)
    floors: tuple[LossFloor, ...] = ()
    coming: tuple[RuleHeadroom, ...] = ()
    if day_start is not None and following_midnight is not None:
        guard = timedelta(minutes=stops.midnight_minutes)
        midnights = (day_start, next_midnight, following_midnight)
        floors = floors_of_days(stops, today=today, tomorrow=tomorrow, midnights=midnights, is_broken=bool(broken))
        if guard and at is not None and next_midnight - guard <= at:
            coming = tuple(
                _one(rule, stops, equity, tomorrow, broken=rule in broken)
                for rule in LossRule
                if tomorrow.floor(rule) > today.floor(rule)
            )
    return Headroom(equity, rules, floors, coming)


def floors_of_days(
    stops: InternalStops, *, today: Limits, tomorrow: Limits, midnights: tuple[datetime, datetime, datetime], is_broken: bool
) -> tuple[LossFloor, ...]:
    """Return the floors of a day and of the next one. midnights: the day's begin, its end, and the end of the next day."""
    begins, ends, following = midnights
    blocks_from = ends - timedelta(minutes=stops.midnight_minutes)
    return (
        *_floors(today, stops.block, (begins, ends), None, is_broken=is_broken),
        *_floors(tomorrow, stops.block, (ends, following), blocks_from, is_broken=is_broken),
    )


@lru_cache(maxsize=64)  # they change with the day and with a closed trade, and are asked for several times a minute
def _floors(
    limits: Limits, block: Decimal, span: tuple[datetime, datetime], blocks_from: datetime | None, *, is_broken: bool
) -> tuple[LossFloor, ...]:
    floors = []
    for rule in LossRule:
        level = NEVER_ABOVE if is_broken else limits.reference(rule) - block * limits.amount(rule)
        floors.append(LossFloor(rule, limits.floor(rule), level, *span, blocks_from))
    return tuple(floors)


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
