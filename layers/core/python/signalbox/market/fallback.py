"""Uses a fallback venue's bars when the stage's own venue is down, and returns to the own venue when it answers again.

A symbol's decision uses bars of one venue only. So a fallback is not a patch for missing minutes: it is a second series with its
own history, kept current every hour, and the whole window of a decision comes from it. The bars of all symbols are collected
there, because features compare a symbol with the reference symbol of the same venue.

The own venue is down if it gives an error, no candle at all, or no bar of the five minutes of this cycle. Once a symbol is
decided on a fallback it stays there until its own venue has answered `RETURN_AFTER` cycles in a row, so that decisions do not
alternate between prices of two venues. Decision: docs/decisions/0112.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.market.collection import (
    Announcer,
    CandleSource,
    CollectionReport,
    CursorStore,
    LookAgain,
    SymbolCollection,
    VenuePulse,
    announce_cycle,
    collect_symbol,
)

RETURN_AFTER: Final = 3  # cycles in a row in which the own venue answered: a quarter of an hour
PROMPT_SECONDS: Final = 2.0  # a run that takes longer than this decides late, and says so
_KEEP_CURRENT_MINUTE: Final = 0  # of the hour: in that cycle the bars of fallbacks are collected too


@dataclass(frozen=True, slots=True)
class Standing:
    """Whose bars a symbol uses. venue: None for the stage's own. answered: cycles in a row in which the own venue answered."""

    venue: str | None
    answered: int
    cycle_at: datetime


class StandingStore(Protocol):
    """Stores standings from one run to the next."""

    def read(self, symbol: Symbol) -> Standing | None:
        """Return the newest standing; None if there is none."""

    def write(self, symbol: Symbol, standing: Standing) -> None:
        """Keep a standing, unless that of the same or a newer cycle is kept."""


@dataclass(frozen=True, slots=True)
class CandleVenues:
    """The venues of a stage.

    quick: by venue, a source that gives up within seconds. It asks whether a venue is back and keeps fallbacks current, and
    neither may delay a cycle for long.
    """

    own: CandleSource
    fallbacks: tuple[CandleSource, ...]
    quick: Mapping[str, CandleSource]


def collect_with_fallback(
    scheduled_at: datetime,
    symbols: Sequence[Symbol],
    *,
    venues: CandleVenues,
    standings: StandingStore,
    cursors: CursorStore,
    bus: Announcer,
    again: LookAgain | None = None,
) -> CollectionReport:
    """Collect every symbol for the cycle of `scheduled_at`, each from its own venue or a fallback, and announce the result."""
    looks = again or LookAgain()
    run = _Run(cycle_of(scheduled_at), symbols, venues, {s: standings.read(s) for s in symbols}, cursors, looks)
    run.ask_all()
    for symbol in symbols:
        run.choose(symbol)
    for source in venues.fallbacks:
        run.replace_from(source)
    decided, others = run.result()
    report = announce_cycle(venues.own.venue, run.cycle_at, decided, others, cursors=cursors, bus=bus)
    for symbol, standing in run.after.items():
        standings.write(symbol, standing)
    return report


