"""Takes one account through a bar grid and a list of signals with the deployed steps, `apply_bars` and `enter`.

Nothing here fills, sizes, judges or books. This module only chooses the minutes to apply. With `every_bar` it applies all of
them, cycle by cycle, as the deployed functions do; otherwise only those of scan.py. Both give the same trades, days, refusals and
halts (a property test checks it). The only difference: there is no equity snapshot at every cycle.
The drawdown protection remembers the equity of every minute with an open trade. That memory has gaps where minutes are skipped.
If equity comes near the protection's threshold, the run therefore goes back by more than the protection's window and applies
every bar from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from signalbox.events import SignalGenerated
from signalbox.market.candles import Bars, Symbol
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.state import AccountDay, AccountStatus
from signalbox.risk.protections import STANDARD
from signalbox.risk.snapshot import HaltLevel, Lock
from signalbox.trading.account import TradingAccount
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import RiskEvent
from signalbox.trading.entries import enter, entry_key, objection_to, wanted_entry
from signalbox.trading.entry_plan import ENTRY_BARS, SignalSkipReason
from signalbox.trading.monitoring import Candles
from signalbox.trading.snapshot import equity_of
from signalbox.trading.state import AccountState, opened
from training.backtest.bar_grid import CYCLE_MINUTES, BarGrid
from training.backtest.headroom import is_exhausted, is_hopeless, least_entries
from training.backtest.record import BacktestRecord, Mark
from training.backtest.scan import QuietInterval, QuietLevels, is_quiet, levels_of, may_lock, quiet_interval, worst_minutes

_MEMORY: Final = STANDARD.drawdown_lookback_minutes + 180  # minutes; with gaps the memory may reach back by one more trade
_CHECKPOINT_EVERY: Final = 360  # minutes
_EVERY_BAR_FOR: Final = 360  # minutes, after equity came near the protection's threshold
_PROGRESS_EVERY: Final = 256  # signals


class BacktestEnding(StrEnum):
    """Why a run ended."""

    END_OF_DATA = "END_OF_DATA"
    TARGET_REACHED = "TARGET_REACHED"
    BREACHED = "BREACHED"  # a loss rule was broken; the account is over
    HALTED = "HALTED"  # the kill switch is set and nothing is open; a backtest has nobody to resume
    EXHAUSTED = "EXHAUSTED"  # nothing is open, and too little is left above the internal stop for any order to pass


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    start, end: minute counts. The account is opened at `start`; decisions lie in (start, end].
    every_bar: apply every bar. stop_at_target: end when every objective of the phase is met.
    stop_when_over: end when nothing can be traded any more; later signals are then counted instead of refused one by one.
    tells_refusals: record why a signal that changes nothing was passed over. It is most of a losing run's time, and no trade, day
    or balance depends on it. Without it, equity has no snapshot at a signal that was sure to be refused.
    """

    account: TradingAccount
    start: int
    end: int
    every_bar: bool = False
    stop_at_target: bool = False
    stop_when_over: bool = True
    tells_refusals: bool = True


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """The result of a run.

    signals_after: issued signals between the end of the run and the end of the period.
    """

    state: AccountState
    record: BacktestRecord
    ending: BacktestEnding
    ended_at: datetime
    signals_after: int
    watched: int  # calls of `apply_bars`

    @property
    def days(self) -> tuple[AccountDay, ...]:
        """Every day in the time zone of the loss rules; the last one as far as the run went. Empty without loss rules."""
        rules, stored = self.state.account.rules, self.state.loss_rules
        if rules is None or stored is None:
            return ()
        return (*self.record.days, *FtmoRuleMonitor.restore(rules, stored).days)


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    minute: int
    state: AccountState
    next_signal: int
    mark: Mark
    is_whole: bool  # every bar in the protections' memory before it was applied


def run(
    grid: BarGrid, signals: Sequence[SignalGenerated], plan: Plan, on_progress: Callable[[float, int], None] = lambda _f, _t: None
) -> BacktestRun:
    """Run an account.

    signals: BUY and SELL in time order; they may reach beyond the period.
    on_progress: called with the fraction done and the number of trades so far.
    """
    return _Engine(grid, signals, plan).run(on_progress)


