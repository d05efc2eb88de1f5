"""One run of collect_candles: ask the venue for the bars closed since the last run and announce them.

Symbols are independent: whatever goes wrong with one is written on it and leaves the others alone. The run holds no
state of its own; the cursor moves only after the bus has accepted the events, so a crash in between repeats the same
announcement, which the ledger recognises.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from signalbox.contracts import BACKFILL_MINUTES
from signalbox.errors import SignalboxError
from signalbox.events import CandleRow, CandlesClosed, CollectionProblem, Event, SymbolCandles
from signalbox.market.acceptance import AcceptedCandles, RawRow, accept_rows
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.market.clock import cycle_of

OVERLAP: Final = timedelta(minutes=10)  # asked again each time: a venue may publish a bar late
BACKFILL: Final = timedelta(minutes=BACKFILL_MINUTES)
ROWS_PER_PART: Final = 1_200  # about 150 kB of JSON; the bus takes 256 kB an entry


class VenueError(SignalboxError):
    """An exchange that did not give a usable answer within its retries."""

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
    """Where each symbol's collection stands."""

    def newest(self, symbol: Symbol) -> datetime | None:
        """Return the open_time of the newest announced bar."""

    def advance(self, symbol: Symbol, open_time: datetime) -> None:
        """Move forward; an older time changes nothing."""


class Announcer(Protocol):
    """The bus, as an edge function sees it."""

    def announce(self, events: Sequence[Event]) -> None:
        """Publish in order. Raises when any of them was not accepted."""


@dataclass(frozen=True, slots=True)
class SymbolCollection:
    """What one run brought for one symbol."""

    symbol: Symbol
    since: datetime
    accepted: AcceptedCandles
    problem: CollectionProblem | None
    detail: str | None

    @property
    def candles(self) -> tuple[Candle, ...]:
        return self.accepted.candles


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What one run did, for the log and the metrics."""

    cycle_at: datetime
    symbols: tuple[SymbolCollection, ...]
    parts: int


def collect(
    scheduled_at: datetime, symbols: Sequence[Symbol], *, source: CandleSource, cursors: CursorStore, bus: Announcer
) -> CollectionReport:
    """Collect every symbol for the cycle `scheduled_at` belongs to, announce the result, move the cursors."""
    cycle_at = cycle_of(scheduled_at)
    with ThreadPoolExecutor(max_workers=len(symbols)) as pool:
        collected = tuple(pool.map(lambda symbol: _collect_symbol(symbol, cycle_at, source, cursors), symbols))
    parts = _parts(source.venue, cycle_at, collected)
    bus.announce(parts)
    for item in collected:
        if item.candles:
            cursors.advance(item.symbol, item.candles[-1].open_time)
    return CollectionReport(cycle_at, collected, len(parts))


def _collect_symbol(symbol: Symbol, cycle_at: datetime, source: CandleSource, cursors: CursorStore) -> SymbolCollection:
    newest = cursors.newest(symbol)
    since = cycle_at - BACKFILL if newest is None else max(newest + ONE_MINUTE - OVERLAP, cycle_at - BACKFILL)
    since = min(since, cycle_at - OVERLAP)  # a replay of an older cycle asks for that cycle's bars
    try:
        rows = source.fetch(symbol, since, cycle_at)
    except VenueError as error:
        return SymbolCollection(symbol, since, AcceptedCandles((), ()), error.problem, str(error))
    accepted = accept_rows(symbol, rows, since=since, until=cycle_at)
    problem = None
    if not accepted.candles:
        problem = CollectionProblem.CANDLES_REFUSED if accepted.refused else CollectionProblem.NO_CANDLES
    return SymbolCollection(symbol, since, accepted, problem, None)


def _parts(venue: str, cycle_at: datetime, collected: Sequence[SymbolCollection]) -> list[CandlesClosed]:
    """Split into events the bus accepts, oldest bars first; the last part carries every symbol's newest bars."""
    longest = max(len(item.candles) for item in collected)
    per_symbol = max(ROWS_PER_PART // len(collected), 1)
    total = max(-(-longest // per_symbol), 1)
    events = []
    for index in range(total):
        symbols = []
        for item in collected:
            # counted from the newest bar, so that the last part is the same whatever the length of the others
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
        events.append(CandlesClosed(venue=venue, cycle_at=cycle_at, part=index + 1, parts=total, symbols=tuple(symbols)))
    return events


def _row(candle: Candle) -> CandleRow:
    return CandleRow(t=candle.open_time, o=candle.open, h=candle.high, l=candle.low, c=candle.close, v=candle.volume)


def candles_of(item: SymbolCandles) -> tuple[Candle, ...]:
    """Return the candles of an event. Raises MarketDataError for a row that breaks a candle's contract."""
    return tuple(Candle(Symbol(item.symbol), row.t, row.o, row.h, row.l, row.c, row.v) for row in item.candles)
