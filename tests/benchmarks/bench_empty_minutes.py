"""What minutes without a trade cost: decisions refused and precision, with the bars thinned to a share of their trades.

`python tests/benchmarks/bench_empty_minutes.py --data DIR [--symbol SOL-USD] [--start ISO] [--end ISO] [--share 0.2] [--json]`

Each minute keeps each of its trades with probability `share`; a minute that keeps none is empty. A venue that omits such
minutes is read in two ways: as gaps, and as the flat bars of decision 0096. Prices and volumes of the other minutes stay, so
this measures absent bars alone. The newest minute of a decision, when empty, is known only if the next minute has a trade in
its first 40 seconds; a refusal for that reason is counted with the others (a venue that is asked for its trades proves it at
once: then there is none). Needs the recorded candles with their `trades`.

`--lost 0.001` instead loses that share of the minutes for good, and compares the schema that needs every minute, its form that
spares one (decision 0103), and one that needs two minutes only. bench_missing_minutes.py measures a lost minute alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from signalbox.features import SPARING, FeatureSchema, get_schema
from signalbox.inference.bundle import Workspace, load_bundle
from signalbox.market.acceptance import AcceptedCandles
from signalbox.market.candles import MINUTE_MS, Bars, Candle, from_ms
from signalbox.market.collection import LOOK_AGAIN_SECONDS
from signalbox.market.empty_minutes import empty_bars
from training.data.candles import find_candle_files, read_bars
from training.data.dataset import build_dataset
from training.judge.estimates import mean_by_day
from training.judge.scoring import score

STARTER = Path(__file__).parents[2] / "training" / "starter_bundle"
CYCLE_MS = 5 * MINUTE_MS
WARM_UP_SLACK = 1_440  # a day more: bars are counted, and gaps are walked over


def main() -> None:
    options = _options()
    data = Path(options.data)
    rng = np.random.default_rng(options.seed)
    (file,) = (one for one in find_candle_files(data) if one.symbol == options.symbol)
    whole = read_bars(file, options.start, options.end)
    kept_trades = rng.binomial(_trades(data / f"{options.symbol}T-1m.parquet", whole), options.share)
    there = kept_trades > 0
    gaps = _rows(whole, there)
    flat, unproved = _as_flat(whole, kept_trades, rng)
    ensemble = load_bundle(STARTER, Workspace.MACHINE)
    strict = get_schema(ensemble.schema.name)
    first = int(whole.open_time_ms[0]) + (ensemble.history_bars + WARM_UP_SLACK) * MINUTE_MS  # before it everything is refused
    closes = whole.open_time_ms + MINUTE_MS
    decisions = int(((closes % CYCLE_MS == 0) & (closes >= first)).sum())
    found: dict[str, Any] = {
        "symbol": options.symbol, "start": options.start.isoformat(), "end": options.end.isoformat(), "share": options.share,
        "seed": options.seed, "empty_minutes": int((~there).sum()), "minutes": len(whole), "decisions": decisions, "arms": {},
    }  # fmt: skip
    arms: list[tuple[str, Bars, set[int], FeatureSchema]] = [
        ("every trade", whole, set(), strict),
        ("gaps", gaps, set(), strict),
        ("flat bars", flat, unproved, ensemble.schema),
    ]
    if options.lost:
        lossy = _rows(whole, rng.random(len(whole)) >= options.lost)
        schemas = {"all whole": strict, "one spared": SPARING[strict.name], "2 whole": replace(strict, contiguous_bars=2)}
        arms = [arms[0], *((f"lost, {name}", lossy, set[int](), schema) for name, schema in schemas.items())]
    if options.most_empty is not None:
        limited = replace(ensemble.schema, most_empty_bars=options.most_empty)
        arms.append((f"at most {options.most_empty}", flat, unproved, limited))
    for name, bars, unknown, schema in arms:
        rows = build_dataset(schema, [bars], window_bars=ensemble.window_bars, unjudged=True)
        decided = np.array([int(t) not in unknown and int(t) >= first for t in rows.decided_at_ms], dtype=np.bool_)
        scored = score(ensemble, build_dataset(schema, [bars], window_bars=ensemble.window_bars))
        issued = scored.select(scored.issued)
        precision = mean_by_day(issued.hit, issued.day)
        found["arms"][name] = {
            "decided": int(decided.sum()),
            "refused_share": round(1 - int(decided.sum()) / decisions, 5),
            "issued": len(issued),
            "precision": round(precision.value, 4),
            "interval": [round(precision.low, 4), round(precision.high, 4)],
        }
    sys.stdout.write(json.dumps(found) + "\n" if options.json else _text(found))


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['symbol']} {found['start'][:10]} to {found['end'][:10]}, {found['share']:.0%} of the trades: "
        f"{found['empty_minutes']:,} of {found['minutes']:,} minutes empty, {found['decisions']:,} decisions"
    ]
    for name, arm in found["arms"].items():
        low, high = arm["interval"]
        refused, precision = f"refused {arm['refused_share']:7.2%}", f"precision {arm['precision']:.3f} [{low:.3f}, {high:.3f}]"
        lines.append(f"  {name:18} {refused}   {precision} of {arm['issued']:,} issued")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--symbol", default="SOL-USD")
    parser.add_argument("--start", type=_instant, default=_instant("2023-06-01"))
    parser.add_argument("--end", type=_instant, default=_instant("2023-08-01"))
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument(
        "--lost", type=float, default=0.0, help="instead: lose this share of the minutes, and require fewer whole ones"
    )
    parser.add_argument("--most-empty", type=int, default=None, help="also with a limit on the empty minutes of an hour")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _trades(path: Path, bars: Bars) -> np.ndarray:
    table = pq.read_table(path, columns=["open_time", "trades"])
    times = table.column("open_time").cast("int64").to_numpy()
    found: np.ndarray = table.column("trades").to_numpy()[np.searchsorted(times, bars.open_time_ms)]
    return found


def _rows(bars: Bars, rows: np.ndarray) -> Bars:
    return Bars(bars.symbol, *(getattr(bars, n)[rows] for n in ("open_time_ms", "open", "high", "low", "close", "volume")))


def _as_flat(whole: Bars, kept_trades: np.ndarray, rng: np.random.Generator) -> tuple[Bars, set[int]]:
    """Return the bars with empty minutes flat, as the collection makes them, and the decisions without a proof in time."""
    candles = [
        Candle(whole.symbol, from_ms(int(t)), *(Decimal(repr(float(n))) for n in numbers))
        for t, trades, *numbers in zip(
            whole.open_time_ms, kept_trades, whole.open, whole.high, whole.low, whole.close, whole.volume, strict=True
        )
        if trades
    ]
    until = candles[-1].close_time
    looks = AcceptedCandles(tuple(candles), (), frozenset(), until)
    empty = empty_bars(looks, candles[0].open_time, until)
    merged = sorted((*candles, *empty), key=lambda candle: candle.open_time)
    flat = {int(bar.open_time.timestamp() * 1000) for bar in empty}
    share_of_minute = sum(LOOK_AGAIN_SECONDS) / 60
    unproved = set()
    for i, t in enumerate(whole.open_time_ms[:-1].tolist()):
        seen_in_time = rng.binomial(int(kept_trades[i + 1]), share_of_minute)
        if t in flat and (t + MINUTE_MS) % CYCLE_MS == 0 and not seen_in_time:
            unproved.add(t + MINUTE_MS)
    return Bars.from_candles(whole.symbol, merged), unproved


if __name__ == "__main__":
    main()
