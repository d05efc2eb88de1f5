"""One run of collect_candles: fetches the bars closed since the last run and announces them.

A venue publishes some bars late, and some venues publish none for a minute without a trade. So absent minutes are requested
again, after the pauses of `LookAgain`, and minutes without a trade become flat bars (empty_minutes.py).

Symbols are independent: a failure of one is recorded for that symbol and does not affect the others. A run keeps no state. The
cursor moves only after the bus has accepted the events, so a crash in between repeats the same announcement, which the ledger
recognises.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final, Protocol, runtime_checkable

from signalbox.contracts import BACKFILL_MINUTES
from signalbox.errors import SignalboxError
from signalbox.events import CandleRow, CandlesClosed, CollectionProblem, Event, SymbolCandles
from signalbox.market.acceptance import AcceptedCandles, RawRow, accept_rows, merge_looks
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.market.empty_minutes import LEAD, OMITS_EMPTY_MINUTES, absent_minutes, empty_bars, untraded_bars

OVERLAP: Final = timedelta(minutes=10)  # requested again each time, because a venue may publish a bar late
BACKFILL: Final = timedelta(minutes=BACKFILL_MINUTES)
LOOK_AGAIN_SECONDS: Final = (2.0, 8.0, 10.0, 20.0)  # that is 2, 10, 20 and 40 seconds after the first look
LOOKS_END_SECONDS: Final = 55.0  # after the start of the first look, including its own up to 25 seconds
ROWS_PER_PART: Final = 1_200  # about 150 kB of JSON; the bus takes 256 kB per entry


class VenueError(SignalboxError):
    """An exchange gave no usable answer within its retries."""

    def __init__(self, problem: CollectionProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class CandleSource(Protocol):
    """A venue's closed one-minute bars."""

    @property
    def venue(self) -> str:
        """The venue's name, part of every natural key."""

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        """Return the venue's rows around [since, until), in any order. Raises VenueError."""


@runtime_checkable
class TradeSource(Protocol):
    """A venue's newest trades. They prove at once that the newest minute was empty; otherwise the run has to wait for its bar."""

    def trade_times(self, symbol: Symbol) -> Sequence[datetime]:
        """Return when the newest trades were made, without a gap between them. Raises VenueError."""


class VenuePulse:
    """The newest minute in which a venue published a trade, of any symbol that a run collects there. Threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: datetime | None = None

    @property
    def newest(self) -> datetime | None:
        """The open_time of that minute; None before the first."""
        return self._newest

    def saw(self, candles: Sequence[Candle]) -> None:
        """Take note of bars; those without volume show no trade."""
        found = max((candle.open_time for candle in candles if candle.volume), default=None)
        with self._lock:
            if found is not None and (self._newest is None or found > self._newest):
                self._newest = found


class CursorStore(Protocol):
    """Stores up to which bar each symbol of each venue has been collected."""

    def newest(self, venue: str, symbol: Symbol) -> datetime | None:
        """Return the open_time of the newest announced bar."""

    def advance(self, venue: str, symbol: Symbol, open_time: datetime) -> None:
        """Move the cursor forward. An older time changes nothing."""


class Announcer(Protocol):
    """Publishes the events of a function that has no ledger."""

    def announce(self, events: Sequence[Event]) -> None:
        """Publish events in order. Raises if any of them was not accepted."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The pauses, in seconds, before a venue is asked again for absent bars."""

    pauses: tuple[float, ...] = LOOK_AGAIN_SECONDS
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class SymbolCollection:
    """The result of one run for one symbol.

    empty: number of its candles that are minutes without a trade, which the venue does not publish. waited_seconds: time from the
    first look until the newest bars were there.
    """

    venue: str
    symbol: Symbol
    since: datetime
    accepted: AcceptedCandles
    problem: CollectionProblem | None
    detail: str | None
    empty: int = 0
    waited_seconds: float = 0.0

    @property
    def candles(self) -> tuple[Candle, ...]:
        return self.accepted.candles


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """The result of one run, for the log and the metrics.

    symbols: what is decided on, one each. others: bars of other venues, which are only recorded.
    """

    venue: str
    cycle_at: datetime
    symbols: tuple[SymbolCollection, ...]
    parts: int
    others: tuple[SymbolCollection, ...] = ()


