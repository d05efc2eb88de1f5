"""Series that several features share, computed at most once per symbol: returns, ranges, their sums and smoothings."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import talib
from numpy.typing import NDArray

from signalbox.features.rolling import Series, lagged, ratio, rolling_max, rolling_min, rolling_sum, wilder_average
from signalbox.market.candles import MINUTE_MS, Bars

MINUTES_PER_DAY: Final = 1440
STILL: Final = 1e-7  # share of the price: smaller average moves count as a market that stands still
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; Monday is 0
_LN2: Final = float(np.log(2.0))


class Workspace:
    """Intermediate series of one symbol's bars, each (n,) float64 aligned with the bars."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._volatility: dict[int, Series] = {}
        self._rsi: dict[int, Series] = {}

    @cached_property
    def log_close(self) -> Series:
        return np.log(self.bars.close)

    @cached_property
    def log_return(self) -> Series:
        """One-bar log returns; the first is NaN."""
        return self.log_change(1)

    def log_change(self, window: int) -> Series:
        """Log return over `window` bars."""
        return self.log_close - lagged(self.log_close, window)

    @cached_property
    def squared_return(self) -> Series:
        squares = self.log_return**2
        squares[:1] = 0.0  # keeps the sums finite; rows that would use it are warm-up
        return squares

    def volatility(self, window: int) -> Series:
        """Root mean square of one-bar log returns (no mean is taken out)."""
        if window not in self._volatility:
            self._volatility[window] = np.sqrt(rolling_sum(self.squared_return, window) / window)
        return self._volatility[window]

    def return_volscaled(self, window: int, scale: int) -> Series:
        return ratio(self.log_change(window), self.volatility(scale) * np.sqrt(window), 0.0)

    def volatility_ratio(self, fast: int, slow: int) -> Series:
        return ratio(self.volatility(fast), self.volatility(slow), 1.0)

    @cached_property
    def _squared_range(self) -> Series:
        squares: Series = np.log(self.bars.high / self.bars.low) ** 2
        return squares

    def parkinson(self, window: int) -> Series:
        return np.sqrt(rolling_sum(self._squared_range, window) / (4.0 * _LN2 * window))

    def garman_klass(self, window: int) -> Series:
        body = np.log(self.bars.close / self.bars.open) ** 2
        variance = np.maximum(0.5 * self._squared_range - (2.0 * _LN2 - 1.0) * body, 0.0)
        return np.sqrt(rolling_sum(variance, window) / window)

    @cached_property
    def _change(self) -> Series:
        return self.bars.close - lagged(self.bars.close, 1)

    def rsi_wilder(self, period: int) -> Series:
        gain = wilder_average(np.maximum(self._change, 0.0), period)
        loss = wilder_average(np.maximum(-self._change, 0.0), period)
        return 100.0 * ratio(gain, gain + loss, 0.5, STILL * self.bars.close)

    def rsi_cutler(self, window: int) -> Series:
        change = np.nan_to_num(self._change)
        gain = rolling_sum(np.maximum(change, 0.0), window)
        return 100.0 * ratio(gain, gain + rolling_sum(np.maximum(-change, 0.0), window), 0.5)

    @cached_property
    def macd(self) -> tuple[Series, Series]:
        """MACD 12-26-9 and its histogram, both as a share of the close."""
        if len(self.bars) < 34:
            empty = np.full(len(self.bars), np.nan)
            return empty, empty
        line, _, histogram = talib.MACD(self.bars.close, fastperiod=12, slowperiod=26, signalperiod=9)
        return line / self.bars.close, histogram / self.bars.close

    @cached_property
    def bollinger(self) -> tuple[Series, Series]:
        """Bands of 20 bars: sum of (close[-k] - close) and its squares, relative to the newest close, so nothing cancels."""
        close = self.bars.close
        total, squares = np.zeros(close.shape[0]), np.zeros(close.shape[0])
        total[:19] = np.nan
        for lag in range(1, 20):
            distance = close[: -lag or None][19 - lag :] - close[19:] if close.shape[0] > 19 else close[:0]
            total[19:] += distance
            squares[19:] += distance * distance
        mean = total / 20.0
        return mean, np.sqrt(np.maximum(squares / 20.0 - mean * mean, 0.0))

    def bollinger_percent_b(self) -> Series:
        mean, deviation = self.bollinger
        return 0.5 + ratio(-mean, 4.0 * deviation, 0.0, STILL * self.bars.close)

    def bollinger_width(self) -> Series:
        mean, deviation = self.bollinger
        return 4.0 * deviation / (self.bars.close + mean)

    @cached_property
    def _true_range(self) -> Series:
        previous = lagged(self.bars.close, 1)
        return np.maximum(self.bars.high, previous) - np.minimum(self.bars.low, previous)

    def atr_share(self, period: int) -> Series:
        return wilder_average(self._true_range, period) / self.bars.close

    def adx(self, period: int) -> Series:
        """Wilder's ADX; the true range of the two directional indicators cancels out of DX."""
        up = self.bars.high - lagged(self.bars.high, 1)
        down = lagged(self.bars.low, 1) - self.bars.low
        plus = wilder_average(_where(up > np.maximum(down, 0.0), up), period)
        minus = wilder_average(_where(down > np.maximum(up, 0.0), down), period)
        directional = ratio(np.abs(plus - minus), plus + minus, 0.0, STILL * self.bars.close)
        return 100.0 * wilder_average(directional, period)

    def position_in_range(self, window: int) -> Series:
        low = rolling_min(self.bars.low, window)
        return ratio(self.bars.close - low, rolling_max(self.bars.high, window) - low, 0.5)

    def efficiency_ratio(self, window: int) -> Series:
        path = rolling_sum(np.abs(np.nan_to_num(self.log_return)), window)
        return ratio(np.abs(self.log_change(window)), path, 0.0)

    def volume_zscore(self, window: int) -> Series:
        """Z-score of log1p(volume); 0 where the volume's spread is under a thousandth of its level."""
        level = np.log1p(self.bars.volume)
        mean = rolling_sum(level, window) / window
        mean_square = rolling_sum(level * level, window) / window
        variance = mean_square - mean * mean
        deviation = np.sqrt(np.maximum(variance, 0.0))
        return ratio(level - mean, deviation, 0.0, 1e-3 * np.sqrt(mean_square))

    def signed_volume(self, window: int) -> Series:
        bars = self.bars
        place = ratio(2.0 * bars.close - bars.high - bars.low, bars.high - bars.low, 0.0)
        return ratio(rolling_sum(place * bars.volume, window), rolling_sum(bars.volume, window), 0.0)

    def vwap_distance(self, window: int) -> Series:
        bars = self.bars
        typical = (bars.high + bars.low + bars.close) / 3.0
        volume = rolling_sum(bars.volume, window)
        vwap = ratio(rolling_sum(typical * bars.volume, window), volume, 1.0)
        return np.where(volume == 0.0, 0.0, self.log_close - np.log(vwap))

    def gap_fraction(self, window: int) -> Series:
        out = np.full(len(self.bars), np.nan)
        times = self.bars.open_time_ms
        if len(self.bars) >= window:
            minutes = (times[window - 1 :] - times[: len(self.bars) - window + 1]) // MINUTE_MS + 1
            out[window - 1 :] = 1.0 - window / minutes
        return out

    @cached_property
    def _close_minute(self) -> NDArray[np.int64]:
        return self.bars.open_time_ms // MINUTE_MS + 1

    def minute_of_day(self, wave: np.ufunc) -> Series:
        table: Series = wave(2.0 * np.pi * np.arange(MINUTES_PER_DAY) / MINUTES_PER_DAY)
        return table[self._close_minute % MINUTES_PER_DAY]

    def day_of_week(self, wave: np.ufunc) -> Series:
        table: Series = wave(2.0 * np.pi * np.arange(7) / 7.0)
        return table[(self._close_minute // MINUTES_PER_DAY + _EPOCH_WEEKDAY) % 7]


def _where(condition: NDArray[np.bool_], values: Series) -> Series:
    """Values where the condition holds, 0 where not; the first bar, which has no bar before it, stays NaN."""
    chosen = np.where(condition, values, 0.0)
    chosen[:1] = np.nan
    return chosen
