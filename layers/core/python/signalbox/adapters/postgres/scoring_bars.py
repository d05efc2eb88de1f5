"""The ledger's candles for scoring (`application.score_signals.ScoringBars`): all symbols from one snapshot, as in a cycle."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedgerTransaction
from signalbox.market.candles import Bars, Symbol


class LedgerBars:
    """The candles of one venue. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource, venue: str) -> None:
        self._source, self._venue = source, venue

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> dict[Symbol, Bars]:
        """Return at most `count` of each symbol's newest bars that are closed at `until`."""
        with self._source.snapshot() as connection:
            reading = PostgresLedgerTransaction(connection)
            return {symbol: reading.bars(self._venue, symbol, until, count) for symbol in symbols}
