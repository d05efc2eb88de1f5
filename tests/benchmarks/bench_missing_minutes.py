"""How long one missing minute matters: to each feature, and to the decisions of the starter.

`python tests/benchmarks/bench_missing_minutes.py --data DIR [--bundle DIR] [--start ISO] [--end ISO] [--every 90] [--json]`

Takes one minute out of whole history, once for each of many minutes, and computes the features and probabilities of the next
hours with and without it. Each gap stands alone: a feature's history is all there but for that one minute. `k` is the age of the
gap: how many minutes before the newest bar the missing one lies (1: the bar just before the newest one is missing).

Features: the root mean square of the error, in standard deviations of the feature over the period. Decisions: those of the
starter at five-minute boundaries, its windows made of the newest bars that exist. They are compared in pairs: the same decisions
with the minute there. Intervals: 95 %, whole days resampled. No model of the
starter was fitted on the period (its temperature and thresholds were, until 2023-12-04).
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema, compute_features, get_schema
from signalbox.inference.bundle import Workspace, load_bundle
from signalbox.inference.ensemble import Ensemble
from signalbox.market.candles import MINUTE_MS, Bars
from training.data.candles import find_candle_files, read_bars
from training.data.dataset import DECISION_MINUTES, ENTRY_LAG_BARS, HORIZON_MINUTES
from training.data.splits import DAY_MS
from training.judge.estimates import Estimate, mean_by_day

STARTER: Final = Path(__file__).parents[2] / "training" / "starter_bundle"
AGES: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 240)  # of the gap, at which features are compared
OLDEST: Final = 135  # of the gap, at which decisions are compared: 119 is the longest that a missing minute refuses today
BANDS: Final = ((1, 5), (6, 15), (16, 30), (31, 59), (60, 119), (120, OLDEST))
DRAWN_SEED: Final = 15
SD_ROWS: Final = 200_000


def main() -> None:
    options = _options()
    ensemble = load_bundle(options.bundle, Workspace.MACHINE)
    schemas = [get_schema(name) for name in options.schemas.split(",")]
    before = (max(*(schema.history_bars for schema in schemas), ensemble.history_bars) + 1) * MINUTE_MS
    start, end = (int(one.timestamp() * 1000) for one in (options.start, options.end))
    series = [
        read_bars(file, datetime.fromtimestamp((start - before) / 1000, UTC), options.end)
        for file in find_candle_files(Path(options.data))
    ]
    found: dict[str, Any] = {"start": options.start.isoformat(), "end": options.end.isoformat(), "every": options.every}
    found["features"] = {schema.name: _features(schema, series, start, end, options.every) for schema in schemas}
    if not options.features_only:
        found["decisions"] = _decisions(ensemble, series, start, end, options.every)
    sys.stdout.write(json.dumps(found) + "\n" if options.json else _text(found))


def _gaps(bars: Bars, start: int, end: int, every: int, after: int) -> NDArray[np.int64]:
    """Return the rows to take out, one drawn from each `every` minutes, with `after` minutes behind it."""
    rng = np.random.default_rng(DRAWN_SEED)
    first, last = np.searchsorted(bars.open_time_ms, [start, end - after * MINUTE_MS])
    at = np.arange(first, last - every, every)
    drawn: NDArray[np.int64] = at + rng.integers(0, every, at.shape[0])
    return drawn


def _without(bars: Bars, row: int, begin: int, stop: int) -> Bars:
    keep = np.r_[begin:row, row + 1 : stop]
    return Bars(bars.symbol, *(getattr(bars, n)[keep] for n in ("open_time_ms", "open", "high", "low", "close", "volume")))


def _features(schema: FeatureSchema, series: list[Bars], start: int, end: int, every: int) -> dict[str, Any]:
    """Return, per feature, the error at each of AGES in standard deviations, over all symbols, and the number of gaps.

    The reference's bars are whole, and the symbol's own have the gap; the reference symbol's are its own.
    """
    squares, count = np.zeros((len(AGES), len(schema.names))), np.zeros(len(AGES))
    moments = []
    reference = next((one for one in series if one.symbol == schema.reference_symbol), None)
    for bars in series:
        own = reference if bars.symbol != schema.reference_symbol else None
        whole = compute_features(schema, bars, reference=own)
        inside = (whole.open_time_ms >= start) & whole.is_complete
        moments.append(whole.values[inside][:: max(1, int(inside.sum()) * len(series) // SD_ROWS)])
        for row in _gaps(bars, start, end, every, max(AGES) + 1).tolist():
            begin, stop = row - schema.history_bars - 1, row + max(AGES) + 1
            if begin < 0 or bars.open_time_ms[stop - 1] - bars.open_time_ms[begin] != (stop - 1 - begin) * MINUTE_MS:
                continue  # another gap, of the recording itself
            lossy = compute_features(schema, _without(bars, row, begin, stop), reference=own)
            for i, age in enumerate(AGES):
                here, there = lossy.values[row - begin - 1 + age], whole.values[row + age]
                if np.isfinite(here).all() and np.isfinite(there).all():
                    squares[i] += (here - there) ** 2
                    count[i] += 1
    deviation = np.concatenate(moments).std(axis=0)
    deviation[deviation == 0.0] = 1.0  # gap_fraction_1440 of whole history: shown in its own unit
    rms = np.sqrt(squares / count[:, None]) / deviation
    return {"gaps": int(count[0]), "rms": {name: [round(float(x), 5) for x in rms[:, f]] for f, name in enumerate(schema.names)}}


def _decisions(ensemble: Ensemble, series: list[Bars], start: int, end: int, every: int) -> list[dict[str, Any]]:
    """Return, for each of BANDS, how decisions with a gap of that age differ from the same decisions without it.

    Only for a bundle whose schema has no reference.
    """
    schema, length = ensemble.schema, ensemble.window_bars
    ages, days, outcomes, pairs, symbols = [], [], [], [], []
    windows_at_once: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])

    def flush() -> None:
        if windows_at_once[0]:
            pairs.append(np.stack([ensemble.predict(np.stack(one)) for one in windows_at_once], axis=1))
            windows_at_once[0].clear()
            windows_at_once[1].clear()

    for number, bars in enumerate(series):
        whole = compute_features(schema, bars)
        closes = bars.open_time_ms + MINUTE_MS
        after = OLDEST + HORIZON_MINUTES + ENTRY_LAG_BARS + 1
        for row in _gaps(bars, start, end, every, after).tolist():
            begin, stop = row - ensemble.history_bars - 1, row + OLDEST + 1
            if begin < 0 or bars.open_time_ms[row + after] - bars.open_time_ms[begin] != (row + after - begin) * MINUTE_MS:
                continue
            lossy = compute_features(schema, _without(bars, row, begin, stop)).values
            for age in range(1, OLDEST + 1):
                at = row + age
                if closes[at] % (DECISION_MINUTES * MINUTE_MS):
                    continue
                here = at - begin - 1
                windows_at_once[0].append(whole.values[at - length + 1 : at + 1])
                windows_at_once[1].append(lossy[here - length + 1 : here + 1])
                ages.append(age)
                days.append(int(closes[at]) // DAY_MS)
                symbols.append(number)
                outcomes.append(float(bars.open[at + ENTRY_LAG_BARS + HORIZON_MINUTES] / bars.open[at + ENTRY_LAG_BARS] - 1.0))
            if len(ages) - sum(len(one) for one in pairs) >= 2_000:
                flush()
    flush()
    return _bands(ensemble, np.concatenate(pairs), np.array(ages), np.array(days), np.array(outcomes))


def _bands(
    ensemble: Ensemble,
    probability: NDArray[np.float64],
    age: NDArray[np.int64],
    day: NDArray[np.int64],
    outcome: NDArray[np.float64],
) -> list[dict[str, Any]]:
    issued = np.abs(probability - 0.5) >= ensemble.issue_margin
    hit = (np.where(probability > 0.5, 1.0, -1.0) * outcome[:, None] > 0).astype(np.float64)
    side_changes = (probability[:, 0] > 0.5) != (probability[:, 1] > 0.5)
    found = []
    for low, high in BANDS:
        rows = (age >= low) & (age <= high)
        with_it, without = (mean_by_day(hit[rows & issued[:, i], i], day[rows & issued[:, i]]) for i in (0, 1))
        found.append(
            {
                "ages": [low, high],
                "decisions": int(rows.sum()),
                "rms_probability": round(float(np.sqrt(np.mean((probability[rows, 0] - probability[rows, 1]) ** 2))), 5),
                "issued_whole": int(issued[rows, 0].sum()),
                "issued_changed": int((issued[rows, 0] != issued[rows, 1]).sum()),
                "sides_changed": int((side_changes & issued.any(axis=1) & rows).sum()),
                "whole": _figures(with_it),
                "missing": _figures(without),
                "difference": _figures(_difference(issued[rows], hit[rows], day[rows])),
            }
        )
    return found


def _difference(issued: NDArray[np.bool_], hit: NDArray[np.float64], day: NDArray[np.int64]) -> Estimate:
    """Return the precision with the minute missing less that of the same moments with it there; whole days are resampled."""
    rng = np.random.default_rng(DRAWN_SEED)
    _, index = np.unique(day, return_inverse=True)
    sums = [np.bincount(index, weights=hit[:, i] * issued[:, i]) for i in (0, 1)]
    counts = [np.bincount(index, weights=issued[:, i].astype(np.float64)) for i in (0, 1)]
    draws = rng.multinomial(index.max() + 1, np.full(index.max() + 1, 1.0 / (index.max() + 1)), 2_000)
    change = (draws @ sums[1]) / (draws @ counts[1]) - (draws @ sums[0]) / (draws @ counts[0])
    low, high = np.quantile(change, [0.025, 0.975])
    value = sums[1].sum() / counts[1].sum() - sums[0].sum() / counts[0].sum()
    return Estimate(float(value), float(low), float(high), int(counts[1].sum()))


def _figures(estimate: Estimate) -> list[float]:
    return [round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4), estimate.n]


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['start'][:10]} to {found['end'][:10]}, a gap drawn every {found['every']} minutes and symbol"]
    for name, figures in found["features"].items():
        lines.append(f"{name}: error by the gap's age, in standard deviations, {figures['gaps']:,} gaps")
        lines.append(" " * 30 + "".join(f"{age:8}" for age in AGES))
        lines += [f"  {one:28}" + "".join(f"{x:8.3f}" for x in rms) for one, rms in figures["rms"].items()]
    for band in found.get("decisions", []):
        low, high = band["ages"]
        whole, missing, change = (band[name] for name in ("whole", "missing", "difference"))
        lines.append(
            f"  {low:3}-{high:3} min: {band['decisions']:6,} decisions, p off by {band['rms_probability']:.4f}, issued "
            f"{whole[3]:,} ({band['issued_changed']:,} changed, {band['sides_changed']:,} sides)"
        )
        lines.append(
            f"      precision {_interval(whole)} whole, {_interval(missing)} missing, difference {change[0]:+.4f} "
            f"[{change[1]:+.4f}, {change[2]:+.4f}]"
        )
    return "\n".join(lines) + "\n"


def _interval(figures: list[float]) -> str:
    return f"{figures[0]:.3f} [{figures[1]:.3f}, {figures[2]:.3f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", type=Path, default=STARTER)
    parser.add_argument("--schemas", default="v31,v50")
    parser.add_argument("--start", type=_instant, default=_instant("2023-09-02"))
    parser.add_argument("--end", type=_instant, default=_instant("2024-03-09"))
    parser.add_argument("--every", type=int, default=90, help="minutes of each symbol from which one gap is drawn")
    parser.add_argument("--features-only", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    main()
