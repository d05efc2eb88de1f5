"""`signalbox bench features`: the batch and the newest bar, each compared with a plain-pandas twin on the same bars.

Times are the best of a few repeats where noted, else single runs. Nothing passes or fails here. docs/performance.md explains.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import talib
from rich.console import Console
from rich.table import Table

from local.bench.pandas_twin import frame_of, pandas_features
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.features import Bar, FeatureSchema, FeatureStream, compute_all, compute_features, find_reference, get_schema
from signalbox.market.candles import MINUTE_MS, Bars, Symbol

TWO_YEARS: Final = 2 * 365 * 1440  # bars of one symbol
_SYMBOLS: Final = ("BTC-USD", "ETH-USD", "SOL-USD")
_START_MS: Final = 1_640_995_200_000  # 2022-01-01


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure: `bars` of each symbol from `data`, or from a random walk if `data` is None."""

    data: Path | None = None
    schema: str = "v50"
    bars: int = TWO_YEARS
    workers: int = 2
    repeats: int = 3
    live_minutes: int = 2_000
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class FeatureBench:
    """The measurements. `latest_bar_*` are for all symbols together, so for one minute of the market."""

    schema: str
    source: str
    symbols: int
    rows: int
    features: int
    workers: int
    seconds: float  # best of the repeats, like all our batch figures
    first_seconds: float  # the first repeat, on fresh memory
    cpu_seconds: float  # of the best repeat, user and system
    one_worker_seconds: float
    rows_per_s: float
    pandas_seconds: float  # a single run, because it takes minutes
    speedup: float
    one_worker_speedup: float
    latest_bar_ms: float  # median with a stream
    latest_bar_p99_ms: float
    latest_bar_window_ms: float  # median without a stream: compute_features over `history_bars`
    latest_bar_pandas_ms: float  # median of the twin over the same `history_bars`
    latest_bar_speedup: float
    stream_state_bytes: int  # per symbol
    machine: dict[str, str]


