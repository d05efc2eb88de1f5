"""Each family of features as an expression over the columns of the bars. definitions.py gives the windows and descriptions."""

from __future__ import annotations

import math
from typing import Final

from signalbox.features.moments import WindowDeviation, WindowMean
from signalbox.features.nodes import CLOSE, CLOSE_MINUTE, HIGH, LOW, OPEN, REFERENCE, VOLUME, Apply, Node, Operand, Ratio, Wave
from signalbox.features.windows import Ema, Lag, RollingMax, RollingMin, RollingSum

STILL: Final = 1e-7  # share of the price: average moves up to this count as no movement
MINUTES_PER_DAY: Final = 1440
MINUTES_PER_WEEK: Final = 7 * MINUTES_PER_DAY
_LN2: Final = math.log(2.0)


def _of(operation: str, *operands: Operand) -> Node:
    return Apply(operation, operands)


def _wilder(source: Node, period: int) -> Node:
    """Wilder's smoothing a += (x - a) / period, that is TA-Lib's EMA of 2 * period - 1."""
    return Ema(source, 2 * period - 1)


LOG_CLOSE: Final = _of("log", CLOSE)
LOG_RETURN: Final = LOG_CLOSE - Lag(LOG_CLOSE, 1)
_SQUARED_RETURN: Final = LOG_RETURN * LOG_RETURN
_ABSOLUTE_RETURN: Final = _of("absolute", LOG_RETURN)
_LOG_RANGE: Final = _of("log", HIGH / LOW)
_SQUARED_RANGE: Final = _LOG_RANGE * _LOG_RANGE
_CHANGE: Final = CLOSE - Lag(CLOSE, 1)
_GAIN: Final = _of("maximum", _CHANGE, 0.0)
_LOSS: Final = _of("maximum", -_CHANGE, 0.0)
_LOG_VOLUME: Final = _of("log1p", VOLUME)


def log_change(window: int) -> Node:
    """Return the log return over `window` bars."""
    return LOG_CLOSE - Lag(LOG_CLOSE, window)


def volatility(window: int) -> Node:
    """Return the root mean square of one-bar log returns; no mean is subtracted."""
    return _of("sqrt", RollingSum(_SQUARED_RETURN, window) / float(window))


def return_volscaled(window: int, scale: int) -> Node:
    """Return the log return over `window` bars, in standard deviations measured over the newest `scale` bars."""
    return Ratio(log_change(window), volatility(scale) * math.sqrt(window), 0.0)


def volatility_ratio(fast: int, slow: int) -> Node:
    """Return the volatility of the newest `fast` bars divided by that of the newest `slow` bars."""
    return Ratio(volatility(fast), volatility(slow), 1.0)


def parkinson(window: int) -> Node:
    """Return Parkinson's volatility per bar, from high-low ranges."""
    return _of("sqrt", RollingSum(_SQUARED_RANGE, window) / (4.0 * _LN2 * window))


def parkinson_ratio(fast: int, slow: int) -> Node:
    """Return the ratio of two Parkinson volatilities, fast to slow."""
    return Ratio(parkinson(fast), parkinson(slow), 1.0)


def garman_klass(window: int) -> Node:
    """Return the Garman-Klass volatility per bar, from high-low ranges and open-close bodies."""
    body = _of("log", CLOSE / OPEN)
    variance = _of("maximum", 0.5 * _SQUARED_RANGE - (2.0 * _LN2 - 1.0) * (body * body), 0.0)
    return _of("sqrt", RollingSum(variance, window) / float(window))


def rsi_wilder(period: int) -> Node:
    """Return the RSI with Wilder averages; 50 in a market without movement."""
    gain = _wilder(_GAIN, period)
    return 100.0 * Ratio(gain, gain + _wilder(_LOSS, period), 0.5, STILL * CLOSE)


