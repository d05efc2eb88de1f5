"""Small candle files and bars made in the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, Bars, Symbol

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
