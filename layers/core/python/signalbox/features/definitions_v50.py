"""The features that v50 adds to v31: more windows, liquidity, autocorrelation, time of week, and comparison with BTC-USD.

BTC-USD is its own reference and needs no special case: its btc_return columns hold its own returns, its beta is 1 (0 in a window
without movement, as for any symbol) and its residual is 0. The formulas give that for any symbol compared with itself, so one
model can serve all symbols.
"""

from __future__ import annotations

from typing import Final

from signalbox.features import expressions as x
from signalbox.features.definitions import (
    SETTLE,
    V31,
    Feature,
    efficiency_ratio,
    position_in_range,
    return_volscaled,
    volatility_ratio,
    volume_zscore,
)

_MACD_SLOW: Final = SETTLE * 65 + SETTLE * 5 + 1  # spans 130 and 9 have time constants of 65 and 5 bars


def _minute_of_week(wave: str) -> Feature:
    return Feature(
        f"minute_of_week_{wave}",
        f"{wave}(2 pi * m / 10080), m = minutes from Monday 00:00 UTC to the close",
        (1,),
        "-1..1",
        1,
        "open_time",
        x.minute_of_week(wave),
    )


def _reference_return(window: int) -> Feature:
    return Feature(
        f"btc_return_{window}_volscaled",
        f"ln(b / b[{window}]) / (sqrt(sum_240(R^2) / n) * sqrt({window})), n = number of R there; 0 if the divisor is 0",
        (window, 240),
        "standard deviations",
        241,
        "close of BTC-USD",
        x.reference_return_volscaled(window, 240),
    )


V50: Final[tuple[Feature, ...]] = (
    *V31,
    return_volscaled(720),
    volatility_ratio(5, 60),
    Feature(
        "parkinson_vol_ratio_15_240",
        "p_15 / p_240, p_w = sqrt(sum_w(ln(h / l)^2) / (4 ln 2 * w)); 1 if p_240 is 0",
        (15, 240),
        "ratio",
        240,
        "high, low",
        x.parkinson_ratio(15, 240),
    ),
    Feature(
        "macd_60_130_9",
        "(EMA_60(c) - EMA_130(c)) / c",
        (60, 130, 9),
        "share of price",
        _MACD_SLOW,
        "close",
        x.macd(60, 130),
    ),
    Feature(
        "macd_hist_60_130_9",
        "(m - EMA_9(m)) / c, m = EMA_60(c) - EMA_130(c)",
        (60, 130, 9),
        "share of price",
        _MACD_SLOW,
        "close",
        x.macd_histogram(60, 130, 9),
    ),
    Feature(
        "return_autocorrelation_60",
        "sum_60(r * r[1]) / sum_60(r^2); 0 if the divisor is 0",
        (60,),
        "correlation",
        62,
        "close",
        x.return_autocorrelation(60),
    ),
    Feature(
        "amihud_share_60_1440",
        "a_60 / (a_60 + a_1440), a_w = sum_w(|r|) / sum_w(c * v), written as products so that no volume divides by 0; "
        "0.5 if nothing moved or nothing was traded",
        (60, 1440),
        "0..1",
        1441,
        "close, volume",
        x.amihud_share(60, 1440),
    ),
    volume_zscore(60),
    volume_zscore(1440),
    Feature(
        "close_zscore_240",
        "(c - mean) / s, mean and s = population mean and deviation of c over 240; 0 if s <= 1e-7 * c",
        (240,),
        "standard deviations",
        240,
        "close",
        x.close_zscore(240),
    ),
    position_in_range(60),
    position_in_range(1440),
    efficiency_ratio(240),
    _minute_of_week("sin"),
    _minute_of_week("cos"),
    _reference_return(5),
    _reference_return(60),
    Feature(
        "btc_beta_240",
        "sum_240(r * R) / sum_240(R^2), over the bars that have R; 0 if the divisor is 0; 1 for BTC-USD itself",
        (240,),
        "ratio",
        241,
        "close, close of BTC-USD",
        x.reference_beta(240),
    ),
    Feature(
        "btc_residual_60_volscaled",
        "(ln(c / c[60]) - btc_beta_240 * ln(b / b[60])) / (rms_240(r) * sqrt(60)); 0 if rms is 0; 0 for BTC-USD itself",
        (60, 240),
        "standard deviations",
        241,
        "close, close of BTC-USD",
        x.reference_residual(60, 240),
    ),
)
