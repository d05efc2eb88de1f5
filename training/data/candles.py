"""Candles for training: whatever the one reader of candles can read, a lake or recorded files, under the names used here."""

from __future__ import annotations

from signalbox.adapters.lake.series import CandleSeries
from signalbox.adapters.lake.series import find_series as find_candle_files
from signalbox.adapters.lake.series import require_bars as read_bars

__all__ = ["CandleSeries", "find_candle_files", "read_bars"]
