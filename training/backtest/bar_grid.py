"""Candles of all symbols on one grid of minutes: floats for finding minutes that matter, exact candles for applying them.

Instants are counted in minutes from the grid's first bar. Bar `m` covers [m, m + 1) and closes at instant m + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, Bars, Candle, MarketDataError, Symbol, from_ms

CYCLE_MINUTES = 5
_LEAST, _MOST = 1e-18, 1e18  # numbers between have what a candle asks for: below 10^18, at most 36 decimals


@dataclass(frozen=True, eq=False)
class BarGrid:
    """Bars by symbol, in the product's order, and the time of minute 0.

    open, high, low, close: (symbols, minutes) float64 in quote currency, NaN where a bar is missing.
    """

    bars: tuple[Bars, ...]
    first_ms: int
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]

    @classmethod
    def of(cls, bars: Sequence[Bars]) -> BarGrid:
        """Return the grid of these bars. Raises MarketDataError if there are none, or two series for one symbol."""
        if not bars or not all(len(one) for one in bars):
            raise MarketDataError("a symbol has no candles; give candles for every symbol")
        if len({one.symbol for one in bars}) != len(bars):
            raise MarketDataError(f"expected one series for each symbol, got {', '.join(one.symbol for one in bars)}")
        first = min(int(one.open_time_ms[0]) for one in bars)
        first -= first % (CYCLE_MINUTES * MINUTE_MS)  # so that every cycle is at a multiple of five minutes
        minutes = (max(int(one.open_time_ms[-1]) for one in bars) - first) // MINUTE_MS + 1
        grids = [np.full((len(bars), minutes), np.nan) for _ in range(4)]
        for row, one in enumerate(bars):
            at = (one.open_time_ms - first) // MINUTE_MS
            for grid, column in zip(grids, (one.open, one.high, one.low, one.close), strict=True):
                grid[row, at] = column
        return cls(tuple(bars), first, *grids)

    @property
    def minutes(self) -> int:
        """The number of minutes in the grid."""
        return int(self.open.shape[1])

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbols, in the order of the rows."""
        return tuple(one.symbol for one in self.bars)

    @cached_property
    def row(self) -> dict[Symbol, int]:
        """The row of each symbol."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    @cached_property
    def volume(self) -> NDArray[np.float64]:
        """(symbols, minutes) float64 in base currency, NaN where a bar is missing."""
        found = np.full(self.open.shape, np.nan)
        for row, one in enumerate(self.bars):
            found[row, (one.open_time_ms - self.first_ms) // MINUTE_MS] = one.volume
        return found

    @cached_property
    def is_sound(self) -> bool:
        """Whether every bar keeps the contract of a candle, so that its candle needs no check of its own."""
        known = ~np.isnan(self.open)
        opened, high, low, close, volume = (grid[known] for grid in (self.open, self.high, self.low, self.close, self.volume))
        return bool(
            (low <= np.minimum(opened, close)).all()
            and (np.maximum(opened, close) <= high).all()
            and (low > _LEAST).all()
            and (high < _MOST).all()
            and ((volume == 0) | ((volume > _LEAST) & (volume < _MOST))).all()
        )

    @cached_property
    def is_ragged(self) -> NDArray[np.bool_]:
        """(minutes // 5 + 1,) bool: whether a symbol's bar is missing in the five minutes of a cycle or of the cycle before."""
        lacking = np.isnan(self.open).any(axis=0)
        cycles = np.zeros(-(-self.minutes // CYCLE_MINUTES) + 1, dtype=np.bool_)
        cycles[np.flatnonzero(lacking) // CYCLE_MINUTES] = True
        cycles[1:] |= cycles[:-1].copy()
        return cycles

    @cached_property
    def next_ragged(self) -> NDArray[np.int64]:
        """(cycles + 1,) int64: the first ragged cycle at or after each cycle; the number of cycles if there is none."""
        count = self.is_ragged.shape[0]
        own = np.where(self.is_ragged, np.arange(count), count)
        following: NDArray[np.int64] = np.minimum.accumulate(own[::-1])[::-1]
        return following

    def instant(self, minute: int) -> datetime:
        """Return the time of a minute count."""
        return from_ms(self.first_ms + minute * MINUTE_MS)

    def minute(self, instant: datetime) -> int:
        """Return the minute count of a time, rounded down."""
        since = instant - self._first
        return since.days * 1440 + since.seconds // 60

    @cached_property
    def _first(self) -> datetime:
        return from_ms(self.first_ms)

    def candles(self, after: int, until: int) -> dict[Symbol, list[Candle]]:
        """Return the exact bars that closed in (after, until], oldest first. Symbols without a bar are left out."""
        found: dict[Symbol, list[Candle]] = {}
        minutes = [(m, self.instant(m)) for m in range(max(after, 0), min(until, self.minutes))]
        for row, of_symbol in enumerate(self.bars):
            for m, at in minutes:
                if (one := self._candle(row, m, at)) is not None:
                    found.setdefault(of_symbol.symbol, []).append(one)
        return found

    def newest(self, after: int, until: int) -> dict[Symbol, list[Candle]]:
        """Return the newest bar of each symbol that closed in (after, until]."""
        found: dict[Symbol, list[Candle]] = {}
        for row, symbol in enumerate(self.symbols):
            for m in range(min(until, self.minutes) - 1, max(after, 0) - 1, -1):
                if (one := self._candle(row, m, self.instant(m))) is not None:
                    found[symbol] = [one]
                    break
        return found

    def known_bars(self, symbol: Symbol, until: int, count: int) -> Bars:
        """Return the newest `count` bars of a symbol that closed at or before `until`, without copying."""
        bars = self.bars[self.row[symbol]]
        stop = int(np.searchsorted(bars.open_time_ms, self.first_ms + (until - 1) * MINUTE_MS, side="right"))
        return bars.window(slice(max(stop - count, 0), stop))

    def price(self, symbol: Symbol, until: int) -> Decimal:
        """Return the exact close of the bar that closed at `until`. Raises MarketDataError if it is missing."""
        value = self.close[self.row[symbol], until - 1]
        if np.isnan(value):
            raise MarketDataError(f"{symbol}: no bar closed at {self.instant(until).isoformat()}")
        return exact_price(float(value))

    def _candle(self, row: int, m: int, at: datetime) -> Candle | None:
        first = self.open.item(row, m)
        if math.isnan(first):
            return None
        symbol = self.bars[row].symbol
        numbers = (
            exact_price(first),
            exact_price(self.high.item(row, m)),
            exact_price(self.low.item(row, m)),
            exact_price(self.close.item(row, m)),
            exact_price(self.volume.item(row, m)),
        )
        return Candle.trusted(symbol, at, numbers) if self.is_sound else Candle(symbol, at, *numbers)


def exact_price(value: float) -> Decimal:
    """Return the shortest decimal with this float value, which is the price as the exchange wrote it."""
    return Decimal(repr(value))
