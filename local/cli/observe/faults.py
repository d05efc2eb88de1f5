"""Faults of the feed that an observation must find. The venue serves faulty bars; the observation compares with true ones."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, Bars, Symbol

BEHIND: Final = 10  # minutes that a stale feed lags
TOO_MUCH: Final = 1.05  # factor of a volume that is not the market's


class FeedFault(StrEnum):
    """What a venue does wrong from some instant on."""

    DROPPED_SLOTS = "dropped-slots"  # of every two hours, twenty minutes of the last symbol are missing
    STALE_DATA = "stale-data"  # prices of the last symbol lag behind their own timestamps
    SHIFTED_FEATURE = "shifted-feature"  # volumes of the last symbol are 5 % too high


def faulty(fault: FeedFault, bars: Mapping[Symbol, Bars], since_ms: int) -> dict[Symbol, Bars]:
    """Return the bars as a venue with this fault serves them. since_ms: of the first bar that is wrong."""
    last = list(bars)[-1]
    return {**bars, last: _FAULTS[fault](bars[last], since_ms)}


def _dropped(bars: Bars, since_ms: int) -> Bars:
    minute = (bars.open_time_ms - since_ms) // MINUTE_MS
    keep = (bars.open_time_ms < since_ms) | (minute % 120 < 100)
    return _columns(bars, keep)


def _stale(bars: Bars, since_ms: int) -> Bars:
    index = np.arange(len(bars))
    wrong = bars.open_time_ms >= since_ms
    index[wrong] = np.maximum(index[wrong] - BEHIND, 0)
    return Bars(bars.symbol, bars.open_time_ms, *(getattr(bars, name)[index] for name in _NAMES))


def _shifted(bars: Bars, since_ms: int) -> Bars:
    volume = np.where(bars.open_time_ms >= since_ms, np.round(bars.volume * TOO_MUCH, 8), bars.volume)
    return Bars(bars.symbol, bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, volume)


def _columns(bars: Bars, keep: NDArray[np.bool_]) -> Bars:
    return Bars(bars.symbol, bars.open_time_ms[keep], *(getattr(bars, name)[keep] for name in _NAMES))


_NAMES: Final = ("open", "high", "low", "close", "volume")
_FAULTS: Final = {
    FeedFault.DROPPED_SLOTS: _dropped,
    FeedFault.STALE_DATA: _stale,
    FeedFault.SHIFTED_FEATURE: _shifted,
}
