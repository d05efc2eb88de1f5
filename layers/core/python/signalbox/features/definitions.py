"""All features, each declared once, and the ordered list of each schema.

Formulas are written so that a trader can check them: o, h, l, c, v are the bar's open, high, low, close and volume; x[k] is x k
bars ago; sum/max/min_w run over the newest w existing bars; r = ln(c / c[1]); rms_w(r) = sqrt(sum_w(r^2) / w). b is the close of
the reference symbol and R = ln(b / b[1]); both are taken at the minutes of the symbol's own bars, where the reference has a bar.
Changing an expression, a window or a warm-up changes the schema's hash, so a model fitted on the old schema is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from signalbox.features import expressions as x
from signalbox.features.nodes import Node

NARROW_BARS: Final = 15  # a missing minute in a window of up to so many bars moves a feature by 0.2 to 1 standard deviation
SETTLE: Final = 33  # time constants after which a recursive average has forgotten its start: exp(-33) = 5e-15


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its description and the expression that computes it, over years of bars and for one bar alike.

    warmup_bars: how many bars, the newest included, must exist before older bars no longer influence the value.
    """

    name: str
    formula: str
    windows: tuple[int, ...]  # bars
    unit: str
    warmup_bars: int
    source: str
    expression: Node

    @property
    def whole_bars(self) -> int:
        """How many of the newest minutes must exist for it where a schema lets an older one be missing (docs/decisions/0103).

        Its shortest window with the bar before it, if that window is narrow; else only the newest minute.
        """
        shortest = min(self.windows)
        return shortest + 1 if shortest <= NARROW_BARS else 1


def return_volscaled(window: int) -> Feature:
    """Return a feature: the log return over a window, in standard deviations over max(window, 240) bars."""
    scale = max(window, 240)
    return Feature(
        f"return_{window}_volscaled",
        f"ln(c / c[{window}]) / (rms_{scale}(r) * sqrt({window})); 0 if rms is 0",
        (window, scale),
        "standard deviations",
        scale + 1,
        "close",
        x.return_volscaled(window, scale),
    )


def volatility_ratio(fast: int, slow: int) -> Feature:
    """Return a feature: realised volatility over a fast window, divided by that over a slow window."""
    return Feature(
        f"realised_vol_ratio_{fast}_{slow}",
        f"rms_{fast}(r) / rms_{slow}(r); 1 if the slower is 0",
        (fast, slow),
        "ratio",
        slow + 1,
        "close",
        x.volatility_ratio(fast, slow),
    )


def _rsi(period: int) -> Feature:
    return Feature(
        f"rsi_{period}",
        f"100 * W(max(c - c[1], 0)) / W(|c - c[1]|), W = Wilder average of {period}; 50 if W(|c - c[1]|) <= 1e-7 * c",
        (period,),
        "0..100",
        SETTLE * period + 1,
        "close",
        x.rsi_wilder(period),
    )


def position_in_range(window: int) -> Feature:
    """Return a feature: the position of the close within the price range of a window."""
    return Feature(
        f"position_in_range_{window}",
        f"(c - min_{window}(l)) / (max_{window}(h) - min_{window}(l)); 0.5 if the range is 0",
        (window,),
        "0..1",
        window,
        "high, low, close",
        x.position_in_range(window),
    )


def efficiency_ratio(window: int) -> Feature:
    """Return a feature: net price movement divided by the sum of all movements in a window (Kaufman)."""
    return Feature(
        f"efficiency_ratio_{window}",
        f"|ln(c / c[{window}])| / sum_{window}(|r|); 0 if the divisor is 0",
        (window,),
        "0..1",
        window + 1,
        "close",
        x.efficiency_ratio(window),
    )


def volume_zscore(window: int) -> Feature:
    """Return a feature: the z-score of the log volume within a window."""
    return Feature(
        f"volume_zscore_{window}",
        f"(x - mean_{window}(x)) / s, x = ln(1 + v), s = population deviation over {window}; "
        f"0 if s <= 0.001 * sqrt(mean_{window}(x^2))",
        (window,),
        "standard deviations",
        window,
        "volume",
        x.volume_zscore(window),
    )


_WILDER_14: Final = SETTLE * 14 + 1
_MACD: Final = SETTLE * 14 + SETTLE * 5 + 1  # spans 26 and 9 have time constants of 13.5 and 5 bars

