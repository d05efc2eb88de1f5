"""Earlier versions of bars that their venue revised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from signalbox.market.candles import Symbol


@dataclass(frozen=True, slots=True)
class BarRevision:
    """A bar as it was until the collection of cycle `replaced_at` brought other numbers. Prices and volume as floats."""

    symbol: Symbol
    open_time: datetime
    replaced_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
