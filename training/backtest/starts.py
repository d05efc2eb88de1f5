"""How often an account would have passed its phase if it had started on another day: one run of the engine per start date.

Runs that start close together see the same market and are not independent. The interval therefore resamples whole months of start
dates. If none or all pass, the interval assumes as many runs as fit into the period one after the other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal as signals_of_the_system
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.pool import Pool
from typing import Any, Final

import numpy as np

from signalbox.events import SignalGenerated
from signalbox.market.candles import ONE_MINUTE
from signalbox.trading.account import TradingAccount
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestEnding, BacktestRun, Plan, run
from training.judge.estimates import Estimate, mean_by_day
from training.parent import end_with_parent

DAY: Final = timedelta(days=1)
LEAST_MONTHS: Final = 3  # fewest months of start dates that can be resampled


@dataclass(frozen=True, slots=True)
class Attempt:
    """One account from one start date until its phase was decided or the candles ended."""

    start: datetime
    ending: BacktestEnding
    ended_at: datetime
    rule: str | None  # the rule that was broken
    trades: int
    profit: float  # fraction of the capital, from the closing balance

    @property
    def days(self) -> float:
        """The length of the attempt in days."""
        return (self.ended_at - self.start) / DAY

    @property
    def is_decided(self) -> bool:
        """Whether the attempt ended for another reason than the end of the candles."""
        return self.ending is not BacktestEnding.END_OF_DATA

    @classmethod
    def of(cls, start: datetime, found: BacktestRun) -> Attempt:
        """Return the attempt that a run describes."""
        breached = [line.code for line in found.record.risk if line.kind == "LIMIT_BREACHED"]
        capital = found.state.account.capital
        profit = float((found.state.books.balance - capital) / capital)
        rule = str(breached[0]) if breached else None
        return cls(start, found.ending, found.ended_at, rule, len(found.record.trades), profit)


@dataclass(frozen=True, slots=True)
class Passing:
    """All attempts.

    probability: share of the decided attempts that passed, or None if no attempt was decided.
    independent_runs: the number of runs that fit into the period one after the other.
    """

    attempts: tuple[Attempt, ...]
    probability: Estimate | None
    independent_runs: float
    interval: str  # how the interval was made

    def to_json(self) -> dict[str, Any]:
        """Return the result and its attempts as JSON."""
        decided = [one for one in self.attempts if one.is_decided]
        passed = sorted(one.days for one in decided if one.ending is BacktestEnding.TARGET_REACHED)
        p = self.probability
        return {
            "probability": None if p is None else {"value": p.value, "low": p.low, "high": p.high, "n": p.n},
            "interval": self.interval,
            "independent_runs": round(self.independent_runs, 2),
            "starts": len(self.attempts),
            "decided": len(decided),
            "undecided_share": 1 - len(decided) / len(self.attempts) if self.attempts else None,
            "endings": dict(Counter(one.ending.value for one in self.attempts)),
            "breached_by_rule": dict(Counter(one.rule for one in self.attempts if one.rule is not None)),
            "days_to_pass": None
            if not passed
            else {name: float(np.quantile(passed, q)) for name, q in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))},
            "attempts": [
                {
                    "start": one.start.isoformat(),
                    "ending": one.ending.value,
                    "ended_at": one.ended_at.isoformat(),
                    "days": round(one.days, 3),
                    "rule": one.rule,
                    "trades": one.trades,
                    "profit": one.profit,
                }
                for one in self.attempts
            ],
        }


def start_dates(start: datetime, end: datetime, count: int) -> tuple[datetime, ...]:
    """Return at most `count` UTC midnights, spread evenly over the period. The first is at or after its start."""
    first = start if start == start.replace(hour=0, minute=0) else start.replace(hour=0, minute=0) + DAY
    days = int((end - first) / DAY)
    if days < 1 or count < 1:
        return ()
    chosen = sorted({round(i * days / count) for i in range(count)})
    return tuple(first + day * DAY for day in chosen if day < days)


def attempt_plan(account: TradingAccount, start: int, end: int) -> Plan:
    """Return the plan of an attempt: until its phase is decided, without the reasons of refusals, which no result of it shows."""
    return Plan(account, start, end, stop_at_target=True, tells_refusals=False)


@contextmanager
def attempting(
    grid: BarGrid, signals: Sequence[SignalGenerated], account: TradingAccount, starts: Sequence[datetime], *, end: int
) -> Iterator[Callable[[Callable[[float], None]], tuple[Attempt, ...]]]:
    """Run the account from every start date in other processes, one per core, while the caller does something else.

    Give a function that waits for them and returns all attempts; it is told a function that takes the fraction done.
    """
    work = _Work(grid, tuple(signals), account, tuple(starts), end)
    with _workers(work, len(starts)) as results:

        def collect(on_progress: Callable[[float], None]) -> tuple[Attempt, ...]:
            done: list[tuple[int, Attempt]] = []
            for one in results:
                done.append(one)
                on_progress(len(done) / len(starts))
            return tuple(found for _, found in sorted(done, key=lambda pair: pair[0]))

        yield collect


def judge_attempts(attempts: Sequence[Attempt], end: datetime) -> Passing:
    """Return the share of decided attempts that passed, with its interval."""
    decided = [one for one in attempts if one.is_decided]
    if not decided:
        return Passing(tuple(attempts), None, 0.0, "no attempt was decided before the candles ended")
    length = float(np.mean([one.days for one in decided]))
    independent = max((end - attempts[0].start) / DAY / max(length, ONE_MINUTE / DAY), 1.0)
    independent = min(independent, float(len(decided)))
    passed = np.array([one.ending is BacktestEnding.TARGET_REACHED for one in decided], dtype=np.float64)
    months = np.array([one.start.year * 12 + one.start.month for one in decided], dtype=np.int64)
    value, n = float(passed.mean()), len(decided)
    if value in {0.0, 1.0} or np.unique(months).shape[0] < LEAST_MONTHS:
        reach = 1 - 0.05 ** (1 / independent)  # largest rate that gives no case in so many runs with 5 % probability
        bounds = Estimate(value, 0.0 if value < 1 else 1 - reach, reach if value == 0 else 1.0, n)
        return Passing(tuple(attempts), bounds, independent, "as many runs as fit one after the other")
    return Passing(tuple(attempts), mean_by_day(passed, months), independent, "months of start dates resampled")


# Processes inherit the bar grid instead of receiving a copy


@dataclass(frozen=True, eq=False)
class _Work:
    grid: BarGrid
    signals: tuple[SignalGenerated, ...]
    account: TradingAccount
    starts: tuple[datetime, ...]
    end: int

    def __call__(self, number: int) -> tuple[int, Attempt]:
        start = self.starts[number]
        plan = attempt_plan(self.account, self.grid.minute(start), self.end)
        return number, Attempt.of(start, run(self.grid, self.signals, plan))


_inherited: list[_Work] = []  # in a child process: the parent's work at the time of the fork


def _one(number: int) -> tuple[int, Attempt]:
    return _inherited[-1](number)


def _leave_interrupts_to_the_parent() -> None:
    end_with_parent()
    signals_of_the_system.signal(signals_of_the_system.SIGINT, signals_of_the_system.SIG_IGN)


@contextmanager
def _workers(work: _Work, count: int) -> Iterator[Iterator[tuple[int, Attempt]]]:
    workers = min(os.cpu_count() or 1, count)
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield map(work, range(count))
        return
    _inherited.append(work)
    pool: Pool = multiprocessing.get_context("fork").Pool(workers, _leave_interrupts_to_the_parent)
    try:
        yield pool.imap_unordered(_one, range(count))
    finally:
        pool.terminate()
        pool.join()
        _inherited.pop()