def collect(
    scheduled_at: datetime,
    symbols: Sequence[Symbol],
    *,
    source: CandleSource,
    cursors: CursorStore,
    bus: Announcer,
    again: LookAgain = LookAgain(),
) -> CollectionReport:
    """Collect every symbol for the cycle of `scheduled_at`, announce the result and move the cursors."""
    cycle_at = cycle_of(scheduled_at)
    began, pulse = again.monotonic(), VenuePulse()
    with ThreadPoolExecutor(max_workers=len(symbols)) as pool:
        jobs = [pool.submit(collect_symbol, symbol, cycle_at, source, cursors, again, began, pulse) for symbol in symbols]
    return announce_cycle(source.venue, cycle_at, [job.result() for job in jobs], (), cursors=cursors, bus=bus)


def announce_cycle(
    venue: str,
    cycle_at: datetime,
    collected: Sequence[SymbolCollection],
    others: Sequence[SymbolCollection],
    *,
    cursors: CursorStore,
    bus: Announcer,
) -> CollectionReport:
    """Announce what a run collected and move the cursors. venue: the one whose cycle it is."""
    parts = _parts(venue, cycle_at, collected, [item for item in others if item.candles])
    bus.announce(parts)
    for item in (*collected, *others):
        if item.candles:
            cursors.advance(item.venue, item.symbol, item.candles[-1].open_time)
    return CollectionReport(venue, cycle_at, tuple(collected), len(parts), tuple(others))


def collect_symbol(  # noqa: PLR0917 - of what, when, from where
    symbol: Symbol,
    cycle_at: datetime,
    source: CandleSource,
    cursors: CursorStore,
    again: LookAgain,
    began: float,
    pulse: VenuePulse,
) -> SymbolCollection:
    """Fetch a symbol's bars for a cycle, and fetch absent ones again.

    began: the run's start on the monotonic clock. pulse: of the venue, shared by the symbols of the run.
    """
    newest = cursors.newest(source.venue, symbol)
    since = cycle_at - BACKFILL if newest is None else max(newest + ONE_MINUTE - OVERLAP, cycle_at - BACKFILL)
    since = min(since, cycle_at - OVERLAP)  # a replay of an older cycle requests that cycle's bars
    try:
        first = accept_rows(symbol, source.fetch(symbol, since, cycle_at), since=since, until=cycle_at)
    except VenueError as error:
        return SymbolCollection(source.venue, symbol, since, AcceptedCandles((), ()), error.problem, str(error))
    # an earlier run has looked at the older minutes
    unseen = since if newest is None else min(newest + ONE_MINUTE, cycle_at - CYCLE)
    pulse.saw(first.candles)
    found = _Looks(source, symbol, since, cycle_at, first, unseen, pulse)
    for pause in again.pauses:
        wanted = found.wanted()
        if wanted is None or again.monotonic() - began + pause > LOOKS_END_SECONDS:
            break
        again.pause(pause)
        try:
            found.look(wanted, pause)
            found.ask_for_trades()
        except VenueError:  # announce what the first look found; the next cycle requests the rest
            break
    accepted = found.accepted
    problem = None
    if not accepted.candles:
        problem = CollectionProblem.CANDLES_REFUSED if accepted.refused else CollectionProblem.NO_CANDLES
    return SymbolCollection(source.venue, symbol, since, accepted, problem, None, found.empty, found.waited_seconds)


def look_again(source: CandleSource, symbol: Symbol, seen: AcceptedCandles, since: datetime, until: datetime) -> AcceptedCandles:
    """Fetch [since, until) once more and return the merged result of both fetches. Raises VenueError."""
    # one minute more, because a bar that has just opened proves that the venue had nothing to publish before it
    rows = source.fetch(symbol, since, until + ONE_MINUTE)
    return merge_looks(seen, accept_rows(symbol, rows, since=since, until=until))


