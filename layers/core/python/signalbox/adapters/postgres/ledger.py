"""The ledger of decision cycles on PostgreSQL (`signals.ports.Ledger`).

It uses READ COMMITTED and an advisory lock per venue. What a transaction reads after `lock_cycle` includes everything that
earlier transactions committed, so if two parts of a cycle arrive together, exactly one of them sees the cycle complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString

from signalbox.adapters.postgres.connection import Connection, ConnectionSource
from signalbox.adapters.postgres.outbox import insert_event
from signalbox.events import Event
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol
from signalbox.signals.model import DeployedModel
from signalbox.signals.ports import CandleWrites, CycleState, IssuedSignal, SymbolRefusal, SymbolStatus
from signalbox.signals.rate_limit import Issued
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POSTGRES_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01 UTC, the zero of binary timestamps

_INSERT_CANDLES: Final = """
INSERT INTO candles (venue, symbol, open_time, open, high, low, close, volume, announced_at)
SELECT %s, symbol, open_time, open::numeric, high::numeric, low::numeric, close::numeric, volume::numeric, %s::timestamptz
FROM unnest(%b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
    WITH ORDINALITY AS offered (symbol, open_time, open, high, low, close, volume, place)
ORDER BY place
ON CONFLICT DO NOTHING
"""
# Bars that the ledger has with other numbers. A later announcement replaces them, and a trigger keeps the old ones as a revision.
# An earlier announcement, or one without an instant, changes nothing.
_REVISE: Final = """
WITH differing AS MATERIALIZED (
    SELECT offered.place, kept.symbol, kept.open_time,
        offered.open::numeric AS new_open, offered.high::numeric AS new_high, offered.low::numeric AS new_low,
        offered.close::numeric AS new_close, offered.volume::numeric AS new_volume,
        coalesce(kept.announced_at < %(at)s::timestamptz, %(at)s::timestamptz IS NOT NULL) AS is_newer
    FROM unnest(%(symbols)b::text[], %(times)b::timestamptz[], %(opens)b::text[], %(highs)b::text[], %(lows)b::text[],
        %(closes)b::text[], %(volumes)b::text[])
        WITH ORDINALITY AS offered (symbol, open_time, open, high, low, close, volume, place)
    JOIN candles AS kept ON kept.venue = %(venue)s AND kept.symbol = offered.symbol AND kept.open_time = offered.open_time
    WHERE (kept.open, kept.high, kept.low, kept.close, kept.volume)
        <> (offered.open::numeric, offered.high::numeric, offered.low::numeric, offered.close::numeric, offered.volume::numeric)
), newer AS (
    SELECT DISTINCT ON (symbol, open_time) * FROM differing WHERE is_newer ORDER BY symbol, open_time, place
), changed AS (
    UPDATE candles SET open = new_open, high = new_high, low = new_low, close = new_close, volume = new_volume,
        announced_at = %(at)s::timestamptz
    FROM newer
    WHERE candles.venue = %(venue)s AND candles.symbol = newer.symbol AND candles.open_time = newer.open_time
)
SELECT place - 1, EXISTS (SELECT FROM newer WHERE newer.place = differing.place) FROM differing ORDER BY place
"""
# One bytea per column in wire format (big-endian, 8 bytes per value): numpy reads it without a Python object per value.
_BARS: Final = """
SELECT string_agg(timestamptz_send(open_time), ''), string_agg(float8send(open::float8), ''),
    string_agg(float8send(high::float8), ''), string_agg(float8send(low::float8), ''),
    string_agg(float8send(close::float8), ''), string_agg(float8send(volume::float8), '')
FROM (
    SELECT open_time, open, high, low, close, volume FROM candles
    WHERE venue = %s AND symbol = %s AND open_time <= %s
    ORDER BY open_time DESC LIMIT %s
) AS newest
"""
_STATE_OF_CYCLE: Final = """
SELECT decided, EXISTS (
    SELECT FROM cycle_parts AS p WHERE p.venue = c.venue AND p.cycle_at = c.cycle_at
    GROUP BY p.parts HAVING count(*) = p.parts
)
FROM cycles AS c WHERE venue = %s AND cycle_at = %s
"""
_INSERT_SIGNAL: Final = """
INSERT INTO signals (symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late,
    schema_name, schema_hash, features, held_back, known_at, market, overridden, challenger)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %b, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_ISSUED: Final = """
SELECT symbol, decided_at, tier FROM signals
WHERE deployment = %s AND decided_at > %s AND decided_at <= %s AND direction <> 'HOLD' AND held_back IS NULL
ORDER BY decided_at, symbol
"""
_TO_RESOLVE: Final = """
SELECT symbol, decided_at, stage, direction, tier, price, market FROM signals
WHERE deployment = %s AND decided_at > %s AND decided_at <= %s AND direction <> 'HOLD' AND held_back IS NULL AND NOT late
ORDER BY decided_at, symbol
"""
_INSERT_MODEL: Final = """
INSERT INTO deployed_models (deployment, stage, bundle, gates, first_decided_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_REPLACE_STATUS: Final = """
INSERT INTO symbol_status (symbol, stale_since, reason) VALUES (%s, %s, %s)
ON CONFLICT (symbol) DO UPDATE SET stale_since = excluded.stale_since, reason = excluded.reason
"""


class PostgresLedger:
    """Transactions of a cycle on a connection source."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    @contextmanager
    def transaction(self) -> Iterator[PostgresLedgerTransaction]:
        """Commit when the block ends, roll back when it raises. Raises LedgerError as described in `errors.py`."""
        with self._source.transaction() as connection:
            yield PostgresLedgerTransaction(connection)


class PostgresLedgerTransaction:
    """`signals.ports.LedgerTransaction` inside one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_cycle(self, venue: str) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"signalbox cycle {venue}",))

    def record_part(self, venue: str, cycle_at: datetime, part: int, parts: int) -> CycleState:
        self._connection.execute("INSERT INTO cycles (venue, cycle_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (venue, cycle_at))
        self._connection.execute(
            "INSERT INTO cycle_parts (venue, cycle_at, parts, part) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (venue, cycle_at, parts, part),
        )
        decided, complete = self._row(_STATE_OF_CYCLE, venue, cycle_at)
        if decided:
            return CycleState.DECIDED
        return CycleState.READY if complete else CycleState.WAITING

    def newest_decided_cycle(self, venue: str) -> datetime | None:
        newest: datetime | None = self._row("SELECT max(cycle_at) FROM cycles WHERE venue = %s AND decided", venue)[0]
        return newest

    def mark_decided(self, venue: str, cycle_at: datetime) -> None:
        self._connection.execute(
            "INSERT INTO cycles (venue, cycle_at, decided) VALUES (%s, %s, true)"
            " ON CONFLICT (venue, cycle_at) DO UPDATE SET decided = true",
            (venue, cycle_at),
        )

    def add_candles(self, venue: str, candles: Sequence[Candle], announced_at: datetime | None = None) -> CandleWrites:
        if not candles:
            return CandleWrites(0, 0, ())
        columns = _columns(candles)
        months = sorted({moment.astimezone(UTC).date().replace(day=1) for moment in columns[1]})
        self._connection.execute("SELECT ensure_candle_partitions(%s::date[])", (months,))
        inserted = self._connection.execute(_INSERT_CANDLES, (venue, announced_at, *columns)).rowcount
        if inserted == len(candles):
            return CandleWrites(inserted, 0, ())
        # A second statement, because the first one does not see rows that were committed after it began.
        names = ("symbols", "times", "opens", "highs", "lows", "closes", "volumes")
        offered = dict(zip(names, columns, strict=True))
        rows = self._connection.execute(_REVISE, {**offered, "venue": venue, "at": announced_at}).fetchall()
        revised = tuple(candles[place] for place, is_newer in rows if is_newer)
        conflicting = tuple(candles[place] for place, is_newer in rows if not is_newer)
        return CandleWrites(inserted, len(candles) - inserted - len(rows), conflicting, revised)

    def bars(self, venue: str, symbol: Symbol, until: datetime, count: int) -> Bars:
        import numpy as np  # noqa: PLC0415 - a sixth of a cold start, and most functions read no bars

        cursor = self._connection.execute(_BARS, (venue, symbol, until - ONE_MINUTE, count), prepare=True, binary=True)
        times, *prices = cursor.fetchone() or ()
        if times is None:
            return Bars.from_candles(symbol, ())
        open_time_ms = np.frombuffer(times, dtype=">i8")[::-1].astype(np.int64) // 1000 + _POSTGRES_EPOCH_MS
        return Bars(symbol, open_time_ms, *(_oldest_first(column) for column in prices))

    def close_price(self, venue: str, symbol: Symbol, open_time: datetime) -> Decimal | None:
        found = self._connection.execute(
            "SELECT close FROM candles WHERE venue = %s AND symbol = %s AND open_time = %s", (venue, symbol, open_time)
        ).fetchone()
        return None if found is None else found[0]

    def add_signal(self, signal: Signal) -> bool:
        row = (
            signal.symbol,
            signal.decided_at,
            signal.deployment,
            signal.stage.value,
            signal.direction.value,
            signal.tier.value,
            signal.probability_up,
            signal.price,
            signal.late,
            signal.schema_name,
            signal.schema_hash,
            list(signal.features),
            signal.held_back,
            signal.known_at,
            signal.market,
            signal.overridden,
            signal.challenger,
        )
        return self._connection.execute(_INSERT_SIGNAL, row).rowcount == 1

    def issued_signals(self, deployment: str, since: datetime, until: datetime) -> Sequence[Issued]:
        rows = self._connection.execute(_ISSUED, (deployment, since, until)).fetchall()
        return [Issued(Symbol(symbol), decided_at, Tier(tier)) for symbol, decided_at, tier in rows]

    def signals_to_resolve(self, deployment: str, since: datetime, until: datetime) -> Sequence[IssuedSignal]:
        rows = self._connection.execute(_TO_RESOLVE, (deployment, since, until)).fetchall()
        return [
            IssuedSignal(Symbol(symbol), decided_at, DeploymentStage(stage), Direction(direction), Tier(tier), price, market)
            for symbol, decided_at, stage, direction, tier, price, market in rows
        ]

    def add_deployed_model(self, model: DeployedModel, decided_at: datetime) -> bool:
        row = (model.deployment, model.stage.value, model.bundle, gates_text(model.gates), decided_at)
        return self._connection.execute(_INSERT_MODEL, row).rowcount == 1

    def add_refusal(self, venue: str, refusal: SymbolRefusal) -> bool:
        row = (venue, refusal.cycle_at, refusal.symbol, refusal.reason, refusal.detail)
        return (
            self._connection.execute(
                "INSERT INTO refusals (venue, cycle_at, symbol, reason, detail) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                row,
            ).rowcount
            == 1
        )

    def symbol_status(self, symbol: Symbol) -> SymbolStatus:
        found = self._connection.execute("SELECT stale_since, reason FROM symbol_status WHERE symbol = %s", (symbol,)).fetchone()
        return SymbolStatus(symbol, *(found or (None, None)))

    def set_symbol_status(self, status: SymbolStatus) -> None:
        self._connection.execute(_REPLACE_STATUS, (status.symbol, status.stale_since, status.reason))

    def add_event(self, event: Event, at: datetime) -> bool:
        return insert_event(self._connection, event, at)

    def _row(self, query: LiteralString, *values: object) -> tuple[Any, ...]:
        """Return the only row of a query that always returns one row."""
        row = self._connection.execute(query, values).fetchone()
        return () if row is None else row


def gates_text(gates: Mapping[str, str]) -> str:
    """Return the gate verdicts of a model as JSON text for storage; equal verdicts give equal text."""
    return json.dumps(dict(gates), sort_keys=True, separators=(",", ":"))


def _columns(candles: Sequence[Candle]) -> tuple[list[Any], ...]:
    # Decimals travel as text, which is exact and several times cheaper to write than the binary form of numeric.
    return (
        [candle.symbol for candle in candles],
        [candle.open_time for candle in candles],
        [str(candle.open) for candle in candles],
        [str(candle.high) for candle in candles],
        [str(candle.low) for candle in candles],
        [str(candle.close) for candle in candles],
        [str(candle.volume) for candle in candles],
    )


def _oldest_first(column: bytes) -> NDArray[np.float64]:
    import numpy as np  # noqa: PLC0415 - as in bars

    return np.frombuffer(column, dtype=">f8")[::-1].astype(np.float64)
