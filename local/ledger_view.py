"""What the ledger says about a replay: decided cycles, signals, refusals, candles. Read only, and it survives a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
import psycopg

from signalbox.market.candles import Bars, Symbol, to_ms


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One recorded signal."""

    symbol: str
    decided_at: datetime
    deployment: str
    stage: str
    direction: str
    tier: str
    confidence: float
    price: float
    late: bool
    schema_name: str
    schema_hash: str


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """One symbol that got no signal in one cycle."""

    symbol: str
    cycle_at: datetime
    reason: str
    detail: str


class LedgerView:
    """Reads the ledger over one connection, which is opened again when the server was restarted."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None

    def decided(self, cycle_at: datetime) -> bool:
        """Whether the cycle is decided; False also while the server does not answer."""
        try:
            return bool(self._rows("SELECT 1 FROM cycles WHERE cycle_at = %s AND decided", cycle_at))
        except psycopg.OperationalError:
            return False

    def decided_count(self, start: datetime, end: datetime) -> int:
        """Return how many cycles in (start, end] are decided."""
        query: LiteralString = "SELECT count(*) FROM cycles WHERE decided AND cycle_at > %s AND cycle_at <= %s"
        return int(self._rows(query, start, end)[0][0])

    def signals(self, start: datetime, end: datetime) -> list[SignalRow]:
        """Return the signals of start < decided_at <= end, oldest first."""
        query: LiteralString = (
            "SELECT symbol, decided_at, deployment, stage, direction, tier, confidence, price::float8, late, schema_name,"
            " schema_hash FROM signals WHERE decided_at > %s AND decided_at <= %s ORDER BY decided_at, symbol"
        )
        return [SignalRow(*row) for row in self._rows(query, start, end)]

    def refusals(self, start: datetime, end: datetime) -> list[RefusalRow]:
        """Return the refusals of start < cycle_at <= end, oldest first."""
        query: LiteralString = (
            "SELECT symbol, cycle_at, reason, detail FROM refusals"
            " WHERE cycle_at > %s AND cycle_at <= %s ORDER BY cycle_at, symbol"
        )
        return [RefusalRow(*row) for row in self._rows(query, start, end)]

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the recorded bars with start <= open_time < end."""
        query: LiteralString = (
            "SELECT open_time, open::float8, high::float8, low::float8, close::float8, volume::float8 FROM candles"
            " WHERE symbol = %s AND open_time >= %s AND open_time < %s ORDER BY open_time"
        )
        rows = self._rows(query, symbol, start, end)
        times = np.array([to_ms(row[0]) for row in rows], dtype=np.int64)
        table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 5)
        return Bars(symbol, times, *(np.ascontiguousarray(table[:, i]) for i in range(5)))

    def unpublished(self) -> int:
        """Return how many events wait in the outbox."""
        return int(self._rows("SELECT count(*) FROM outbox WHERE published_at IS NULL")[0][0])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, query: LiteralString, *values: object) -> Sequence[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
        try:
            return self._connection.execute(query, values).fetchall()
        except psycopg.OperationalError:
            self.close()
            raise