class _Engine:
    def __init__(self, grid: BarGrid, signals: Sequence[SignalGenerated], plan: Plan) -> None:
        self._grid, self._plan = grid, plan
        # signals held back by the hourly limits are recorded elsewhere and never reach an account
        due = ((grid.minute(signal.decided_at), signal) for signal in signals if signal.issued)
        self._due = [(at, signal) for at, signal in due if plan.start < at <= plan.end]
        self._state = opened(plan.account, grid.instant(plan.start))
        self._least = least_entries(grid, [signal for _, signal in self._due], plan.account)
        self._record = BacktestRecord()
        self._next = 0  # index of the next signal in _due
        self._clock = plan.start  # the newest instant that was applied
        self._calls = 0
        self._every_bar_until = plan.end if plan.every_bar else -1
        self._zone_begins = plan.start  # every bar since then was applied, as far as the protections remember
        self._levels: QuietLevels | None = None  # of the current state
        self._ahead: tuple[AccountState, int, QuietInterval] | None = None  # found for this state and clock
        self._judged: AccountState | None = None  # the last account state that _ending found not to be over
        self._peaks: deque[tuple[int, float]] = deque()  # (minute, estimated equity), with falling equity
        self._checkpoints: deque[_Checkpoint] = deque()
        # the refusal that each set of locks gives an entry
        self._locked_out: dict[tuple[Symbol, tuple[Lock, ...]], RiskEvent] = {}

    def run(self, on_progress: Callable[[float, int], None]) -> BacktestRun:
        plan, reported = self._plan, 0
        first = min(plan.start + CYCLE_MINUTES, plan.end)  # applying the first cycle begins the account's first day
        self._watch(self._grid.newest(plan.start, first), first)
        while True:
            if (ending := self._ending()) is not None:
                return self._ended(ending)
            at, signal = self._due[self._next] if self._next < len(self._due) else (plan.end, None)
            self._keep_checkpoint()
            must_watch = signal is None or not self._is_passed_over(signal)
            if signal is not None and must_watch and self._is_sure_to_be_refused(at):
                self._clock, self._judged = at, None  # one signal less may be the end
                self._next += 1
                continue
            if not self._until(at, must_watch=must_watch):
                continue  # the run went back to a checkpoint
            if signal is None:
                return self._ended(self._ending() or BacktestEnding.END_OF_DATA)
            if not must_watch and not self._is_passed_over(signal):
                continue  # the trade that blocked it has ended: apply the bars up to the signal
            if must_watch or plan.tells_refusals:
                self._enter(signal, at, keep=must_watch)
            self._next += 1
            if self._next - reported >= _PROGRESS_EVERY:
                reported = self._next
                on_progress((at - plan.start) / (plan.end - plan.start), len(self._record.trades))

    def _ended(self, ending: BacktestEnding) -> BacktestRun:
        left = len(self._due) - self._next
        return BacktestRun(self._state, self._record, ending, self._grid.instant(self._clock), left, self._calls)

    def _is_passed_over(self, signal: SignalGenerated) -> bool:
        """Whether a signal changes nothing at any price: its symbol has a trade, or the account is halted or locked."""
        state, at = self._state, signal.decided_at
        if Symbol(signal.symbol) in state.trades:
            return True
        if state.halt is not None and state.halt.level_at(at) is not HaltLevel.NONE:
            return True
        return any(lock.stops(signal.symbol, at) for lock in state.locks)

    def _is_sure_to_be_refused(self, at: int) -> bool:
        """Whether the next signal needs no look, because headroom is too small for it, and nobody asks for the refusal."""
        if self._plan.tells_refusals or not self._state.is_idle or self._watches_all() or self._state.watched_until is None:
            return False
        return is_hopeless(self._state, self._grid.instant(at), self._least, self._next)

    def _ending(self) -> BacktestEnding | None:
        plan, state = self._plan, self._state
        if state is self._judged or not state.is_idle:
            return None
        status = self._known_levels().status
        if plan.stop_at_target and status is AccountStatus.TARGET_REACHED:
            return BacktestEnding.TARGET_REACHED
        if plan.stop_when_over:
            if status is AccountStatus.BREACHED:
                return BacktestEnding.BREACHED
            if state.halt is not None and state.halt.level is not HaltLevel.NONE and state.halt.until is None:
                return BacktestEnding.HALTED
            if is_exhausted(state, self._grid.instant(self._clock), self._least, self._next):
                return BacktestEnding.EXHAUSTED
        self._judged = state
        return None

    def _known_levels(self) -> QuietLevels:
        if self._levels is None:
            self._levels = levels_of(self._state)
        return self._levels

    # Signals

    def _enter(self, signal: SignalGenerated, at: int, *, keep: bool) -> None:
        bars = self._grid.known_bars(Symbol(signal.symbol), at, ENTRY_BARS)
        locks = () if keep else self._locks_before(signal, at)
        if locks and self._is_sent(signal, bars, at):
            self._refuse(signal, bars, at, locks)
            return
        state, changes = enter(self._state, signal, bars, self._grid.instant(at))
        if not keep:  # other breaches and the snapshot id would belong to another minute
            changes = replace(changes, risk=tuple(replace(line, detail="", snapshot_id=None) for line in changes.risk))
        self._record.take(self._state, state, changes)
        if keep:  # else only the reason is recorded, because the bars before the signal are not applied yet
            self._state = state
            self._levels = None

    def _locks_before(self, signal: SignalGenerated, at: int) -> tuple[Lock, ...]:
        """Return the locks that refuse an entry whatever the other checks find; none if a halt takes precedence."""
        state, instant = self._state, self._grid.instant(at)
        newest = state.books.newest
        if state.halt is not None and state.halt.level_at(instant) is not HaltLevel.NONE:
            return ()
        if max(state.watched_until or instant, instant if newest is None else newest.at) > instant:
            return ()  # the signal would be judged at a later instant than its own
        return tuple(lock for lock in state.locks if lock.stops(signal.symbol, instant))

    def _is_sent(self, signal: SignalGenerated, bars: Bars, at: int) -> bool:
        """Whether a signal would lead to an order that is recorded and checked."""
        state = self._state
        if entry_key(state, signal) in state.orders or state.account.follows is not None:
            return False
        if objection_to(state, signal, self._grid.instant(at)) is not None:
            return False
        return not isinstance(wanted_entry(state, signal, bars), SignalSkipReason)

    def _refuse(self, signal: SignalGenerated, bars: Bars, at: int, locks: tuple[Lock, ...]) -> None:
        """Record that locks refused a signal. The steps word the first refusal of a set of locks; later ones repeat it.

        Four of five signals of a losing account arrive while entries are locked. Their checks took half the time of a run.
        """
        state, instant = self._state, self._grid.instant(at)
        name = (Symbol(signal.symbol), locks)
        line = self._locked_out.get(name)
        if line is None:
            _, changes = enter(state, signal, bars, instant)
            (judged,) = changes.risk
            line = self._locked_out[name] = replace(judged, detail="", snapshot_id=None)
        self._record.risk.append(replace(line, key=entry_key(state, signal), at=instant))

    # Time

    @property
    def _watched_to(self) -> int:
        until = self._state.watched_until
        return self._plan.start if until is None else self._grid.minute(until)

    def _until(self, at: int, *, must_watch: bool) -> bool:
        """Apply what happens up to `at`. With `must_watch` the minute of `at` itself is applied in any case.

        Returns False if the run went back to an earlier instant.
        """
        while self._clock < at:
            if self._watches_all():
                cycle = (self._clock // CYCLE_MINUTES + 1) * CYCLE_MINUTES
                self._watch(self._grid.candles(self._watched_to, min(cycle, at)), min(cycle, at))
            elif self._state.is_idle:
                if must_watch:
                    self._watch(self._grid.newest(self._watched_to, at), at)
                return True
            elif not is_quiet(self._state):
                self._visit(self._clock + 1)
            else:
                part = self._next_interval()
                if part.stop > at and not must_watch:
                    return True
                if not self._go_through(part, min(part.stop, at)):
                    return False
        return True

    def _watches_all(self) -> bool:
        """Whether every bar must be applied: on request, near the drawdown protection, or where bars are missing."""
        if self._clock < self._every_bar_until:
            return True
        if self._state.is_idle:
            return False
        return self._watched_to < self._clock or bool(self._grid.is_ragged[self._clock // CYCLE_MINUTES])

    def _next_interval(self) -> QuietInterval:
        """Return the quiet interval before the next minute that must be applied; signals passed over ask for it again."""
        known = self._ahead
        if known is not None and known[0] is self._state and known[1] == self._clock:
            return known[2]
        ragged = int(self._grid.next_ragged[self._clock // CYCLE_MINUTES]) * CYCLE_MINUTES
        stop = min(ragged, self._plan.end)
        found = quiet_interval(self._grid, self._state, self._known_levels(), self._clock, stop)
        self._ahead = self._state, self._clock, found
        return found

    def _go_through(self, part: QuietInterval, stop: int) -> bool:
        """Apply the minute that closes at `stop`, and before it the minutes that set today's worst equity."""
        part = part.until(stop)
        if self._comes_near(float(part.value.min()), float(part.value.max())):
            self._go_back()
            return False
        for minute in worst_minutes(part, self._known_levels()):
            self._visit(minute + 1)
        self._remember(stop, float(part.value.max()))
        self._visit(stop)
        return True

    def _visit(self, instant: int) -> None:
        self._watch(self._grid.candles(instant - 1, instant), instant)

    def _watch(self, candles: Candles, at: int) -> None:
        state, changes = apply_bars(self._state, candles, self._grid.instant(at))
        self._record.take(self._state, state, changes)
        self._state, self._levels, self._clock = state, None, at
        self._calls += 1
        self._remember(at, self._equity())

    # Near the drawdown protection

    def _equity(self) -> float:
        """The equity at the current marks, as a float."""
        return float(equity_of(self._state))

    def _remember(self, at: int, equity: float) -> None:
        while self._peaks and self._peaks[0][0] < at - _MEMORY:
            self._peaks.popleft()
        while self._peaks and self._peaks[-1][1] <= equity:
            self._peaks.pop()
        self._peaks.append((at, equity))

    def _comes_near(self, least: float, highest: float) -> bool:
        peak = max(highest, self._peaks[0][1] if self._peaks else highest)
        return may_lock(peak, least)

    def _keep_checkpoint(self) -> None:
        if self._plan.every_bar:
            return
        in_zone = self._clock <= self._every_bar_until
        if self._checkpoints and self._clock - self._checkpoints[-1].minute < (1 if in_zone else _CHECKPOINT_EVERY):
            return
        while len(self._checkpoints) > 1 and self._checkpoints[1].minute < self._clock - 2 * _MEMORY:
            self._checkpoints.popleft()
        is_whole = not self._checkpoints or (in_zone and self._clock - self._zone_begins >= _MEMORY)
        self._checkpoints.append(_Checkpoint(self._clock, self._state, self._next, self._record.mark(), is_whole=is_whole))

    def _go_back(self) -> None:
        """Return to a checkpoint where the protections' memory is complete, or will be by now, and apply every bar from there."""
        now = self._clock
        while len(self._checkpoints) > 1 and not self._checkpoints[-1].is_whole and self._checkpoints[-1].minute > now - _MEMORY:
            self._checkpoints.pop()
        found = self._checkpoints[-1]
        self._zone_begins = found.minute - _MEMORY if found.is_whole else found.minute
        self._every_bar_until = now + _EVERY_BAR_FOR
        self._state, self._levels, self._judged = found.state, None, None
        self._next, self._clock = found.next_signal, found.minute
        self._record.cut(found.mark)
