"""`signalbox features value`: measures whether alternative data adds anything to the features of candles (training.judge)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from local.cli.data.alternative.report import read_observations
from local.errors import DataError
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.alternative.features import NAMES, SCHEMA_NAME, alternative_features
from signalbox.alternative.observations import MarketObservation
from signalbox.features import get_schema
from training.data.dataset import Dataset, build_dataset
from training.judge.added_value import AddedValue, AddedValueVerdict, measure_added_value

BASE: Final = "v50"
_WORDS: Final = {
    AddedValueVerdict.ADDS: "the alternative data adds information",
    AddedValueVerdict.NONE: "no added value was found: do not fit a model on it",
    AddedValueVerdict.HARMS: "decisions are worse with it: do not fit a model on it",
}


@dataclass(frozen=True, slots=True)
class ValueOptions:
    """What to measure. assume_lag: minutes from a value's publication until it counts as known; None: use the recorded time."""

    data: Path
    alternative: Path
    assume_lag: float | None
    start: datetime | None
    end: datetime | None
    out: Path | None
    json_output: bool


def run_value(options: ValueOptions) -> AddedValue:
    """Measure, print, and write the features if asked.

    Raises DataError without alternative data that can be read, MarketDataError for too few days.
    """
    observations, bad = read_observations(options.alternative)
    if bad:
        raise DataError(f"--alternative: {len(bad)} files cannot be read, first {bad[0]}")
    if not observations:
        raise DataError(f"--alternative: {options.alternative} holds no alternative data; collect some (signalbox collect alt)")
    bars = [require_bars(one, options.start, options.end) for one in find_series(options.data)]
    data = build_dataset(get_schema(BASE), bars)
    additional = features_of(data, observations, options.assume_lag)
    if options.out is not None:
        _write(options.out, data, additional)
    found = measure_added_value(data, additional)
    if options.json_output:
        facts = {
            **asdict(found),
            "verdict": found.verdict.value,
            "schema": SCHEMA_NAME,
            "assumed_lag_minutes": options.assume_lag,
        }
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    _show(Console(stderr=options.json_output), found, options)
    return found


def features_of(data: Dataset, observations: tuple[MarketObservation, ...], assume_lag: float | None) -> NDArray[np.float32]:
    """Return the alternative features of each decision, (n, 14) float32."""
    lag = None if assume_lag is None else timedelta(minutes=assume_lag)
    found = np.full((len(data), len(NAMES)), np.nan, dtype=np.float32)
    for index, symbol in enumerate(data.symbols):
        own = np.flatnonzero(data.symbol == index)
        found[own] = alternative_features(observations, symbol, data.decided_at_ms[own], lag=lag)
    return found


def _write(out: Path, data: Dataset, additional: NDArray[np.float32]) -> None:
    """Write a row per decision: symbol, decided_at, the features of v50 and the fourteen others."""
    table = np.column_stack([data.features, additional])
    names = (*data.schema.names, *NAMES)
    columns = {
        "symbol": pa.array([data.symbols[index] for index in data.symbol]),
        "decided_at": pa.array(data.decided_at_ms).cast(pa.timestamp("ms", tz="UTC")),
        **{name: pa.array(np.ascontiguousarray(table[:, i])) for i, name in enumerate(names)},
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns).replace_schema_metadata({"signalbox.schema": SCHEMA_NAME}), out)
    except OSError as error:
        raise DataError(f"--out {out}: cannot be written: {error.strerror or error}") from error


def _show(console: Console, found: AddedValue, options: ValueOptions) -> None:
    def figure(name: str, low: float, value: float, high: float) -> str:
        return (
            f"  {name:<10} {value * 1000:+.3f} (95 %: {low * 1000:+.3f} to {high * 1000:+.3f}) thousandths of log loss a decision"
        )

    gain, placebo = found.gain, found.placebo
    lines = [
        f"{SCHEMA_NAME} against {BASE}: {gain.n:,} decisions of {found.days} unseen days, {found.folds} fits",
        figure("gain", gain.low, gain.value, gain.high),
        figure("placebo", placebo.low, placebo.value, placebo.high),
        f"  precision of the most confident tenth: {found.precision_without:.1%} without, {found.precision_with:.1%} with",
        f"  coverage: {found.coverage:.1%} of decisions had any value",
        _WORDS[found.verdict],
    ]
    if options.assume_lag is not None:
        lines.append(f"assumed: every value was known {options.assume_lag:g} minutes after its publication; nobody recorded that")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