class _Run:
    """One run: what each venue gave for each symbol, and which of it a decision is made on."""

    def __init__(  # noqa: PLR0917 - what to collect, from where, and what is known
        self,
        cycle_at: datetime,
        symbols: Sequence[Symbol],
        venues: CandleVenues,
        before: Mapping[Symbol, Standing | None],
        cursors: CursorStore,
        again: LookAgain,
    ) -> None:
        self.cycle_at = cycle_at
        self.after: dict[Symbol, Standing] = {}
        self._symbols, self._venues, self._cursors, self._again = symbols, venues, cursors, again
        self._began = again.monotonic()
        self._once = replace(again, pauses=())
        known = {source.venue for source in venues.fallbacks}
        self._before = {s: one for s, one in before.items() if one is not None and one.venue in known}  # who is on a fallback
        self._found: dict[tuple[str, Symbol], SymbolCollection] = {}
        self._chosen: dict[Symbol, SymbolCollection] = {}
        self._pulses: defaultdict[str, VenuePulse] = defaultdict(VenuePulse)
        self._in_use = {one.venue for one in self._before.values()}

    def ask_all(self) -> None:
        """Ask the own venue for every symbol, the fallbacks in use, and the fallbacks whose bars are due for an update."""
        own, quick = self._venues.own, self._venues.quick
        jobs = [(s, quick[own.venue], self._once) if s in self._before else (s, own, self._again) for s in self._symbols]
        for source in self._venues.fallbacks:
            if source.venue in self._in_use:
                jobs += [(s, source, self._again) for s in self._symbols]
            elif self.cycle_at.minute == _KEEP_CURRENT_MINUTE:
                jobs += [(s, quick[source.venue], self._once) for s in self._symbols]
        self._gather(jobs)

    def choose(self, symbol: Symbol) -> None:
        """Choose between the own venue and the fallback in use; choose neither if neither has the bars that a decision needs."""
        home = self._found[self._venues.own.venue, symbol]
        if (standing := self._before.get(symbol)) is None or standing.venue is None:
            if not self._is_down(home):
                self._chosen[symbol] = home
            return
        there = self._found[standing.venue, symbol]
        answered = standing.answered + 1 if self._is_whole(home) else 0
        if answered >= RETURN_AFTER or (answered and not self._is_whole(there)):
            self._chosen[symbol], self.after[symbol] = home, Standing(None, 0, self.cycle_at)
        elif self._is_whole(there):
            self._chosen[symbol], self.after[symbol] = there, Standing(standing.venue, answered, self.cycle_at)

    def replace_from(self, source: CandleSource) -> None:
        """For the symbols without a choice, choose this fallback if it has the bars that they need."""
        lacking = [symbol for symbol in self._symbols if symbol not in self._chosen]
        if lacking and source.venue not in self._in_use:
            self._gather([(s, source, self._once) for s in self._symbols])
        for symbol in lacking:
            if self._is_whole(item := self._found[source.venue, symbol]):
                self._chosen[symbol], self.after[symbol] = item, Standing(source.venue, 0, self.cycle_at)

    def result(self) -> tuple[list[SymbolCollection], list[SymbolCollection]]:
        """Return the chosen collection of each symbol, and all other collections."""
        took = self._again.monotonic() - self._began
        own = self._venues.own.venue
        decided = [_timed(self._chosen.get(s, self._found[own, s]), took) for s in self._symbols]
        used = {(item.venue, item.symbol) for item in decided}
        return decided, [self._found[key] for key in sorted(self._found) if key not in used]

    def _gather(self, jobs: Sequence[tuple[Symbol, CandleSource, LookAgain]]) -> None:
        with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
            asked = [
                pool.submit(
                    collect_symbol, symbol, self.cycle_at, source, self._cursors, how, self._began, self._pulses[source.venue]
                )
                for symbol, source, how in jobs
            ]
        for job in asked:
            item = job.result()
            self._found[item.venue, item.symbol] = item

    def _is_whole(self, item: SymbolCollection) -> bool:
        """Whether a collection has what a decision needs: the newest closed bar."""
        return item.problem is None and bool(item.candles) and item.candles[-1].open_time == self.cycle_at - ONE_MINUTE

    def _is_down(self, item: SymbolCollection) -> bool:
        """Whether a venue gave nothing of this cycle's minutes."""
        return item.problem is not None or not item.candles or item.candles[-1].open_time < self.cycle_at - CYCLE


def _timed(item: SymbolCollection, took: float) -> SymbolCollection:
    """Return a collection with the time until the decision was possible, if the run was not prompt."""
    return replace(item, waited_seconds=max(item.waited_seconds, took)) if took > PROMPT_SECONDS else item