def rsi_cutler(window: int) -> Node:
    """Return the RSI with plain sums over a finite window."""
    gain = RollingSum(_GAIN, window)
    return 100.0 * Ratio(gain, gain + RollingSum(_LOSS, window), 0.5)


def _macd_line(fast: int, slow: int) -> Node:
    return Ema(CLOSE, fast) - Ema(CLOSE, slow)


def macd(fast: int, slow: int) -> Node:
    """Return the MACD line as a share of the price."""
    return _macd_line(fast, slow) / CLOSE


def macd_histogram(fast: int, slow: int, signal: int) -> Node:
    """Return the MACD line minus its signal line, as a share of the price."""
    line = _macd_line(fast, slow)
    return (line - Ema(line, signal)) / CLOSE


def bollinger_percent_b(window: int) -> Node:
    """Return where the close lies between the Bollinger bands at two deviations: 0 at the lower band, 1 at the upper."""
    return 0.5 + Ratio(-WindowMean(CLOSE, window), 4.0 * WindowDeviation(CLOSE, window), 0.0, STILL * CLOSE)


def bollinger_width(window: int) -> Node:
    """Return the distance between those bands as a share of their middle."""
    return 4.0 * WindowDeviation(CLOSE, window) / (CLOSE + WindowMean(CLOSE, window))


def close_zscore(window: int) -> Node:
    """Return the distance of the close from its mean, in standard deviations."""
    return Ratio(-WindowMean(CLOSE, window), WindowDeviation(CLOSE, window), 0.0, STILL * CLOSE)


def atr_share(period: int) -> Node:
    """Return the average true range as a share of the price."""
    before = Lag(CLOSE, 1)
    return _wilder(_of("maximum", HIGH, before) - _of("minimum", LOW, before), period) / CLOSE


def adx(period: int) -> Node:
    """Return Wilder's ADX. DX needs no true range: it cancels out of the ratio of the two directional indicators."""
    up, down = HIGH - Lag(HIGH, 1), Lag(LOW, 1) - LOW
    plus = _wilder(_of("directional", up, down), period)
    minus = _wilder(_of("directional", down, up), period)
    directional = Ratio(_of("absolute", plus - minus), plus + minus, 0.0, STILL * CLOSE)
    return 100.0 * _wilder(directional, period)


def position_in_range(window: int) -> Node:
    """Return where the close lies between the lowest low and the highest high."""
    low = RollingMin(LOW, window)
    return Ratio(CLOSE - low, RollingMax(HIGH, window) - low, 0.5)


def efficiency_ratio(window: int) -> Node:
    """Return net price movement divided by the sum of all movements in the window (Kaufman)."""
    return Ratio(_of("absolute", log_change(window)), RollingSum(_ABSOLUTE_RETURN, window), 0.0)


def return_autocorrelation(window: int) -> Node:
    """Return the correlation of one-bar returns with the return before; no mean is subtracted."""
    products = RollingSum(LOG_RETURN * Lag(LOG_RETURN, 1), window)
    return Ratio(products, RollingSum(_SQUARED_RETURN, window), 0.0)


def volume_zscore(window: int) -> Node:
    """Return the z-score of log1p(volume); 0 where the deviation is below a thousandth of the root mean square."""
    mean = RollingSum(_LOG_VOLUME, window) / float(window)
    mean_square = RollingSum(_LOG_VOLUME * _LOG_VOLUME, window) / float(window)
    deviation = _of("sqrt", _of("maximum", mean_square - mean * mean, 0.0))
    return Ratio(_LOG_VOLUME - mean, deviation, 0.0, 1e-3 * _of("sqrt", mean_square))


def signed_volume(window: int) -> Node:
    """Return volume weighted by where each bar closed in its range (-1 at the low, 1 at the high), as a share of all volume."""
    place = Ratio(2.0 * CLOSE - HIGH - LOW, HIGH - LOW, 0.0)
    return Ratio(RollingSum(place * VOLUME, window), RollingSum(VOLUME, window), 0.0)


