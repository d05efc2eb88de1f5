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
from typing import Final, Protocol

from signalbox.contracts import BACKFILL_MINUTES
from signalbox.errors import SignalboxError
from signalbox.events import CandleRow, CandlesClosed, CollectionProblem, Event, SymbolCandles
from signalbox.market.acceptance import AcceptedCandles, RawRow, accept_rows, merge_looks
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.market.empty_minutes import LEAD, OMITS_EMPTY_MINUTES, absent_minutes, empty_bars

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


class CursorStore(Protocol):
    """How far each symbol has been collected."""

    def newest(self, symbol: Symbol) -> datetime | None:
        """Return the open_time of the newest announced bar."""

    def advance(self, symbol: Symbol, open_time: datetime) -> None:
        """Move the cursor forward. An older time changes nothing."""


class Announcer(Protocol):
    """The bus, as an edge function sees it."""

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
    """The result of one run, for the log and the metrics."""

    cycle_at: datetime
    symbols: tuple[SymbolCollection, ...]
    parts: int


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
    with ThreadPoolExecutor(max_workers=len(symbols)) as pool:
        collected = tuple(pool.map(lambda symbol: _collect_symbol(symbol, cycle_at, source, cursors, again), symbols))
    parts = _parts(source.venue, cycle_at, collected)
    bus.announce(parts)
    for item in collected:
        if item.candles:
            cursors.advance(item.symbol, item.candles[-1].open_time)
    return CollectionReport(cycle_at, collected, len(parts))


def _collect_symbol(
    symbol: Symbol, cycle_at: datetime, source: CandleSource, cursors: CursorStore, again: LookAgain
) -> SymbolCollection:
    newest = cursors.newest(symbol)
    since = cycle_at - BACKFILL if newest is None else max(newest + ONE_MINUTE - OVERLAP, cycle_at - BACKFILL)
    since = min(since, cycle_at - OVERLAP)  # a replay of an older cycle requests that cycle's bars
    began = again.monotonic()
    try:
        first = accept_rows(symbol, source.fetch(symbol, since, cycle_at), since=since, until=cycle_at)
    except VenueError as error:
        return SymbolCollection(symbol, since, AcceptedCandles((), ()), error.problem, str(error))
    # an earlier run has looked at the older minutes
    unseen = since if newest is None else min(newest + ONE_MINUTE, cycle_at - CYCLE)
    found = _Looks(source, symbol, since, cycle_at, first, unseen)
    for pause in again.pauses:
        wanted = found.wanted()
        if wanted is None or again.monotonic() - began + pause > LOOKS_END_SECONDS:
            break
        again.pause(pause)
        try:
            found.look(wanted, pause)
        except VenueError:  # announce what the first look found; the next cycle requests the rest
            break
    accepted = found.accepted
    problem = None
    if not accepted.candles:
        problem = CollectionProblem.CANDLES_REFUSED if accepted.refused else CollectionProblem.NO_CANDLES
    return SymbolCollection(symbol, since, accepted, problem, None, found.empty, found.waited_seconds)


def look_again(source: CandleSource, symbol: Symbol, seen: AcceptedCandles, since: datetime, until: datetime) -> AcceptedCandles:
    """Fetch [since, until) once more and return the result of both looks. Raises VenueError."""
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
    ) -> None:
        self._unseen = unseen
        self._source, self._symbol, self._since, self._until = source, symbol, since, until
        self._seen = first
        self._empty: tuple[Candle, ...] = ()
        self._again = 0
        self.waited_seconds = 0.0

    @property
    def accepted(self) -> AcceptedCandles:
        """The candles of the period, with the flat bars of empty minutes."""
        candles = [candle for candle in self._seen.candles if candle.open_time >= self._since]
        whole = sorted([*candles, *self._empty], key=lambda candle: candle.open_time)
        return AcceptedCandles(tuple(whole), self._seen.refused, self._seen.doubted, self._seen.newest)

    @property
    def empty(self) -> int:
        return len(self._empty)

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
        if self._omits:
            self._empty = empty_bars(self._seen, self._since, self._until)

    @property
    def _omits(self) -> bool:
        return self._source.venue in OMITS_EMPTY_MINUTES


def _parts(venue: str, cycle_at: datetime, collected: Sequence[SymbolCollection]) -> list[CandlesClosed]:
    """Split the result into events that the bus accepts, oldest bars first; the last part has every symbol's newest bars."""
    longest = max(len(item.candles) for item in collected)
    waited = math.ceil(max(item.waited_seconds for item in collected))
    per_symbol = max(ROWS_PER_PART // len(collected), 1)
    total = max(-(-longest // per_symbol), 1)
    events = []
    for index in range(total):
        symbols = []
        for item in collected:
            # counted from the newest bar, so that the last part has the same bars however long the others are
            end = len(item.candles) - (total - 1 - index) * per_symbol
            chunk = item.candles[max(end - per_symbol, 0) : max(end, 0)]
            symbols.append(
                SymbolCandles(
                    symbol=item.symbol,
                    candles=tuple(_row(c) for c in chunk),
                    problem=item.problem,
                    refused=len(item.accepted.refused) if index == total - 1 else 0,
                )
            )
        events.append(
            CandlesClosed(
                venue=venue,
                cycle_at=cycle_at,
                part=index + 1,
                parts=total,
                symbols=tuple(symbols),
                waited_seconds=waited,
            )
        )
    return events


def _row(candle: Candle) -> CandleRow:
    return CandleRow(t=candle.open_time, o=candle.open, h=candle.high, l=candle.low, c=candle.close, v=candle.volume)


def candles_of(item: SymbolCandles) -> tuple[Candle, ...]:
    """Return the candles of an event. Raises MarketDataError for a row that breaks a candle's contract."""
    return tuple(Candle(Symbol(item.symbol), row.t, row.o, row.h, row.l, row.c, row.v) for row in item.candles)
