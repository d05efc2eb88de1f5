"""The features of v31 and v50 in plain pandas: the benchmark's comparison, and a second implementation for the tests.

Plain rolling and ewm over the existing rows; each intermediate series is computed once. It is written from the descriptions in
docs/features.md, not from the definitions in `signalbox.features`; a test compares the two.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

STILL: Final = 1e-7  # smallest change, as a share of the price, that counts as movement
MINUTES_PER_DAY: Final = 1440
Column: TypeAlias = Any  # a pd.Series; pandas' type stubs lose it in numpy's functions


def frame_of(open_time_ms: np.ndarray, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return a frame of open, high, low, close, volume, indexed by open time in UTC."""
    return pd.DataFrame(columns, index=pd.to_datetime(open_time_ms, unit="ms", utc=True))


def pandas_features(bars: pd.DataFrame, reference_close: Column | None = None) -> pd.DataFrame:
    """Return the features of v31, or of v50 if the closes of the reference symbol are given. Rows are those of the bars."""
    close, log_close = bars["close"], np.log(bars["close"])
    returns = log_close.diff()
    squares = returns**2
    volatility = {w: np.sqrt(squares.rolling(w).mean()) for w in (15, 60, 240, 1440)}
    features = {
        f"return_{w}_volscaled": _ratio(log_close.diff(w), volatility[max(w, 240)] * np.sqrt(w), 0.0)
        for w in (1, 5, 15, 30, 60, 240, 1440)
    }
    features["realised_vol_60"] = volatility[60]
    features["realised_vol_ratio_15_240"] = _ratio(volatility[15], volatility[240], 1.0)
    features["realised_vol_ratio_60_1440"] = _ratio(volatility[60], volatility[1440], 1.0)
    ranges = np.log(bars["high"] / bars["low"]) ** 2
    features["parkinson_vol_60"] = _parkinson(ranges, 60)
    body = np.log(close / bars["open"]) ** 2
    features["garman_klass_vol_60"] = np.sqrt((0.5 * ranges - (2 * np.log(2) - 1) * body).clip(lower=0.0).rolling(60).mean())
    features |= _oscillators(bars)
    features["position_in_range_240"] = _position(bars, 240)
    features["efficiency_ratio_60"] = _efficiency(log_close, returns, 60)
    features["volume_zscore_240"] = _volume_zscore(bars["volume"], 240)
    place = _ratio(2 * close - bars["high"] - bars["low"], bars["high"] - bars["low"], 0.0)
    traded = bars["volume"].rolling(60).sum()
    features["signed_volume_60"] = _ratio((place * bars["volume"]).rolling(60).sum(), traded, 0.0)
    typical = (bars["high"] + bars["low"] + close) / 3
    vwap = (typical * bars["volume"]).rolling(240).sum() / bars["volume"].rolling(240).sum()
    features["vwap_distance_240"] = (log_close - np.log(vwap)).mask(bars["volume"].rolling(240).sum() <= 0, 0.0)
    features |= _calendar(bars)
    if reference_close is not None:
        features |= _of_v50(bars, log_close, returns, volatility, ranges)
        features |= _beside(log_close, returns, volatility, np.log(reference_close.reindex(bars.index)))
    return pd.DataFrame(features)


def _ratio(numerator: Column, denominator: Column, otherwise: float, floor: Column | float = 0.0) -> Column:
    return (numerator / denominator).mask((denominator <= floor) & numerator.notna(), otherwise)


def _parkinson(ranges: Column, window: int) -> Column:
    return np.sqrt(ranges.rolling(window).mean() / (4 * np.log(2)))


def _wilder(series: Column, period: int) -> Column:
    return series.ewm(alpha=1 / period, adjust=False).mean()


def _oscillators(bars: pd.DataFrame) -> dict[str, Column]:
    close, high, low = bars["close"], bars["high"], bars["low"]
    change = close.diff()
    gain, loss = change.clip(lower=0.0), (-change).clip(lower=0.0)
    features: dict[str, Column] = {}
    for period in (14, 60):
        up, down = _wilder(gain, period), _wilder(loss, period)
        features[f"rsi_{period}"] = 100 * _ratio(up, up + down, 0.5, STILL * close)
    up, down = gain.rolling(240).sum(), loss.rolling(240).sum()
    features["rsi_cutler_240"] = 100 * _ratio(up, up + down, 0.5)
    features["macd_12_26_9"], features["macd_hist_12_26_9"] = _macd(close, 12, 26)
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    features["bollinger_percent_b_20_2"] = 0.5 + _ratio(close - mean, 4 * deviation, 0.0, STILL * close)
    features["bollinger_width_20_2"] = 4 * deviation / mean
    before = close.shift()
    true_range = np.maximum(high, before) - np.minimum(low, before)
    features["atr_14_pct"] = _wilder(true_range, 14) / close
    rise, fall = high.diff(), -low.diff()
    plus = _wilder(rise.where(rise > fall.clip(lower=0.0), 0.0).where(rise.notna()), 14)
    minus = _wilder(fall.where(fall > rise.clip(lower=0.0), 0.0).where(fall.notna()), 14)
    features["adx_14"] = 100 * _wilder(_ratio((plus - minus).abs(), plus + minus, 0.0, STILL * close), 14)
    return features


