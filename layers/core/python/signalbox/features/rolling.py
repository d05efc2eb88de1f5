"""Rolling sums and Wilder averages over the bars that exist. Pure array arithmetic; what it means is in definitions.py.

A running sum that adds the new value and subtracts the old one drifts, and the drift depends on how much history came
before. `rolling_sum` adds only what is inside the window (van Herk's blocks), so that a short live window and years of
batch agree, and a window of zeros sums to exactly zero.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import talib
from numpy.typing import NDArray

Series: TypeAlias = NDArray[np.float64]


def rolling_sum(values: Series, window: int) -> Series:
    """Return (n,) sums of the newest `window` values, NaN before there are as many; O(n) whatever the window."""
    n = values.shape[0]
    out = np.full(n, np.nan)
    if n < window:
        return out
    blocks = -(-n // window)
    padded = np.zeros(blocks * window)
    padded[:n] = values
    grid = padded.reshape(blocks, window)
    from_start = np.cumsum(grid, axis=1).ravel()
    to_end = np.cumsum(grid[:, ::-1], axis=1)[:, ::-1].ravel()
    out[window - 1 :] = from_start[window - 1 : n]
    out[window - 1 :] += to_end[: n - window + 1]
    whole_blocks = slice(window - 1, n, window)  # there both halves are the same block
    out[whole_blocks] = from_start[whole_blocks]
    return out


def lagged(values: Series, bars: int) -> Series:
    """Return the values `bars` bars ago, NaN before that."""
    out = np.full(values.shape[0], np.nan)
    if bars < values.shape[0]:
        out[bars:] = values[: values.shape[0] - bars]
    return out


def wilder_average(values: Series, period: int) -> Series:
    """Return Wilder's smoothing a += (x - a) / period, that is TA-Lib's EMA of 2 * period - 1; NaN while it starts.

    values: (n,), NaN allowed in front only. The start is forgotten as exp(-bars / period).
    """
    span = 2 * period - 1
    if int(np.isfinite(values).sum()) < span:
        return np.full(values.shape[0], np.nan)
    average: Series = talib.EMA(values, timeperiod=span)
    return average


def ratio(numerator: Series, denominator: Series, otherwise: float, floor: float | Series = 0.0) -> Series:
    """Return numerator / denominator where denominator > floor, `otherwise` where it is not, NaN where either is NaN."""
    usable = denominator > floor
    quotient = np.full(numerator.shape[0], otherwise)
    np.divide(numerator, denominator, out=quotient, where=usable)
    quotient[np.isnan(numerator) | np.isnan(denominator)] = np.nan
    return quotient


def rolling_max(values: Series, window: int) -> Series:
    """Return the largest of the newest `window` values, NaN before there are as many."""
    if values.shape[0] < window:
        return np.full(values.shape[0], np.nan)
    highest: Series = talib.MAX(values, timeperiod=window)
    return highest


def rolling_min(values: Series, window: int) -> Series:
    """Return the smallest of the newest `window` values, NaN before there are as many."""
    if values.shape[0] < window:
        return np.full(values.shape[0], np.nan)
    lowest: Series = talib.MIN(values, timeperiod=window)
    return lowest
