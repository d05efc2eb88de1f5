"""`signalbox data sample`: a small lake of a seeded simulator, to try things with no data at all.

Its venue is called synthetic: that name is in the path and in the footer of every file, and in every report made from them.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from local.cli.data.importing.numbers import number_texts
from local.errors import DataError
from local.market.simulator import ASSETS, DEFAULT_END, SimulatedSource
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.merging import FreshDay
from signalbox.adapters.lake.stores import FolderStore
from signalbox.market.candles import Symbol
from signalbox.market.lake import SYNTHETIC, DayKey, SeriesKey, days_between


def run_data_sample(out: Path, *, days: int, seed: int, json_output: bool) -> int:
    """Write whole UTC days up to a fixed date, so that the same seed and number of days always give the same files.

    Raises DataError for a folder that holds a lake of a market: candles of a simulator do not belong beside those.
    """
    lake = Lake(FolderStore(out))
    if others := {key.series.venue for key in lake.days()} - {SYNTHETIC}:
        raise DataError(f"--out: {out} holds candles of {', '.join(sorted(others))}; choose a folder for synthetic ones alone")
    source = SimulatedSource(seed)
    end = DEFAULT_END.replace(hour=0, minute=0)
    start = end - timedelta(days=days)
    written = rows = 0
    for name in ASSETS:
        symbol = Symbol(name)
        for day in days_between(start, end):
            key = DayKey(SeriesKey(SYNTHETIC, symbol), day)
            bars = source.bars(symbol, key.start, key.end)
            columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
            texts = tuple(number_texts(pa.array(column))[0] for column in columns)
            merge = lake.merge_day(FreshDay(key, np.asarray(bars.open_time_ms), texts), replace=True)
            written += merge.is_changed
            rows += len(bars)
    result: dict[str, Any] = {
        "synthetic": True,
        "seed": seed,
        "symbols": list(ASSETS),
        "start": start.isoformat(),
        "end": end.isoformat(),
        "rows": rows,
        "days_written": written,
        "out": str(out),
    }
    if json_output:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    Console(stderr=json_output).print(
        f"{rows:,} synthetic rows of {', '.join(ASSETS)}, {start:%Y-%m-%d} to {end:%Y-%m-%d} UTC, seed {seed}, in {out}; "
        "their prices say nothing about a market",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0
