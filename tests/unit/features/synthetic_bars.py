"""Bars made in the test: a seeded walk, with gaps, still markets and other weather on demand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, Bars, Symbol

START_MS = 1_704_067_200_000  # 2024-01-01, a Monday
BTC = Symbol("BTC-USD")


def walk(count: int, seed: int = 1, *, step: float = 4e-4, price: float = 40_000.0, symbol: Symbol = BTC) -> Bars:
    """A random walk with ranges, gaps between bars and lognormal volume."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, step, count)))
    open_ = np.concatenate(([price], close[:-1])) * np.exp(rng.normal(0.0, step / 10, count))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, step / 2, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, step / 2, count)))
    volume = np.exp(rng.normal(2.0, 1.0, count))
    return Bars(symbol, minutes(count), open_, high, low, close, volume)


def minutes(count: int) -> NDArray[np.int64]:
    return START_MS + MINUTE_MS * np.arange(count, dtype=np.int64)


def flat(count: int, price: float = 100.0, volume: float = 0.0) -> Bars:
    prices = np.full(count, price)
    return Bars(BTC, minutes(count), prices, prices, prices, prices, np.full(count, volume))


def without(bars: Bars, first: int, last: int) -> Bars:
    """Leave out the bars first..last, both included."""
    keep = np.ones(len(bars), dtype=np.bool_)
    keep[first : last + 1] = False
    return select(bars, keep)


def select(bars: Bars, keep: NDArray[np.bool_]) -> Bars:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(bars.symbol, bars.open_time_ms[keep], *(column[keep] for column in columns))