def run_bench(options: BenchOptions) -> FeatureBench:
    """Measure and print. Raises SignalboxError for data that cannot be read."""
    schema = get_schema(options.schema)
    series, source = _series(options)
    rows = sum(len(bars) for bars in series)
    runs = [_timed(lambda: compute_all(schema, series, workers=options.workers)) for _ in range(options.repeats)]
    best = min(runs)
    alone = min(_timed(lambda: compute_all(schema, series, workers=1)) for _ in range(options.repeats))
    pandas_seconds = sum(_timed(lambda b=bars: _twin(schema, b, series))[0] for bars in series)  # type: ignore[misc]
    live = _live(schema, series, options)
    median = live.stream_ms[len(live.stream_ms) // 2]
    result = FeatureBench(
        schema=schema.name,
        source=source,
        symbols=len(series),
        rows=rows,
        features=len(schema.names),
        workers=options.workers,
        seconds=round(best[0], 3),
        first_seconds=round(runs[0][0], 3),
        cpu_seconds=round(best[1], 3),
        one_worker_seconds=round(alone[0], 3),
        rows_per_s=round(rows / best[0]),
        pandas_seconds=round(pandas_seconds, 3),
        speedup=round(pandas_seconds / best[0], 2),
        one_worker_speedup=round(pandas_seconds / alone[0], 2),
        latest_bar_ms=round(median, 4),
        latest_bar_p99_ms=round(live.stream_ms[int(len(live.stream_ms) * 0.99)], 4),
        latest_bar_window_ms=round(live.window_ms, 3),
        latest_bar_pandas_ms=round(live.pandas_ms, 3),
        latest_bar_speedup=round(live.pandas_ms / median, 1),
        stream_state_bytes=live.state_bytes,
        machine=_machine(),
    )
    if options.json_output:
        sys.stdout.write(json.dumps(asdict(result), indent=2) + "\n")
    else:
        _show(result)
    return result


@dataclass(frozen=True, slots=True)
class _Live:
    stream_ms: Sequence[float]  # sorted
    window_ms: float
    pandas_ms: float
    state_bytes: int


def _live(schema: FeatureSchema, series: Sequence[Bars], options: BenchOptions) -> _Live:
    """Measure the newest minute of all symbols: with warmed-up streams, then with windows of `history_bars`."""
    streams = [FeatureStream(schema) for _ in series]
    window = schema.history_bars
    for stream, bars in zip(streams, series, strict=True):
        stream.replay(bars.window(slice(0, window)), find_reference(schema, series))
    ahead = slice(window, window + options.live_minutes)
    minutes = [list(Bar.each(bars.window(ahead))) for bars in series]
    of_all = find_reference(schema, series)
    beside = {} if of_all is None else {bar.open_time_ms: bar for bar in Bar.each(of_all.window(ahead))}
    taken = []
    for bars_of_minute in zip(*minutes, strict=False):
        began = time.perf_counter()
        for stream, bar in zip(streams, bars_of_minute, strict=True):
            stream.update(bar, beside.get(bar.open_time_ms))
        taken.append((time.perf_counter() - began) * 1e3)
    newest = [bars.window(slice(0, window + 1)).last(window) for bars in series]
    reference = find_reference(schema, newest)
    ours = [_timed(lambda: [compute_features(schema, bars, reference=reference) for bars in newest])[0] for _ in range(20)]
    twin = [_timed(lambda: [_twin(schema, bars, newest).iloc[-1] for bars in newest])[0] for _ in range(20)]
    return _Live(sorted(taken), float(np.median(ours)) * 1e3, float(np.median(twin)) * 1e3, len(streams[0].state()))


def _twin(schema: FeatureSchema, bars: Bars, series: Sequence[Bars]) -> pd.DataFrame:
    reference = find_reference(schema, series)
    return pandas_features(_frame(bars), None if reference is None else _frame(reference)["close"])


def _frame(bars: Bars) -> pd.DataFrame:
    columns = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close, "volume": bars.volume}
    return frame_of(bars.open_time_ms, columns)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one run. The time includes freeing the result, for us and for the twin."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _series(options: BenchOptions) -> tuple[tuple[Bars, ...], str]:
    if options.data is None:
        return tuple(random_walk(Symbol(name), options.bars, seed) for seed, name in enumerate(_SYMBOLS)), "random walk"
    found = [require_bars(one).window(slice(0, options.bars)) for one in find_series(options.data)]
    return tuple(found), "recorded candles"


def random_walk(symbol: Symbol, count: int, seed: int) -> Bars:
    """Return bars of a random walk, for a machine without candles."""
    rng = np.random.default_rng(seed)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, count)))
    open_ = np.concatenate(([1_000.0], close[:-1]))
    high = np.maximum(open_, close) * (1.0 + rng.exponential(2e-4, count))
    low = np.minimum(open_, close) * (1.0 - rng.exponential(2e-4, count))
    times = _START_MS + MINUTE_MS * np.arange(count, dtype=np.int64)
    return Bars(symbol, times, open_, high, low, close, rng.lognormal(2.0, 1.0, count))


def _machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "talib": talib.__version__,
        "pandas": pd.__version__,
    }


def _show(result: FeatureBench) -> None:
    table = Table("", "features", "plain pandas", "ratio", title=f"{result.schema}, {result.rows:,} rows, {result.source}")
    batch = f"{result.seconds:.2f} s ({result.rows_per_s:,.0f} rows/s)"
    table.add_row(f"batch, {result.workers} workers", batch, f"{result.pandas_seconds:.2f} s", f"{result.speedup:.1f}x")
    alone = f"{result.one_worker_seconds:.2f} s"
    table.add_row("batch, 1 worker", alone, f"{result.pandas_seconds:.2f} s", f"{result.one_worker_speedup:.1f}x")
    newest = f"{result.latest_bar_ms:.3f} ms (p99 {result.latest_bar_p99_ms:.3f})"
    peer = f"{result.latest_bar_pandas_ms:.1f} ms"
    table.add_row(f"newest bar, {result.symbols} symbols", newest, peer, f"{result.latest_bar_speedup:.0f}x")
    Console().print(table)
