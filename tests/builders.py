"""Small, valid domain objects for tests; each argument is what the test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from signalbox.events import CandleRow, CandlesClosed, CollectionProblem, SymbolCandles
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol

BTC, ETH, SOL = Symbol("BTC-USD"), Symbol("ETH-USD"), Symbol("SOL-USD")
SYMBOLS = (BTC, ETH, SOL)
NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def candle(symbol: Symbol = BTC, open_time: datetime = NOON - ONE_MINUTE, close: str = "100", **changes: str) -> Candle:
    """One flat bar at `close`."""
    price = Decimal(close)
    numbers = {"open": price, "high": price, "low": price, "close": price, "volume": Decimal(1)}
    numbers |= {name: Decimal(value) for name, value in changes.items()}
    return Candle(symbol, open_time, **numbers)


def candles(symbol: Symbol, until: datetime, count: int, *, missing: tuple[datetime, ...] = ()) -> list[Candle]:
    """`count` minutes up to `until`, with a gentle deterministic wave; `missing` open times are left out."""
    found = []
    for i in range(count):
        open_time = until - ONE_MINUTE * (count - i)
        if open_time in missing:
            continue
        minute = int(open_time.timestamp()) // 60
        base = Decimal(100 + minute % 37 + (minute // 60) % 11) + Decimal(minute % 7) / 10
        after = base + Decimal(minute % 5 - 2) / 10
        found.append(Candle(symbol, open_time, base, max(base, after) + 1, min(base, after) - 1, after, Decimal(1 + minute % 13)))
    return found


def event(
    cycle_at: datetime = NOON,
    *,
    count: int = 10,
    part: int = 1,
    parts: int = 1,
    symbols: tuple[Symbol, ...] = SYMBOLS,
    without: tuple[Symbol, ...] = (),
    missing: tuple[datetime, ...] = (),
) -> CandlesClosed:
    """What collect_candles announces; symbols in `without` come empty, with a problem."""
    return CandlesClosed(
        venue="coinbase",
        cycle_at=cycle_at,
        part=part,
        parts=parts,
        symbols=tuple(
            SymbolCandles(symbol=s, candles=(), problem=CollectionProblem.VENUE_UNAVAILABLE)
            if s in without
            else SymbolCandles(
                symbol=s,
                candles=tuple(
                    CandleRow(t=c.open_time, o=c.open, h=c.high, l=c.low, c=c.close, v=c.volume)
                    for c in candles(s, cycle_at, count, missing=missing)
                ),
            )
            for s in symbols
        ),
    )


def minutes(count: float) -> timedelta:
    """`count` minutes."""
    return timedelta(minutes=count)
