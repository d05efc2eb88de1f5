"""Feeds the exchange stand-in from a candle source. It caches bars, so that a live exchange serves each minute once."""

from __future__ import annotations

import threading
from datetime import datetime

import numpy as np

from local.market.source import CandleHistory
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol, to_ms

REREAD = 5 * ONE_MINUTE  # read again, because a live exchange may publish a bar late


class CachedFeed:
    """Caches one growing window per symbol."""

    def __init__(self, source: CandleHistory) -> None:
        self._source = source
        self._kept: dict[Symbol, tuple[datetime, datetime, Bars]] = {}
        self._lock = threading.Lock()

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the bars with start <= open_time < end. Only new bars are read from the source."""
        with self._lock:
            kept = self._kept.get(symbol)
            if kept is None or start < kept[0] or start > kept[1]:
                kept = (start, end, self._source.bars(symbol, start, end))
            elif end > kept[1]:
                since = max(kept[1] - REREAD, kept[0])
                kept = (kept[0], end, _joined(kept[2], self._source.bars(symbol, since, end), since))
            self._kept[symbol] = kept
        low, high = np.searchsorted(kept[2].open_time_ms, [to_ms(start), to_ms(end)])
        return kept[2].window(slice(int(low), int(high)))


def _joined(old: Bars, new: Bars, since: datetime) -> Bars:
    """Return the old bars before `since` followed by the new ones."""
    head = old.window(slice(0, int(np.searchsorted(old.open_time_ms, to_ms(since)))))
    names = ("open_time_ms", "open", "high", "low", "close", "volume")
    return Bars(old.symbol, *(np.concatenate([getattr(head, n), getattr(new, n)]) for n in names))
