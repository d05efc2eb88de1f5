"""FtmoRuleMonitor: checks one account's rules from its balance and equity over time. It owns days, limits and breaches.

* 00:00 in the rules' time zone belongs to the new day and is processed before that day's observations: the last balance becomes
  the day's baseline, the limits move, and the account is checked at once, even though no price has moved.
* The account is checked at every observation; the first breach of a rule is kept for good. A refused observation has no effect.
* Its whole state is one value, which is stored with the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from signalbox.exact import CONTEXT, SHARE_PLACES, ZERO, ratio
from signalbox.risk.errors import FtmoEventError
from signalbox.risk.ftmo.headroom import Headroom, Limits, floors_of_days, headroom_of
from signalbox.risk.ftmo.rules import FtmoRules, LossReference
from signalbox.risk.ftmo.state import AccountBreach, AccountDay, AccountStatus
from signalbox.risk.numbers import aware, positive
from signalbox.risk.snapshot import LossFloor, LossRule

MAX_SILENCE: Final = timedelta(days=3_660)  # a longer gap must be a wrong date, and would create a record for each day in it


@dataclass(frozen=True, slots=True)
class FtmoRuleState:
    """Everything that `FtmoRuleMonitor.restore` needs. A restored monitor behaves exactly as the original would have."""

    rules_name: str
    rules_version: str
    phase: str
    capital: Decimal
    balance: Decimal
    equity: Decimal
    now: datetime | None
    day: date | None
    baseline: Decimal
    highest_midnight_balance: Decimal
    worst_equity: Decimal
    breaches: tuple[AccountBreach, ...]
    trading_days: int
    last_trading_day: date | None
    best_finished_day: Decimal
    target_reached_at: datetime | None


class FtmoRuleMonitor:
    """Monitors the rules of one account. Raises RiskError unless capital > 0, KeyError for an unknown phase."""

    def __init__(self, rules: FtmoRules, capital: Decimal, *, phase: str | None = None) -> None:
        self._rules = rules
        self._zone = ZoneInfo(rules.time_zone)
        self._phase = rules.phase(phase)
        self._capital = positive(capital, "capital")
        with localcontext(CONTEXT):
            self._daily_amount = self._capital * rules.daily_loss_fraction
            self._max_amount = self._capital * rules.max_loss_fraction
            self._target = self._capital * (1 + self._phase.profit_target_fraction)
        self._balance = self._equity = self._baseline = self._highest = self._worst = self._capital
        self._now: datetime | None = None
        self._day: date | None = None
        self._next_midnight = datetime.min.replace(tzinfo=UTC)
        self._finished: list[AccountDay] = []
        self._breaches: dict[LossRule, AccountBreach] = {}
        self._trading_days = 0
        self._last_trading_day: date | None = None
        self._best_finished_day = ZERO
        self._target_reached_at: datetime | None = None

    # Current state

    @property
    def rules(self) -> FtmoRules:
        """The rule set that it checks."""
        return self._rules

    @property
    def phase_name(self) -> str:
        """The name of the evaluation phase."""
        return self._phase.name

    @property
    def capital(self) -> Decimal:
        """The initial capital."""
        return self._capital

    @property
    def breaches(self) -> Mapping[LossRule, AccountBreach]:
        """The first breach of each rule, in time order (a view)."""
        return MappingProxyType(self._breaches)

    @property
    def status(self) -> AccountStatus:
        """BREACHED once any rule broke; otherwise whether all objectives were ever met with no position open."""
        if self._breaches:
            return AccountStatus.BREACHED
        return AccountStatus.ACTIVE if self._target_reached_at is None else AccountStatus.TARGET_REACHED

    @property
    def target_reached_at(self) -> datetime | None:
        """When all objectives were met; None if they were not."""
        return self._target_reached_at

    @property
    def trading_days(self) -> int:
        """Days on which a position was opened."""
        return self._trading_days

    @property
    def best_day_share(self) -> Decimal | None:
        """The closed profit of the best day as a share of the total profit; None while there is no profit."""
        with localcontext(CONTEXT):
            total = self._balance - self._capital
            return ratio(self._best_day(), total, SHARE_PLACES) if total > ZERO else None

    @property
    def now(self) -> datetime | None:
        """The instant of the last observation; None before the first."""
        return self._now

    @property
    def day(self) -> date | None:
        """The current day in the rules' time zone; None before the first observation."""
        return self._day

    @property
    def next_midnight(self) -> datetime | None:
        """When the current day ends; None before the first observation."""
        return None if self._day is None else self._next_midnight

    @property
    def finished_days(self) -> tuple[AccountDay, ...]:
        """Days that ended since this monitor was built or restored, including days without events."""
        return tuple(self._finished)

    @property
    def days(self) -> tuple[AccountDay, ...]:
        """`finished_days` and the current day."""
        return (*self._finished, self._today()) if self._day is not None else ()

    def limit(self, rule: LossRule) -> Decimal:
        """Return the equity below which the rule is broken now."""
        with localcontext(CONTEXT):
            return self._limits().floor(rule)

    def headroom(self, at: datetime | None = None, equity: Decimal | None = None) -> Headroom:
        """Return how much of each limit is used, and the limits from the next midnight on.

        at: an instant of the current day, by default the last observation. equity: by default the last observed equity.
        """
        with localcontext(CONTEXT):
            return headroom_of(
                self._rules.stops,
                equity=self._equity if equity is None else equity,
                today=self._limits(),
                tomorrow=self._limits(self._balance, max(self._highest, self._balance)),
                day_start=self._midnight(self._day) if self._day else None,
                next_midnight=self._next_midnight,
                following_midnight=self._midnight(self._day, 2) if self._day else None,
                broken=frozenset(self._breaches),
                at=self._now if at is None else at,
            )

    @property
    def floors(self) -> tuple[LossFloor, ...]:
        """The floors of `headroom()`, without the use of the limits."""
        if self._day is None:
            return ()
        with localcontext(CONTEXT):
            return floors_of_days(
                self._rules.stops,
                today=self._limits(),
                tomorrow=self._limits(self._balance, max(self._highest, self._balance)),
                midnights=(self._midnight(self._day), self._next_midnight, self._midnight(self._day, 2)),
                is_broken=bool(self._breaches),
            )

    # Observations

    def observe(
        self, time: datetime, *, balance: Decimal, equity: Decimal, is_flat: bool, opened_at: datetime | None = None
    ) -> tuple[AccountBreach, ...]:
        """Record balance and equity at an instant; return the new breaches, including those at midnights in between.

        is_flat: whether no position is open. opened_at: when a position was opened (trading_days.py defines that), at or before
        `time`. A day before the newest trading day is not counted, because it may have been counted already. Raises
        FtmoEventError if `time` is before the last observation.
        """
        time = aware(time, "time")
        self.refuse_time(time)
        known = len(self._breaches)
        with localcontext(CONTEXT):
            self._advance(time)
            self._balance, self._equity = balance, equity
            if opened_at is not None:
                self._count(aware(opened_at, "opened_at").astimezone(self._zone).date())
            self._check_limits(time)
            self._check_target(time, is_flat=is_flat)
        return tuple(self._breaches.values())[known:]

    def advance(self, time: datetime) -> tuple[AccountBreach, ...]:
        """Let time pass without events. Midnights move limits, which may break a rule. Raises FtmoEventError for the past."""
        time = aware(time, "time")
        self.refuse_time(time)
        known = len(self._breaches)
        with localcontext(CONTEXT):
            self._advance(time)
        return tuple(self._breaches.values())[known:]

    def refuse_time(self, time: datetime) -> None:
        """Raise FtmoEventError for an instant before the last observation, or more than ten years after it."""
        if self._now is None:
            return
        if time < self._now:
            raise FtmoEventError(f"expected a time not before {self._now.isoformat()}, got {time.isoformat()}")
        if time - self._now > MAX_SILENCE:
            raise FtmoEventError(f"expected a time within ten years of {self._now.isoformat()}, got {time.isoformat()}")

    # Storage

    def state(self) -> FtmoRuleState:
        """Return everything that `restore` needs. Finished days are not included; the caller keeps them."""
        return FtmoRuleState(
            rules_name=self._rules.name,
            rules_version=self._rules.version,
            phase=self._phase.name,
            capital=self._capital,
            balance=self._balance,
            equity=self._equity,
            now=self._now,
            day=self._day,
            baseline=self._baseline,
            highest_midnight_balance=self._highest,
            worst_equity=self._worst,
            breaches=tuple(self._breaches.values()),
            trading_days=self._trading_days,
            last_trading_day=self._last_trading_day,
            best_finished_day=self._best_finished_day,
            target_reached_at=self._target_reached_at,
        )

    @classmethod
    def restore(cls, rules: FtmoRules, state: FtmoRuleState) -> FtmoRuleMonitor:
        """Return the monitor in that state. Raises FtmoEventError unless `rules` are the stored rules or continue them."""
        if rules.name != state.rules_name or state.rules_version not in {rules.version, *rules.continues}:
            raise FtmoEventError(f"expected rules {state.rules_name} {state.rules_version}, got {rules.name} {rules.version}")
        monitor = cls(rules, state.capital, phase=state.phase)
        monitor._balance, monitor._equity, monitor._baseline = state.balance, state.equity, state.baseline
        monitor._highest, monitor._worst = state.highest_midnight_balance, state.worst_equity
        monitor._now, monitor._day = state.now, state.day
        if state.day is not None:
            monitor._next_midnight = monitor._midnight(state.day, 1)
        monitor._breaches = {breach.rule: breach for breach in state.breaches}
        monitor._trading_days, monitor._last_trading_day = state.trading_days, state.last_trading_day
        monitor._best_finished_day, monitor._target_reached_at = state.best_finished_day, state.target_reached_at
        return monitor

    # Implementation

    def _advance(self, time: datetime) -> None:
        if self._day is None:
            self._day = time.astimezone(self._zone).date()
            self._next_midnight = self._midnight(self._day, 1)
        while time >= self._next_midnight:
            midnight = self._next_midnight
            self._finished.append(self._today())
            self._best_finished_day = max(self._best_finished_day, self._balance - self._baseline)
            self._day = midnight.astimezone(self._zone).date()
            self._next_midnight = self._midnight(self._day, 1)
            self._baseline = self._balance
            self._highest = max(self._highest, self._balance)
            self._worst = self._equity
            self._check_limits(midnight)
        self._now = time

    def _count(self, day: date) -> None:
        if self._last_trading_day is None or day > self._last_trading_day:
            self._trading_days += 1
            self._last_trading_day = day

    def _check_limits(self, time: datetime) -> None:
        limits = self._limits()
        self._worst = min(self._worst, self._equity)
        for rule in LossRule:
            limit = limits.floor(rule)
            if self._equity < limit and rule not in self._breaches:
                self._breaches[rule] = AccountBreach(rule, time, limit, self._equity)

    def _check_target(self, time: datetime, *, is_flat: bool) -> None:
        if not is_flat or self._breaches or self._target_reached_at is not None or self._balance < self._target:
            return
        share = self._rules.best_day_fraction
        steady = share is None or self._best_day() <= share * (self._balance - self._capital)
        if steady and self._trading_days >= self._rules.minimum_trading_days:
            self._target_reached_at = time

    def _best_day(self) -> Decimal:
        return max(self._best_finished_day, self._balance - self._baseline)

    def _limits(self, baseline: Decimal | None = None, highest: Decimal | None = None) -> Limits:
        trails = self._rules.max_loss_reference is LossReference.TRAILING
        return Limits(
            daily_reference=self._baseline if baseline is None else baseline,
            daily_amount=self._daily_amount,
            max_reference=(self._highest if highest is None else highest) if trails else self._capital,
            max_amount=self._max_amount,
        )

    def _today(self) -> AccountDay:
        day = self._day
        if day is None:
            raise FtmoEventError("the account has no day yet: it has had no event")
        with localcontext(CONTEXT):
            return AccountDay(day, self._baseline, self._baseline - self._daily_amount, self._balance, self._worst)

    def _midnight(self, day: date, after: int = 0) -> datetime:
        """Return 00:00 local time of the date `after` days later, in UTC. Days have 23 or 25 hours when the clocks change."""
        return _midnight_of(self._zone, day + timedelta(days=after))


@lru_cache(maxsize=64)  # every step asks for the same three
def _midnight_of(zone: ZoneInfo, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