def vwap_distance(window: int) -> Node:
    """Return the log distance of the close from the volume-weighted average price."""
    typical = (HIGH + LOW + CLOSE) / 3.0
    vwap = Ratio(RollingSum(typical * VOLUME, window), RollingSum(VOLUME, window), CLOSE)
    return LOG_CLOSE - _of("log", vwap)


def amihud_share(fast: int, slow: int) -> Node:
    """Return a / (a + b), where a and b are price movement per traded value over the newest `fast` and `slow` bars."""
    quote_volume = CLOSE * VOLUME
    newest = RollingSum(_ABSOLUTE_RETURN, fast) * RollingSum(quote_volume, slow)
    usual = RollingSum(_ABSOLUTE_RETURN, slow) * RollingSum(quote_volume, fast)
    return Ratio(newest, newest + usual, 0.5)


def minutes_spanned(bars: int) -> Node:
    """Return the minutes from the open of the oldest to the close of the newest of the newest `bars` bars."""
    return CLOSE_MINUTE - Lag(CLOSE_MINUTE, bars - 1) + 1.0


def bars_traded(window: int) -> Node:
    """Return how many of the newest `window` bars have volume; the others are empty minutes."""
    return RollingSum(Ratio(VOLUME, VOLUME, 0.0), window)  # 1 or 0 a bar


def gap_fraction(window: int) -> Node:
    """Return the share of missing minutes in the time that the newest `window` bars span."""
    return 1.0 - float(window) / minutes_spanned(window)


def minute_of_day(wave: str) -> Node:
    """Return the sine or cosine of the minute within the UTC day."""
    return Wave(wave, MINUTES_PER_DAY, 1)


def day_of_week(wave: str) -> Node:
    """Return the sine or cosine of the day within the week, in steps of one day."""
    return Wave(wave, MINUTES_PER_WEEK, MINUTES_PER_DAY)


def minute_of_week(wave: str) -> Node:
    """Return the sine or cosine of the minute within the week."""
    return Wave(wave, MINUTES_PER_WEEK, 1)


# --- compared with a reference symbol: only minutes that both symbols have count, and none is filled -----------------------

LOG_REFERENCE: Final = _of("log", REFERENCE)
_REFERENCE_RETURN: Final = LOG_REFERENCE - Lag(LOG_REFERENCE, 1)
_PAIRED_RETURN: Final = _of("or_zero", _REFERENCE_RETURN)  # 0 where the reference has no bar, so a sum ignores that minute
_PAIRED_SQUARE: Final = _PAIRED_RETURN * _PAIRED_RETURN


def reference_pairs(window: int) -> Node:
    """Return how many of the newest `window` one-bar returns exist for the reference too."""
    return RollingSum(_of("known", _REFERENCE_RETURN), window)


def reference_change(window: int) -> Node:
    """Return the reference's log return over the time of `window` bars of the symbol."""
    return LOG_REFERENCE - Lag(LOG_REFERENCE, window)


def reference_return_volscaled(window: int, scale: int) -> Node:
    """Return the reference's log return in its own standard deviations, measured over `scale` bars."""
    mean_square = Ratio(RollingSum(_PAIRED_SQUARE, scale), reference_pairs(scale), 0.0)
    return Ratio(reference_change(window), _of("sqrt", mean_square) * math.sqrt(window), 0.0)


def reference_beta(window: int) -> Node:
    """Return the slope of the symbol's one-bar returns on the reference's, regressed through the origin."""
    products = RollingSum(_of("or_zero", LOG_RETURN * _PAIRED_RETURN), window)
    return Ratio(products, RollingSum(_PAIRED_SQUARE, window), 0.0)


def reference_residual(window: int, scale: int) -> Node:
    """Return the symbol's return minus beta times the reference's return, in standard deviations of the symbol."""
    residual = log_change(window) - reference_beta(scale) * reference_change(window)
    return Ratio(residual, volatility(scale) * math.sqrt(window), 0.0)
