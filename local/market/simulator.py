"""A seeded market: mean-reverting daily levels; minutes with clustered volatility, fat tails, jumps and correlation.

Every UTC day is a pure function of (seed, day), and a day ends where the next begins. Any window can therefore be generated
alone, and a restarted workbench continues the same market. It exists to exercise the system; its prices say nothing about a real
market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local.errors import DataError
from local.market.source import HistoryCoverage
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms

FIRST_DAY: Final = date(2024, 1, 1)
LAST_DAY: Final = date(2034, 1, 1)
DEFAULT_END: Final = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)  # fixed, so that every demo is the same
DAY_MINUTES: Final = 1440
CORRELATION: Final = np.array([[1.0, 0.82, 0.72], [0.82, 1.0, 0.76], [0.72, 0.76, 1.0]])
GARCH: Final = (0.06, 0.92)  # weight of the newest squared shock, persistence
JUMPS_A_DAY: Final = 2.0
TAIL_DF: Final = 4.0  # Student-t degrees of freedom of a minute's shock
REVERSION: Final = 0.02  # share of a level's distance from its anchor that it loses per day


@dataclass(frozen=True, slots=True)
class SimulatedAsset:
    """The properties of one simulated symbol."""

    price: float  # quote currency
    daily_volatility: float  # standard deviation of the log return of a day
    volume: float  # median base currency per minute


ASSETS: Final[dict[str, SimulatedAsset]] = {
    "BTC-USD": SimulatedAsset(60_000.0, 0.025, 4.0),
    "ETH-USD": SimulatedAsset(3_000.0, 0.032, 45.0),
    "SOL-USD": SimulatedAsset(140.0, 0.045, 700.0),
}


class SimulatedSource:
    """Bars of any window from 2024 to 2033; a seed always gives the same bars."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._names = tuple(ASSETS)
        self._day = lru_cache(maxsize=64)(self._make_day)
        self._levels = lru_cache(maxsize=1)(self._make_levels)

    @property
    def name(self) -> str:
        return f"simulated market, seed {self._seed}"

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:
        for symbol in symbols:
            self._index(symbol)
        return HistoryCoverage(_midnight(FIRST_DAY), _midnight(LAST_DAY))

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:  # noqa: ARG002 - the same for all symbols
        return DEFAULT_END

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        self.coverage([symbol]).require(start, end, symbol)
        index = self._index(symbol)
        first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        times = np.concatenate([to_ms(_midnight(d)) + np.arange(DAY_MINUTES, dtype=np.int64) * MINUTE_MS for d in days])
        table = np.concatenate([self._day(d)[index] for d in days])
        keep = (times >= to_ms(start)) & (times < to_ms(end))
        return Bars(symbol, times[keep], *(np.ascontiguousarray(table[keep, i]) for i in range(5)))

    def _index(self, symbol: Symbol) -> int:
        if symbol not in ASSETS:
            raise DataError(f"{symbol}: the simulator has only {', '.join(ASSETS)}")
        return self._names.index(symbol)

    def _make_levels(self) -> NDArray[np.float64]:
        """Return log prices at midnight, shape (days + 1, assets)."""
        rng = np.random.default_rng([self._seed, 0])
        count = (LAST_DAY - FIRST_DAY).days + 1
        shocks = rng.standard_normal((count, len(ASSETS))) @ np.linalg.cholesky(CORRELATION).T
        anchor = np.log([a.price for a in ASSETS.values()])
        levels = np.empty((count, len(ASSETS)))
        levels[0] = anchor
        for day in range(1, count):
            pull = REVERSION * (anchor - levels[day - 1])
            levels[day] = levels[day - 1] + pull + shocks[day] * [a.daily_volatility for a in ASSETS.values()]
        return levels

    def _make_day(self, day: date) -> NDArray[np.float64]:
        """Return open, high, low, close, volume of every minute, shape (assets, 1440, 5)."""
        number = (day - FIRST_DAY).days
        rng = np.random.default_rng([self._seed, 1, number])
        levels = self._levels()
        assets = tuple(ASSETS.values())
        base = np.array([a.daily_volatility for a in assets]) / np.sqrt(DAY_MINUTES)
        chol = np.linalg.cholesky(CORRELATION)
        tails = rng.standard_t(TAIL_DF, (DAY_MINUTES, len(assets))) / np.sqrt(TAIL_DF / (TAIL_DF - 2)) @ chol.T
        jumps = (rng.random((DAY_MINUTES, 1)) < JUMPS_A_DAY / DAY_MINUTES) * rng.normal(0.0, 6.0, (DAY_MINUTES, 1))
        sigma = _volatility(tails, base) * np.exp(0.35 * rng.standard_normal())  # makes the day calm or volatile
        returns = sigma * (tails + jumps)
        path = np.cumsum(returns, axis=0)
        ramp = (np.arange(1, DAY_MINUTES + 1) / DAY_MINUTES)[:, None]
        path += ramp * (levels[number + 1] - levels[number] - path[-1])  # Brownian bridge: the day ends at tomorrow's level
        close = np.round(np.exp(levels[number] + path), 2)
        open_ = np.vstack([np.round(np.exp(levels[number]), 2), close[:-1]])
        wick = np.abs(rng.normal(0.0, 0.6, (2, DAY_MINUTES, len(assets)))) * sigma
        high = np.round(np.maximum(open_, close) * np.exp(wick[0]), 2)
        low = np.round(np.minimum(open_, close) * np.exp(-wick[1]), 2)
        # more volume in the afternoon
        hours = 1.0 + 0.4 * np.sin((np.arange(DAY_MINUTES) / DAY_MINUTES - 0.3) * 2 * np.pi)[:, None]
        activity = (sigma / base) * (1.0 + np.abs(returns) / sigma) * np.exp(0.6 * rng.standard_normal(sigma.shape))
        volume = np.round(hours * activity * np.array([a.volume for a in assets]), 8)
        return np.stack([open_, high, low, close, volume], axis=-1).transpose(1, 0, 2)


def _volatility(shocks: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return GARCH(1,1) standard deviations around `base`, in the shape of `shocks`; each minute uses only earlier shocks."""
    news, persistence = GARCH
    variance = np.empty_like(shocks)
    variance[0] = 1.0
    for minute in range(1, shocks.shape[0]):
        before = variance[minute - 1]
        surprise = np.minimum(shocks[minute - 1] ** 2, 25.0)  # one jump must not explode the day
        variance[minute] = (1.0 - news - persistence) + (news * surprise + persistence) * before
    return np.asarray(base * np.sqrt(np.clip(variance, 0.05, 30.0)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