class _Looks:
    """What all looks at the minutes [since, until) of one symbol have found so far."""

    def __init__(  # noqa: PLR0917 - whose, of which period, and what is known of it
        self,
        source: CandleSource,
        symbol: Symbol,
        since: datetime,
        until: datetime,
        first: AcceptedCandles,
        unseen: datetime,
        pulse: VenuePulse,
    ) -> None:
        self._unseen, self._pulse = unseen, pulse
        self._source, self._symbol, self._since, self._until = source, symbol, since, until
        self._seen = first
        self._empty: tuple[Candle, ...] = ()
        self._untraded: tuple[Candle, ...] = ()
        self._again = 0
        self.waited_seconds = 0.0

    @property
    def accepted(self) -> AcceptedCandles:
        """The candles of the period, with the flat bars of empty minutes."""
        flat = {bar.open_time: bar for bar in (*self._untraded, *self._empty)}
        whole = flat | {candle.open_time: candle for candle in self._seen.candles if candle.open_time >= self._since}
        seen = self._seen
        return AcceptedCandles(tuple(whole[at] for at in sorted(whole)), seen.refused, seen.doubted, seen.newest)

    @property
    def empty(self) -> int:
        there = {candle.open_time for candle in self._seen.candles}
        return len({bar.open_time for bar in (*self._untraded, *self._empty)} - there)

    def wanted(self) -> datetime | None:
        """Return the oldest minute to request again, None if there is none.

        These are this cycle's own minutes, and, once, at a venue that omits empty minutes, those minutes after its first bar
        that no earlier run looked at.
        """
        candles = self.accepted.candles
        absent = absent_minutes(candles, self._since, self._until)
        own = self._until - CYCLE
        if self._again or not self._omits:
            return next((minute for minute in absent if minute >= own), None)
        start = max(candles[0].open_time, self._unseen) if candles else own
        return next((minute for minute in absent if minute >= min(start, own)), None)

    def look(self, wanted: datetime, pause: float) -> None:
        """Fetch again from `wanted` on. Raises VenueError."""
        self._again += 1
        self.waited_seconds += pause
        start = wanted - LEAD if self._omits else wanted
        self._seen = look_again(self._source, self._symbol, self._seen, start, self._until)
        self._pulse.saw(self._seen.candles)
        if self._omits:
            self._empty = empty_bars(self._seen, self._since, self._until)

    def ask_for_trades(self) -> None:
        """Prove by the venue's trades which of this cycle's absent minutes were empty.

        Nothing is proved without an answer, nor while no other symbol shows that the venue still publishes trades.
        """
        own = self._until - CYCLE
        if not self._omits or not isinstance(self._source, TradeSource) or self.wanted() is None:
            return
        try:
            trades = self._source.trade_times(self._symbol)
        except VenueError:  # the next look may bring the bar itself
            return
        around = [candle for candle in self.accepted.candles if candle.open_time >= own - LEAD]
        self._untraded = untraded_bars(around, self._seen.doubted, trades, own, self._until, self._pulse.newest)

    @property
    def _omits(self) -> bool:
        return self._source.venue in OMITS_EMPTY_MINUTES


def _parts(
    venue: str, cycle_at: datetime, collected: Sequence[SymbolCollection], others: Sequence[SymbolCollection]
) -> list[CandlesClosed]:
    """Split the result into events that the bus accepts, oldest bars first; the last part has every symbol's newest bars."""
    longest = max(len(item.candles) for item in (*collected, *others))
    waited = math.ceil(max(item.waited_seconds for item in collected))
    per_symbol = max(ROWS_PER_PART // (len(collected) + len(others)), 1)
    total = max(-(-longest // per_symbol), 1)

    def part(item: SymbolCollection, index: int) -> SymbolCandles:
        # counted from the newest bar, so that the last part has the same bars however long the others are
        end = len(item.candles) - (total - 1 - index) * per_symbol
        return SymbolCandles(
            symbol=item.symbol,
            candles=tuple(_row(c) for c in item.candles[max(end - per_symbol, 0) : max(end, 0)]),
            problem=item.problem,
            refused=len(item.accepted.refused) if index == total - 1 else 0,
            market=None if item.venue == venue else item.venue,
        )

    return [
        CandlesClosed(
            venue=venue,
            cycle_at=cycle_at,
            part=index + 1,
            parts=total,
            symbols=tuple(part(item, index) for item in collected),
            waited_seconds=waited,
            others=tuple(part(item, index) for item in others),
        )
        for index in range(total)
    ]


def _row(candle: Candle) -> CandleRow:
    return CandleRow(t=candle.open_time, o=candle.open, h=candle.high, l=candle.low, c=candle.close, v=candle.volume)


def candles_of(item: SymbolCandles) -> tuple[Candle, ...]:
    """Return the candles of an event. Raises MarketDataError for a row that is no valid candle."""
    return tuple(Candle(Symbol(item.symbol), row.t, row.o, row.h, row.l, row.c, row.v) for row in item.candles)
