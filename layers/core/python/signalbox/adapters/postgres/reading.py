"""The read side of the ledger for the operator's tools: what was decided, refused and collected.

Cycles, signals and refusals are selected by (start, end], as `market.clock.cycles_between` counts them; bars by [start, end).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.market.candles import Bars, Symbol, to_ms
from signalbox.market.revisions import BarRevision
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier


@dataclass(frozen=True, slots=True)
class DecidedCycles:
    """The number of decided cycles, and the newest of them; None without any."""

    count: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class FallbackDecisions:
    """Decisions on a symbol that were made on the bars of a fallback venue, the market."""

    market: str
    symbol: Symbol
    count: int
    first: datetime
    last: datetime


_SIGNALS: Final = """
SELECT symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late, schema_name, schema_hash, features,
    held_back, known_at, market, overridden, challenger
FROM signals WHERE decided_at > %s AND decided_at <= %s
ORDER BY decided_at, symbol, deployment
"""
_FALLBACKS: Final = """
SELECT market, symbol, count(*), min(decided_at), max(decided_at) FROM signals
WHERE market IS NOT NULL AND decided_at > %s AND decided_at <= %s GROUP BY market, symbol ORDER BY market, symbol
"""
_REFUSALS: Final = """
SELECT symbol, cycle_at, reason, detail FROM refusals WHERE venue = %s AND cycle_at > %s AND cycle_at <= %s
ORDER BY cycle_at, symbol
"""
_CYCLES: Final = """
SELECT count(*), max(cycle_at) FROM cycles WHERE venue = %s AND decided AND cycle_at > %s AND cycle_at <= %s
"""
_BARS: Final = """
SELECT open_time, open::float8, high::float8, low::float8, close::float8, volume::float8 FROM candles
WHERE venue = %s AND symbol = %s AND open_time >= %s AND open_time < %s ORDER BY open_time
"""
_CLOSES: Final = """
SELECT symbol, open_time, close FROM candles
JOIN unnest(%s::text[], %s::timestamptz[]) AS wanted (symbol, open_time) USING (symbol, open_time) WHERE venue = %s
"""
_REVISIONS: Final = """
SELECT symbol, open_time, replaced_at, open::float8, high::float8, low::float8, close::float8, volume::float8
FROM candle_revisions
WHERE venue = %s AND open_time >= %s AND open_time < %s ORDER BY symbol, open_time, replaced_at
"""


class LedgerReader:
    """Queries on the ledger, each in one consistent snapshot. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def signals(self, start: datetime, end: datetime) -> tuple[Signal, ...]:
        """Return the signals with start < decided_at <= end, sorted by instant, symbol and deployment."""
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
                held_back=held_back,
                known_at=known_at,
                market=market,
                overridden=overridden,
                challenger=challenger,
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
                held_back,
                known_at,
                market,
                overridden,
                challenger,
            ) in rows
        )

    def fallback_decisions(self, start: datetime, end: datetime) -> tuple[FallbackDecisions, ...]:
        """Return what was decided on fallback venues with start < decided_at <= end, by market and symbol."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_FALLBACKS, (start, end)).fetchall()
        return tuple(FallbackDecisions(market, Symbol(symbol), *rest) for market, symbol, *rest in rows)

    def refusals(self, venue: str, start: datetime, end: datetime) -> tuple[SymbolRefusal, ...]:
        """Return the refusals with start < cycle_at <= end, sorted by cycle and symbol."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_REFUSALS, (venue, start, end)).fetchall()
        return tuple(SymbolRefusal(Symbol(symbol), cycle_at, reason, detail) for symbol, cycle_at, reason, detail in rows)

    def decided_cycles(self, venue: str, start: datetime, end: datetime) -> DecidedCycles:
        """Return the number of decided cycles with start < cycle_at <= end, and the newest of them."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_CYCLES, (venue, start, end)).fetchall()
        return DecidedCycles(*rows[0])

    def bars(self, venue: str, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the recorded bars with start <= open_time < end, oldest first; missing bars are left out."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_BARS, (venue, symbol, start, end)).fetchall()
        import numpy as np  # noqa: PLC0415 - only who reads bars computes columns

        times = np.array([to_ms(row[0]) for row in rows], dtype=np.int64)
        table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 5)
        return Bars(symbol, times, *(np.ascontiguousarray(table[:, i]) for i in range(5)))

    def closes(self, venue: str, minutes: Collection[tuple[Symbol, datetime]]) -> dict[tuple[Symbol, datetime], Decimal]:
        """Return the exact closes of these bars by symbol and open_time; missing bars are left out."""
        columns = [symbol for symbol, _ in minutes], [open_time for _, open_time in minutes]
        with self._source.snapshot() as connection:
            rows = connection.execute(_CLOSES, (*columns, venue)).fetchall()
        return {(Symbol(symbol), open_time): close for symbol, open_time, close in rows}

    def revisions(self, venue: str, start: datetime, end: datetime) -> tuple[BarRevision, ...]:
        """Return the earlier versions of revised bars with start <= open_time < end, sorted by symbol and time."""
        with self._source.snapshot() as connection:
            rows = connection.execute(_REVISIONS, (venue, start, end)).fetchall()
        return tuple(BarRevision(Symbol(symbol), *rest) for symbol, *rest in rows)

    def pending_events(self) -> int:
        """Return the number of committed events that are not published yet."""
        with self._source.snapshot() as connection:
            rows = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchall()
        pending: int = rows[0][0]
        return pending
