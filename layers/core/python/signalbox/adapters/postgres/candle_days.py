"""The ledger's candles by UTC day, for the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.market.candles import Candle, Symbol

# One index probe per day instead of a scan of every candle. Sessions are in UTC, so a day is a UTC day.
_DAYS: Final = """
WITH RECURSIVE days AS (
    (SELECT date_trunc('day', open_time) AS day FROM candles
     WHERE venue = %(venue)s AND symbol = %(symbol)s AND open_time < %(before)s ORDER BY open_time LIMIT 1)
    UNION ALL
    SELECT (SELECT date_trunc('day', open_time) FROM candles
            WHERE venue = %(venue)s AND symbol = %(symbol)s AND open_time < %(before)s
              AND open_time >= days.day + interval '1 day' ORDER BY open_time LIMIT 1)
    FROM days WHERE days.day IS NOT NULL
)
SELECT day::date FROM days WHERE day IS NOT NULL ORDER BY day
"""
_CANDLES: Final = """
SELECT open_time, open, high, low, close, volume FROM candles
WHERE venue = %s AND symbol = %s AND open_time >= %s AND open_time < %s ORDER BY open_time
"""


class PostgresCandleDays:
    """`market.compaction.CandleLedger` on PostgreSQL. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source

    def days(self, venue: str, symbol: Symbol, before: datetime) -> Sequence[date]:
        with self._source.snapshot() as connection:
            rows = connection.execute(_DAYS, {"venue": venue, "symbol": symbol, "before": before}).fetchall()
        return [row[0] for row in rows]

    def candles(self, venue: str, symbol: Symbol, start: datetime, end: datetime) -> Sequence[Candle]:
        with self._source.snapshot() as connection:
            rows = connection.execute(_CANDLES, (venue, symbol, start, end)).fetchall()
        return [Candle(symbol, *row) for row in rows]