V31: Final[tuple[Feature, ...]] = (
    *(return_volscaled(window) for window in (1, 5, 15, 30, 60, 240, 1440)),
    Feature("realised_vol_60", "rms_60(r)", (60,), "log return per bar", 61, "close", x.volatility(60)),
    volatility_ratio(15, 240),
    volatility_ratio(60, 1440),
    Feature(
        "parkinson_vol_60",
        "sqrt(sum_60(ln(h / l)^2) / (4 ln 2 * 60))",
        (60,),
        "log return per bar",
        60,
        "high, low",
        x.parkinson(60),
    ),
    Feature(
        "garman_klass_vol_60",
        "sqrt(sum_60(max(0.5 ln(h / l)^2 - (2 ln 2 - 1) ln(c / o)^2, 0)) / 60)",
        (60,),
        "log return per bar",
        60,
        "open, high, low, close",
        x.garman_klass(60),
    ),
    _rsi(14),
    _rsi(60),
    Feature(
        "rsi_cutler_240",
        "100 * sum_240(max(c - c[1], 0)) / sum_240(|c - c[1]|); 50 if the divisor is 0",
        (240,),
        "0..100",
        241,
        "close",
        x.rsi_cutler(240),
    ),
    Feature("macd_12_26_9", "(EMA_12(c) - EMA_26(c)) / c", (12, 26, 9), "share of price", _MACD, "close", x.macd(12, 26)),
    Feature(
        "macd_hist_12_26_9",
        "(m - EMA_9(m)) / c, m = EMA_12(c) - EMA_26(c)",
        (12, 26, 9),
        "share of price",
        _MACD,
        "close",
        x.macd_histogram(12, 26, 9),
    ),
    Feature(
        "bollinger_percent_b_20_2",
        "(c - (mean - 2 s)) / (4 s), mean and s = population mean and deviation of c over 20; 0.5 if 4 s <= 1e-7 * c",
        (20,),
        "share of band",
        20,
        "close",
        x.bollinger_percent_b(20),
    ),
    Feature(
        "bollinger_width_20_2",
        "4 s / mean, mean and s as in bollinger_percent_b_20_2",
        (20,),
        "share of price",
        20,
        "close",
        x.bollinger_width(20),
    ),
    Feature(
        "atr_14_pct",
        "W(max(h, c[1]) - min(l, c[1])) / c, W = Wilder average of 14",
        (14,),
        "share of price",
        _WILDER_14,
        "high, low, close",
        x.atr_share(14),
    ),
    Feature(
        "adx_14",
        "100 * W(|p - m| / (p + m)), p and m = W of plus and minus directional movement, W = Wilder average of 14; 0 in W "
        "while p + m <= 1e-7 * c",
        (14,),
        "0..100",
        2 * _WILDER_14,
        "high, low, close",
        x.adx(14),
    ),
    position_in_range(240),
    efficiency_ratio(60),
    volume_zscore(240),
    Feature(
        "signed_volume_60",
        "sum_60(v * (2c - h - l) / (h - l)) / sum_60(v), a bar without range counts 0; 0 if sum_60(v) is 0",
        (60,),
        "-1..1",
        60,
        "high, low, close, volume",
        x.signed_volume(60),
    ),
    Feature(
        "vwap_distance_240",
        "ln(c / (sum_240(v * (h + l + c) / 3) / sum_240(v))); 0 if sum_240(v) is 0",
        (240,),
        "log return",
        240,
        "high, low, close, volume",
        x.vwap_distance(240),
    ),
    Feature(
        "gap_fraction_1440",
        "1 - 1440 / minutes spanned by the newest 1440 bars",
        (1440,),
        "0..1",
        1440,
        "open_time",
        x.gap_fraction(1440),
    ),
    Feature(
        "minute_of_day_sin",
        "sin(2 pi * m / 1440), m = UTC minute of day of the close",
        (1,),
        "-1..1",
        1,
        "open_time",
        x.minute_of_day("sin"),
    ),
    Feature(
        "minute_of_day_cos",
        "cos(2 pi * m / 1440), m = UTC minute of day of the close",
        (1,),
        "-1..1",
        1,
        "open_time",
        x.minute_of_day("cos"),
    ),
    Feature(
        "day_of_week_sin",
        "sin(2 pi * d / 7), d = UTC weekday of the close, Monday 0",
        (1,),
        "-1..1",
        1,
        "open_time",
        x.day_of_week("sin"),
    ),
    Feature(
        "day_of_week_cos",
        "cos(2 pi * d / 7), d = UTC weekday of the close, Monday 0",
        (1,),
        "-1..1",
        1,
        "open_time",
        x.day_of_week("cos"),
    ),
)
