"""Candles for training, from a lake or from recorded files. Both are read by the library's one reader, re-exported here."""

from __future__ import annotations

from signalbox.adapters.lake.series import CandleSeries
from signalbox.adapters.lake.series import find_series as find_candle_files
from signalbox.adapters.lake.series import require_bars as read_bars

__all__ = ["CandleSeries", "find_candle_files", "read_bars"]
