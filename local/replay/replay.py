"""Replays history through the local cloud: at each five-minute boundary it sets the exchange's time, fires schedules, and waits.

All decisions are made by the deployed functions. The replay only controls the clock and measures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from local.cloud.clock import Firing
from local.cloud.local_cloud import LocalCloud, default_symbols
from local.errors import StuckError
from local.market.source import CandleHistory
from local.replay.summary import FAILED, OK, CycleTiming, ReplayRecord, expected_cycles, why_nothing_was_decided
from local.replay.view import CycleFacts, View
from local.settings import VENUE
from local.stand_ins.exchange import LoadedBars
from signalbox.contracts import BACKFILL_MINUTES, Function, Metric
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.market.clock import CYCLE, cycles_between
from signalbox.signals.ports import SymbolRefusal

HISTORY: Final = (BACKFILL_MINUTES + 60) * ONE_MINUTE  # what the first collection requests, plus a margin
CYCLE_SECONDS: Final = 90.0  # long enough for a cold start and a back-fill of days; a longer cycle is stuck
QUIET_SECONDS: Final = 60.0
FIRED_TWICE_EVERY: Final = 24  # cycles; one of them is delivered twice, to show that nothing is doubled
FIRED_TWICE_FIRST: Final = 6


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    @property
    def total(self) -> float:
        """Seconds since the stopwatch was created."""
        return time.monotonic() - self.began


def load_feed(source: CandleHistory, symbols: tuple[Symbol, ...], start: datetime, end: datetime) -> LoadedBars:
    """Load the bars for a replay of (start, end], with warm-up. Raises DataError if the data does not cover them."""
    source.coverage(symbols).require(
        start + CYCLE - HISTORY, end, f"the replay with its {HISTORY // ONE_MINUTE} minutes of history"
    )
    return LoadedBars({symbol: source.bars(symbol, start + CYCLE - HISTORY, end) for symbol in symbols})


class CycleReplay:
    """One replay of a period on the local cloud. Its results can be read while it runs."""

    def __init__(
        self, cloud: LocalCloud, view: View, *, source: str, start: datetime, end: datetime, fire_twice: bool = True
    ) -> None:
        self._cloud, self._view, self._source = cloud, view, source
        self._start, self._end, self._fire_twice = start, end, fire_twice
        self._collect = cloud.schedule_of(Function.COLLECT_CANDLES)
        self._relay = cloud.schedule_of(Function.RELAY_OUTBOX)
        self._monitor = cloud.schedule_of(Function.MONITOR_RISK)
        self.timings: list[CycleTiming] = []
        self.injected = 0
        self.warnings: list[str] = []
        self._refused: dict[str, str] = {}

    def run(self) -> None:
        """Replay every cycle, then wait until all queues are quiet. Raises StuckError."""
        total = expected_cycles(self._start, self._end)
        for number, cycle_at in enumerate(cycles_between(self._start, self._end), start=1):
            self.cycle(cycle_at)
            if self._fire_twice and number % FIRED_TWICE_EVERY == FIRED_TWICE_FIRST:
                self._fire(self._cloud.clock.fire(self._collect, cycle_at))
                self.injected += 1
            signals = self._cloud.ledger.signals(cycle_at - CYCLE, cycle_at)
            refusals = self._cloud.ledger.refusals(VENUE, cycle_at - CYCLE, cycle_at)
            self._report_refusals(refusals, {s.symbol for s in signals})
            sent = len(self._cloud.telegram.messages)
            elapsed = self.timings[-1].milliseconds
            accounts = self._cloud.accounts.lines(self._start, cycle_at)
            self._view.cycle(CycleFacts(number, total, cycle_at, elapsed, signals, refusals, sent, accounts))
        self._cloud.watch.until_quiet(seconds=QUIET_SECONDS)
        self._view.finished(len(self._cloud.telegram.messages))

    def cycle(self, cycle_at: datetime) -> None:
        """Fire what is due at one boundary; wait until the ledger has decided the cycle and the accounts have handled it."""
        self._cloud.exchange.set_time(cycle_at)
        began = time.perf_counter()
        self._fire(self._cloud.clock.fire(self._collect, cycle_at))
        self._cloud.watch.until_decided(cycle_at, seconds=CYCLE_SECONDS)
        self.timings.append(CycleTiming(cycle_at, (time.perf_counter() - began) * 1000))
        # wait, because an earlier event must not meet candles of a later cycle; live trading never does
        self._cloud.watch.until_traded(cycle_at, seconds=CYCLE_SECONDS)
        for schedule in (self._monitor, self._relay):
            if schedule.due(cycle_at):
                self._fire(self._cloud.clock.fire(schedule, cycle_at))

    def record(self, *, exit_: str, error: str | None, watch: Stopwatch) -> ReplayRecord:
        """Return the results so far, read from the ledger, the logs and the stand-ins."""
        cloud, symbols = self._cloud, self._cloud.symbols
        until = self.timings[-1].cycle_at if self.timings else self._start
        logs = cloud.logs
        ignored = sum(
            logs.total(function, Metric.DUPLICATES_IGNORED) for function in (Function.GENERATE_SIGNALS, Function.SEND_ALERTS)
        )
        dead = cloud.watch.dead_letters()
        if dead and exit_ == OK:
            exit_, error = FAILED, f"dead letters: {dead}; {cloud.watch.diagnosis()}"
        signals = cloud.ledger.signals(self._start, self._end)
        refusals = cloud.ledger.refusals(VENUE, self._start, self._end)
        if exit_ == OK and (nothing := why_nothing_was_decided(signals, refusals)) is not None:
            exit_, error = FAILED, nothing
        return ReplayRecord(
            source=self._source,
            symbols=symbols,
            start=self._start,
            end=self._end,
            timings=tuple(self.timings),
            signals=signals,
            refusals=refusals,
            bars={symbol: cloud.ledger.bars(VENUE, symbol, self._start, until) for symbol in symbols},
            accounts=cloud.accounts.record(self._start, until),
            alerts_sent=len(cloud.telegram.messages),
            messages=cloud.telegram.messages,
            duplicates_injected=self.injected,
            duplicates_ignored=round(ignored),
            warnings=tuple(self.warnings),
            wall_seconds=watch.total,
            stages_seconds=watch.seconds,
            exit=exit_,
            error=error,
            decided_until=until,
            dead_letters=dead,
        )

    def _fire(self, firing: Firing) -> None:
        if firing.error is not None:
            raise StuckError(f"{firing.schedule} failed {firing.attempts} times at {firing.instant:%H:%M}: {firing.error}")
        if firing.attempts > 1:
            self._warn(f"{firing.instant:%Y-%m-%d %H:%M} {firing.schedule} needed {firing.attempts} attempts")

    def _report_refusals(self, refusals: Sequence[SymbolRefusal], decided: set[str]) -> None:
        for refusal in refusals:
            if self._refused.get(refusal.symbol) != refusal.reason:  # report an outage once, not at every cycle
                self._refused[refusal.symbol] = refusal.reason
                self._warn(f"{refusal.cycle_at:%Y-%m-%d %H:%M} {refusal.symbol} refused: {refusal.reason} ({refusal.detail})")
        for symbol in decided & self._refused.keys():
            del self._refused[symbol]

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        self._view.warn(text)


def default_window(source: CandleHistory, hours: float, start: datetime | None) -> tuple[datetime, datetime]:
    """Return the window to replay: `hours` from `start`, else up to the source's default end. Cycles lie in (start, end]."""
    length = timedelta(hours=hours) // CYCLE * CYCLE
    if start is not None:
        return start, start + length
    end = source.default_end(default_symbols())
    return end - length, end