def _macd(close: Column, fast: int, slow: int) -> tuple[Column, Column]:
    line = close.ewm(span=fast, adjust=False).mean() - close.ewm(span=slow, adjust=False).mean()
    return line / close, (line - line.ewm(span=9, adjust=False).mean()) / close


def _position(bars: pd.DataFrame, window: int) -> Column:
    low = bars["low"].rolling(window).min()
    return _ratio(bars["close"] - low, bars["high"].rolling(window).max() - low, 0.5)


def _efficiency(log_close: Column, returns: Column, window: int) -> Column:
    return _ratio(log_close.diff(window).abs(), returns.abs().rolling(window).sum(), 0.0)


def _volume_zscore(volume: Column, window: int) -> Column:
    level = np.log1p(volume)
    rolling = level.rolling(window)
    floor = 1e-3 * np.sqrt((level**2).rolling(window).mean())
    return _ratio(level - rolling.mean(), rolling.std(ddof=0), 0.0, floor)


def _calendar(bars: pd.DataFrame) -> dict[str, Column]:
    minute: Column = pd.Series(_times(bars) // 60_000 + 1, index=bars.index)
    day, week = 2 * np.pi * (minute % MINUTES_PER_DAY) / MINUTES_PER_DAY, 2 * np.pi * ((minute // MINUTES_PER_DAY + 3) % 7) / 7
    return {
        "gap_fraction_1440": 1 - MINUTES_PER_DAY / (minute.diff(MINUTES_PER_DAY - 1) + 1),
        "minute_of_day_sin": np.sin(day),
        "minute_of_day_cos": np.cos(day),
        "day_of_week_sin": np.sin(week),
        "day_of_week_cos": np.cos(week),
    }


def _times(bars: pd.DataFrame) -> Column:
    """Return open times in milliseconds since the epoch."""
    return pd.DatetimeIndex(bars.index).as_unit("ms").asi8


def _of_v50(
    bars: pd.DataFrame, log_close: Column, returns: Column, volatility: dict[int, Column], ranges: Column
) -> dict[str, Column]:
    close, volume, squares = bars["close"], bars["volume"], returns**2
    features = {
        "return_720_volscaled": _ratio(log_close.diff(720), np.sqrt(squares.rolling(720).mean() * 720), 0.0),
        "realised_vol_ratio_5_60": _ratio(np.sqrt(squares.rolling(5).mean()), volatility[60], 1.0),
        "parkinson_vol_ratio_15_240": _ratio(_parkinson(ranges, 15), _parkinson(ranges, 240), 1.0),
    }
    features["macd_60_130_9"], features["macd_hist_60_130_9"] = _macd(close, 60, 130)
    products = (returns * returns.shift()).rolling(60).sum()
    features["return_autocorrelation_60"] = _ratio(products, squares.rolling(60).sum(), 0.0)
    moved, traded = returns.abs(), close * volume
    newest = moved.rolling(60).sum() * traded.rolling(1440).sum()
    usual = moved.rolling(1440).sum() * traded.rolling(60).sum()
    features["amihud_share_60_1440"] = _ratio(newest, newest + usual, 0.5)
    features["volume_zscore_60"] = _volume_zscore(volume, 60)
    features["volume_zscore_1440"] = _volume_zscore(volume, 1440)
    rolling = close.rolling(240)
    features["close_zscore_240"] = _ratio(close - rolling.mean(), rolling.std(ddof=0), 0.0, STILL * close)
    features["position_in_range_60"] = _position(bars, 60)
    features["position_in_range_1440"] = _position(bars, 1440)
    features["efficiency_ratio_240"] = _efficiency(log_close, returns, 240)
    minute: Column = pd.Series(_times(bars) // 60_000 + 1 + 3 * MINUTES_PER_DAY, index=bars.index)
    week = 2 * np.pi * (minute % (7 * MINUTES_PER_DAY)) / (7 * MINUTES_PER_DAY)
    features["minute_of_week_sin"], features["minute_of_week_cos"] = np.sin(week), np.cos(week)
    return features


def _beside(log_close: Column, returns: Column, volatility: dict[int, Column], reference: Column) -> dict[str, Column]:
    paired = reference.diff()
    squares = (paired**2).fillna(0.0).rolling(240).sum()
    scale = np.sqrt(squares / paired.notna().rolling(240).sum())
    beta = _ratio((returns * paired).fillna(0.0).rolling(240).sum(), squares, 0.0)
    residual = log_close.diff(60) - beta * reference.diff(60)
    return {
        "btc_return_5_volscaled": _ratio(reference.diff(5), scale * np.sqrt(5), 0.0),
        "btc_return_60_volscaled": _ratio(reference.diff(60), scale * np.sqrt(60), 0.0),
        "btc_beta_240": beta,
        "btc_residual_60_volscaled": _ratio(residual, volatility[240] * np.sqrt(60), 0.0),
    }
