"""Small candle files and bars made in the test."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signalbox.features import get_schema
from signalbox.market.candles import MINUTE_MS, Bars, Symbol
from training.config import QUICK
from training.data.dataset import Dataset

START_MS = 1_704_067_200_000  # 2024-01-01
DAY = 1_440


def walk(days: float, seed: int = 1, symbol: str = "BTC-USD", *, pull: float = 0.0) -> Bars:
    """A random walk; with `pull` above 0 each move partly undoes the last hour, which is learnable."""
    rng = np.random.default_rng(seed)
    count = round(days * DAY)
    noise = rng.normal(0.0, 5e-4, count)
    level = np.zeros(count)
    for i in range(1, count):
        level[i] = level[i - 1] + noise[i] - pull * (level[i - 1] - level[max(i - 61, 0)])
    close = 100.0 * np.exp(level)
    open_ = np.concatenate(([100.0], close[:-1]))
    reach = np.abs(rng.normal(0.0, 2e-4, (2, count)))
    high, low = np.maximum(open_, close) * np.exp(reach[0]), np.minimum(open_, close) * np.exp(-reach[1])
    times = START_MS + MINUTE_MS * np.arange(count, dtype=np.int64)
    return Bars(Symbol(symbol), times, open_, high, low, close, np.exp(rng.normal(1.0, 0.5, count)))


def without(bars: Bars, first: int, last: int) -> Bars:
    keep = np.ones(len(bars), dtype=np.bool_)
    keep[first : last + 1] = False
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return Bars(bars.symbol, bars.open_time_ms[keep], *(column[keep] for column in columns))


def table_of(bars: Bars) -> pa.Table:
    times: NDArray[np.int64] = bars.open_time_ms
    return pa.table(
        {
            "open_time": pa.array(times, pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            **{name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        }
    )


def write_candles(folder: Path, *bars: Bars) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for one in bars:
        pq.write_table(table_of(one), folder / f"{one.symbol.replace('-USD', '-USDT')}-1m.parquet")
    return folder


def made_up(count: int, skill: float, seed: int = 0) -> tuple[Dataset, NDArray[np.float64]]:
    """Decisions whose probability of up is truly 1/2 +- skill, and that probability."""
    rng = np.random.default_rng(seed)
    probability = 0.5 + skill * rng.choice([-1.0, 1.0], count)
    up = rng.random(count) < probability
    outcome = np.where(up, 1.0, -1.0) * 1e-3
    decided = np.arange(count, dtype=np.int64) * 300_000
    momentum = rng.normal(size=count)
    features = np.zeros((count, 31), np.float32)
    symbol = np.zeros(count, np.int64)
    label, bar = up.astype(np.float32), np.arange(count)
    data = Dataset(get_schema("v31"), (Symbol("BTC-USD"),), decided, symbol, features, bar, outcome, label, momentum, {})
    return data, probability


def small_config(folder: Path, extra: str = "") -> Path:
    """The quick configuration with one small member of trees, for tests that only need a model."""
    reported = QUICK.read_text(encoding="utf-8")
    for wide, narrow in (
        ('families = ["xgboost", "lstm", "transformer"]', 'families = ["xgboost"]'),
        ("members = 3", "members = 1"),
        ("max_trees = 300", "max_trees = 40"),
        ("max_bin = 128", "max_bin = 32"),
    ):
        assert wide in reported
        reported = reported.replace(wide, narrow, 1)
    path = folder / "small.toml"
    path.write_text(reported + extra, encoding="utf-8")
    return path


def windows_with_a_signal(count: int = 3_000, window_bars: int = 10, seed: int = 0, *, skill: float = 4.0) -> Dataset:
    """Decisions every five minutes whose odds of up are `skill` times the slope of one feature over its window, in deviations."""
    rng = np.random.default_rng(seed)
    bar = window_bars - 1 + 5 * np.arange(count, dtype=np.int64)
    tensor = rng.normal(3.0, 2.0, (int(bar[-1]) + 1, 31)).astype(np.float32)
    half = window_bars // 2
    seen = np.lib.stride_tricks.sliding_window_view(tensor[:, 4], window_bars)[bar - (window_bars - 1)]
    slope = seen[:, half:].mean(axis=1) - seen[:, :half].mean(axis=1)
    up = rng.random(count) < 1.0 / (1.0 + np.exp(-skill * slope / slope.std()))
    outcome = np.where(up, 1.0, -1.0) * 1e-3
    decided = START_MS + 5 * MINUTE_MS * np.arange(count, dtype=np.int64)
    symbol, momentum = np.zeros(count, np.int64), rng.normal(size=count)
    label, symbols = up.astype(np.float32), (Symbol("BTC-USD"),)
    return Dataset(get_schema("v31"), symbols, decided, symbol, tensor, bar, outcome, label, momentum, {}, window_bars)


def parts_of(data: Dataset, *ends: float) -> list[Dataset]:
    """The decisions cut at these shares, in time order."""
    cuts = [0, *(round(len(data) * end) for end in ends), len(data)]
    return [data.select(np.arange(low, high)) for low, high in itertools.pairwise(cuts)]
