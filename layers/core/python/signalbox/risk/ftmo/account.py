"""FtmoAccount: one account under one rule set, event by event. It owns its state; each event costs the same, however many came.

* The balance moves with commissions (at once) and closed profit with its swaps; equity = balance + floating + booked swaps.
* A price that traded (open, close) is a mark of its symbol; a symbol without any other price is worth its entry.
* 00:00 of the rules' time zone belongs to the new day and comes before the events stamped with it: the balance becomes the
  day's baseline, limits move, and the account is judged there and then, with no price having moved.
* The account is judged after every event; each rule's first breach is kept for ever. A refused event changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from signalbox.market.candles import Symbol
from signalbox.risk.errors import FtmoEventError
from signalbox.risk.ftmo.events import Closed, FtmoEvent, Marked, Opened, PositionId, Swapped
from signalbox.risk.ftmo.headroom import Headroom, Limits, headroom_of
from signalbox.risk.ftmo.rules import FtmoRules, LossReference
from signalbox.risk.ftmo.state import AccountBreach, AccountDay, AccountState, AccountStatus, OpenPosition, SymbolTotals
from signalbox.risk.numbers import CONTEXT, ZERO, aware, positive
from signalbox.risk.order import Side
from signalbox.risk.snapshot import LossRule

MAX_SILENCE: Final = timedelta(days=3_660)  # a longer gap is a wrong date, and would make a record a day
_NOTHING: Final = SymbolTotals(ZERO, ZERO, ZERO)


class FtmoAccount:
    """An account of `capital` from its first event on. Raises RiskError for a capital not above 0, KeyError for the phase."""

    def __init__(self, rules: FtmoRules, capital: Decimal, *, phase: str | None = None) -> None:
        self._rules = rules
        self._zone = ZoneInfo(rules.time_zone)
        self._phase = rules.phase(phase)
        self._capital = positive(capital, "capital")
        with localcontext(CONTEXT):
            self._daily_amount = self._capital * rules.daily_loss_fraction
            self._max_amount = self._capital * rules.max_loss_fraction
            self._target = self._capital * (1 + self._phase.profit_target_fraction)
        self._balance = self._baseline = self._highest = self._worst = self._capital
        self._positions: dict[PositionId, OpenPosition] = {}
        self._totals: dict[Symbol, SymbolTotals] = {}
        self._floating = self._swaps = ZERO
        self._now: datetime | None = None
        self._day: date | None = None
        self._next_midnight = datetime.min.replace(tzinfo=UTC)
        self._finished: list[AccountDay] = []
        self._breaches: dict[LossRule, AccountBreach] = {}
        self._trading_days = 0
        self._last_trading_day: date | None = None
        self._best_finished_day = ZERO
        self._target_reached_at: datetime | None = None

    # What it is now

    @property
    def balance(self) -> Decimal:
        """Closed balance, commissions taken off."""
        return self._balance

    @property
    def equity(self) -> Decimal:
        """Balance + floating profit + swaps of open positions."""
        with localcontext(CONTEXT):
            return self._equity()

    @property
    def positions(self) -> Mapping[PositionId, OpenPosition]:
        """What is open (a view)."""
        return MappingProxyType(self._positions)

    @property
    def breaches(self) -> tuple[AccountBreach, ...]:
        """The first breach of each rule, in time order."""
        return tuple(self._breaches.values())

    @property
    def status(self) -> AccountStatus:
        """Breached, once any rule broke; else whether every objective was met at some moment with nothing open."""
        if self._breaches:
            return AccountStatus.BREACHED
        return AccountStatus.ACTIVE if self._target_reached_at is None else AccountStatus.TARGET_REACHED

    @property
    def trading_days(self) -> int:
        """Days on which a position was opened."""
        return self._trading_days

    @property
    def best_day_share(self) -> Decimal | None:
        """Closed profit of the best day as a share of all profit; None while there is no profit."""
        with localcontext(CONTEXT):
            total = self._balance - self._capital
            return self._best_day() / total if total > ZERO else None

    @property
    def days(self) -> tuple[AccountDay, ...]:
        """Every day so far, the last one unfinished; days without events included. After `restore`, from that day on."""
        return (*self._finished, self._today()) if self._day is not None else ()

    def limit(self, rule: LossRule) -> Decimal:
        """Equity below which the rule is broken now."""
        with localcontext(CONTEXT):
            return self._limits().floor(rule)

    def headroom(self) -> Headroom:
        """How much of each limit is used, what that asks for, and the limits the next midnight will bring."""
        with localcontext(CONTEXT):
            return headroom_of(
                self._rules.stops,
                equity=self._equity(),
                today=self._limits(),
                tomorrow=self._limits(self._balance, max(self._highest, self._balance)),
                day_start=self._midnight(self._day) if self._day else None,
                next_midnight=self._next_midnight,
                following_midnight=self._midnight(self._day, 2) if self._day else None,
                broken=frozenset(self._breaches),
            )

    def worst_prices(self, ranges: Mapping[Symbol, tuple[Decimal, Decimal]]) -> Mapping[Symbol, Decimal]:
        """Of (low, high) since the last look, the price that hurts: low where the account is long, high where it is short."""
        return {s: low if self._totals.get(s, _NOTHING).quantity >= ZERO else high for s, (low, high) in sorted(ranges.items())}

    # What happens to it

    def apply(self, event: FtmoEvent) -> tuple[AccountBreach, ...]:
        """Take one event and return the breaches it brought, those of midnights since the last one included.

        Raises FtmoEventError when it cannot have happened: before the last event, a position that is open already or is
        not open. Then nothing has changed.
        """
        self._refuse_impossible(event)
        known = len(self._breaches)
        with localcontext(CONTEXT):
            self._advance(event.time)
            match event:
                case Opened():
                    self._open(event)
                case Closed():
                    self._close(event)
                case Marked():
                    for symbol, price in event.prices.items():
                        self._set(symbol, replace(self._totals.get(symbol, _NOTHING), mark=price))
                case Swapped():
                    position = self._positions[event.position]
                    self._positions[event.position] = replace(position, swap=position.swap + event.amount)
                    self._swaps += event.amount
                case _:
                    assert_never(event)
            self._judge(event.time)
            self._look_for_target(event.time)
        return tuple(self._breaches.values())[known:]

    def advance(self, time: datetime) -> tuple[AccountBreach, ...]:
        """Let time pass with nothing happening: midnights roll, and may break a rule. Raises FtmoEventError for the past."""
        time = aware(time, "time")
        self._refuse_time(time)
        known = len(self._breaches)
        with localcontext(CONTEXT):
            self._advance(time)
        return tuple(self._breaches.values())[known:]

    # Storing it

    def state(self) -> AccountState:
        """Return everything `restore` needs; finished days are the caller's to keep."""
        return AccountState(
            rules_name=self._rules.name,
            rules_version=self._rules.version,
            phase=self._phase.name,
            capital=self._capital,
            balance=self._balance,
            positions=MappingProxyType(dict(self._positions)),
            totals=MappingProxyType(dict(self._totals)),
            now=self._now,
            day=self._day,
            baseline=self._baseline,
            highest_midnight_balance=self._highest,
            worst_equity=self._worst,
            breaches=MappingProxyType(dict(self._breaches)),
            trading_days=self._trading_days,
            last_trading_day=self._last_trading_day,
            best_finished_day=self._best_finished_day,
            target_reached_at=self._target_reached_at,
        )

    @classmethod
    def restore(cls, rules: FtmoRules, state: AccountState) -> FtmoAccount:
        """Return the account as it was. Raises FtmoEventError when the rules are not those it was kept under."""
        if (rules.name, rules.version) != (state.rules_name, state.rules_version):
            raise FtmoEventError(f"expected rules {state.rules_name} {state.rules_version}, was {rules.name} {rules.version}")
        account = cls(rules, state.capital, phase=state.phase)
        account._balance, account._baseline = state.balance, state.baseline
        account._highest, account._worst = state.highest_midnight_balance, state.worst_equity
        account._positions, account._totals = dict(state.positions), dict(state.totals)
        with localcontext(CONTEXT):
            account._floating = sum((t.floating for t in state.totals.values()), ZERO)
            account._swaps = sum((p.swap for p in state.positions.values()), ZERO)
        account._now, account._day = state.now, state.day
        if state.day is not None:
            account._next_midnight = account._midnight(state.day, 1)
        account._breaches = dict(state.breaches)
        account._trading_days, account._last_trading_day = state.trading_days, state.last_trading_day
        account._best_finished_day, account._target_reached_at = state.best_finished_day, state.target_reached_at
        return account

    # How

    def _refuse_impossible(self, event: FtmoEvent) -> None:
        self._refuse_time(event.time)
        match event:
            case Opened():
                if event.position in self._positions:
                    raise FtmoEventError(f"position {event.position}: expected a new one, is open already")
            case Closed() | Swapped():
                if event.position not in self._positions:
                    raise FtmoEventError(f"position {event.position}: expected an open one, is not open")
            case Marked():
                pass
            case _:
                assert_never(event)

    def _refuse_time(self, time: datetime) -> None:
        if self._now is None:
            return
        if time < self._now:
            raise FtmoEventError(f"expected a time not before {self._now.isoformat()}, was {time.isoformat()}")
        if time - self._now > MAX_SILENCE:
            raise FtmoEventError(f"expected a time within ten years of {self._now.isoformat()}, was {time.isoformat()}")

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
            self._worst = self._equity()
            self._judge(midnight)
        self._now = time

    def _open(self, event: Opened) -> None:
        quantity = event.quantity if event.side is Side.BUY else -event.quantity
        self._positions[event.position] = OpenPosition(event.symbol, quantity, event.price, ZERO)
        before = self._totals.get(event.symbol, _NOTHING)
        self._set(event.symbol, SymbolTotals(before.quantity + quantity, before.cost + quantity * event.price, event.price))
        self._balance -= event.commission
        if self._day != self._last_trading_day:
            self._trading_days += 1
            self._last_trading_day = self._day

    def _close(self, event: Closed) -> None:
        position = self._positions.pop(event.position)
        before = self._totals[position.symbol]
        cost = before.cost - position.quantity * position.price
        self._set(position.symbol, SymbolTotals(before.quantity - position.quantity, cost, event.price))
        self._swaps -= position.swap
        self._balance += position.quantity * (event.price - position.price) + position.swap - event.commission

    def _set(self, symbol: Symbol, totals: SymbolTotals) -> None:
        before = self._totals.get(symbol)
        self._floating += totals.floating - (before.floating if before else ZERO)
        self._totals[symbol] = totals

    def _judge(self, time: datetime) -> None:
        equity, limits = self._equity(), self._limits()
        self._worst = min(self._worst, equity)
        for rule in LossRule:
            limit = limits.floor(rule)
            if equity < limit and rule not in self._breaches:
                self._breaches[rule] = AccountBreach(rule, time, limit, equity)

    def _look_for_target(self, time: datetime) -> None:
        if self._positions or self._breaches or self._target_reached_at is not None or self._balance < self._target:
            return
        share = self._rules.best_day_fraction
        steady = share is None or self._best_day() <= share * (self._balance - self._capital)
        if steady and self._trading_days >= self._rules.minimum_trading_days:
            self._target_reached_at = time

    def _equity(self) -> Decimal:
        return self._balance + self._floating + self._swaps

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
            raise FtmoEventError("expected an account that has begun, was one without events")
        with localcontext(CONTEXT):
            return AccountDay(day, self._baseline, self._baseline - self._daily_amount, self._balance, self._worst)

    def _midnight(self, day: date, after: int = 0) -> datetime:
        """Return 00:00 local of a day, `after` days on, in UTC: days last 23 or 25 hours when the clocks change."""
        local = day + timedelta(days=after)
        return datetime(local.year, local.month, local.day, tzinfo=self._zone).astimezone(UTC)
