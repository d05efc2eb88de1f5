"""The read side of the ledger for the operator's tools: what was decided, refused, collected, and what is missing.

Cycles, signals and refusals are asked for by (start, end], as `market.clock.cycles_between` counts; bars by [start, end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.signals.ports import Refusal
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier


@dataclass(frozen=True, slots=True)
class SignalCount:
    """How many signals share a stage, direction and tier."""

    stage: DeploymentStage
    direction: Direction
    tier: Tier
    count: int


@dataclass(frozen=True, slots=True)
class DecidedCycles:
    """How many cycles were decided, and the newest of them."""

    count: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The bars the ledger holds of one symbol: how many, and the first and last open_time."""

    symbol: Symbol
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class SymbolGap:
    """Bars that are missing: the first and last absent open_time, both included."""

    symbol: Symbol
    first: datetime
    last: datetime

    @property
    def minutes(self) -> int:
        """How many bars are missing."""
        return (self.last - self.first) // ONE_MINUTE + 1


_SIGNALS: Final = """
SELECT symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late, schema_name, schema_hash, features
FROM signals WHERE decided_at > %s AND decided_at <= %s
ORDER BY decided_at, symbol, deployment
"""
_COUNTS: Final = """
SELECT stage, direction, tier, count(*) FROM signals WHERE decided_at > %s AND decided_at <= %s
GROUP BY stage, direction, tier ORDER BY stage, direction, tier
"""
_REFUSALS: Final = """
SELECT symbol, cycle_at, reason, detail FROM refusals WHERE venue = %s AND cycle_at > %s AND cycle_at <= %s
ORDER BY cycle_at, symbol
"""
_CYCLES: Final = """
SELECT count(*), max(cycle_at) FROM cycles WHERE venue = %s AND decided AND cycle_at > %s AND cycle_at <= %s
"""
_COVERAGE: Final = """
SELECT symbol, count(*), min(open_time), max(open_time) FROM candles WHERE venue = %s GROUP BY symbol ORDER BY symbol
"""
# The minute before the window and the one that ends it stand as bars, so that a window's edges count as gaps too.
_GAPS: Final = """
WITH marks AS (
    SELECT symbol, open_time FROM candles
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s::text[]) AND open_time >= %(start)s AND open_time < %(end)s
    UNION ALL
    SELECT symbol, edge FROM unnest(%(symbols)s::text[]) AS symbol,
        unnest(ARRAY[%(start)s::timestamptz - interval '1 minute', %(end)s::timestamptz]) AS edge
), steps AS (
    SELECT symbol, open_time, lead(open_time) OVER (PARTITION BY symbol ORDER BY open_time) AS next FROM marks
)
SELECT symbol, open_time + interval '1 minute', next - interval '1 minute' FROM steps
WHERE next > open_time + interval '1 minute'
ORDER BY symbol, open_time
"""


class LedgerReader:
    """Questions to the ledger; each is answered from one consistent snapshot. Raises LedgerError as `errors.py` tells."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def signals(self, start: datetime, end: datetime) -> tuple[Signal, ...]:
        """Return the signals with start < decided_at <= end, by instant, symbol and deployment."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_SIGNALS, (start, end)).fetchall()
        return tuple(
            Signal(
                symbol=Symbol(symbol),
                decided_at=decided_at,
                deployment=deployment,
                stage=DeploymentStage(stage),
                direction=Direction(direction),
                tier=Tier(tier),
                probability_up=probability_up,
                price=price,
                late=late,
                schema_name=schema_name,
                schema_hash=schema_hash,
                features=tuple(features),
            )
            for (
                symbol,
                decided_at,
                deployment,
                stage,
                direction,
                tier,
                probability_up,
                price,
                late,
                schema_name,
                schema_hash,
                features,
            ) in rows
        )

    def signal_counts(self, start: datetime, end: datetime) -> tuple[SignalCount, ...]:
        """Return how many signals with start < decided_at <= end there are of each stage, direction and tier."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_COUNTS, (start, end)).fetchall()
        return tuple(SignalCount(DeploymentStage(s), Direction(d), Tier(t), count) for s, d, t, count in rows)

    def refusals(self, venue: str, start: datetime, end: datetime) -> tuple[Refusal, ...]:
        """Return the refusals with start < cycle_at <= end, by cycle and symbol."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_REFUSALS, (venue, start, end)).fetchall()
        return tuple(Refusal(Symbol(symbol), cycle_at, reason, detail) for symbol, cycle_at, reason, detail in rows)

    def decided_cycles(self, venue: str, start: datetime, end: datetime) -> DecidedCycles:
        """Return how many cycles with start < cycle_at <= end were decided, and the newest of them."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_CYCLES, (venue, start, end)).fetchall()
        return DecidedCycles(*rows[0])

    def coverage(self, venue: str) -> tuple[Coverage, ...]:
        """Return what the ledger holds of each symbol. Reads every bar of the venue."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_COVERAGE, (venue,)).fetchall()
        return tuple(Coverage(Symbol(symbol), count, first, last) for symbol, count, first, last in rows)

    def gaps(self, venue: str, symbols: Sequence[Symbol], start: datetime, end: datetime) -> tuple[SymbolGap, ...]:
        """Return the missing bars with start <= open_time < end, by symbol and time.

        `start` and `end` are whole minutes. A symbol without any bar is one gap over the whole window.
        """
        window = {"venue": venue, "symbols": list(symbols), "start": start, "end": end}
        with self._source.snapshot() as connection:
            rows = connection.execute(_GAPS, window).fetchall()
        return tuple(SymbolGap(Symbol(symbol), first, last) for symbol, first, last in rows)

    def pending_events(self) -> int:
        """Return how many committed events are not published yet."""
        with self._source.snapshot() as connection:
            rows = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchall()
        pending: int = rows[0][0]
        return pending
