"""Rows of Form 8949 of many fills: `python tests/benchmarks/bench_tax.py [--fills N N ...] [--naive-limit N] [--json]`.

Beside them the naive twin, which looks through all fills for every loss (tests/unit/portfolio/naive_tax.py), in the same run
and on the same fills, up to --naive-limit of them. Both say the same of every row, or the run ends with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signalbox.orders.terms import Side
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.tax import form_8949
from tests.unit.portfolio.naive_tax import in_wash_sale_window

ZONE = ZoneInfo("America/New_York")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")


def history(count: int) -> list[Fill]:
    """Return `count` fills over two years: round trips of a random walk, each a buy and the sale of all of it."""
    random = np.random.default_rng(8949)
    prices = np.exp(np.cumsum(random.normal(0, 0.002, count))) * 100
    pause = timedelta(days=730) / count
    return [
        Fill(
            account="bench-1",
            key=f"t-{i}",
            at=datetime(2024, 1, 1, tzinfo=UTC) + pause * i,
            symbol=SYMBOLS[i // 2 % len(SYMBOLS)],
            side=(Side.BUY, Side.SELL)[i % 2],
            quantity=Decimal(1),
            price=Decimal(f"{prices[i]:.2f}"),
            fee=Decimal("0.05"),
        )
        for i in range(count)
    ]


def measure(count: int, naive_limit: int) -> dict[str, float | int | None]:
    """Return what `count` fills take, in seconds."""
    fills = history(count)
    disposals = book("bench-1", fills).disposals
    began = perf_counter()
    rows = form_8949(disposals, fills, ZONE)
    taken = perf_counter() - began
    naive: float | None = None
    if count <= naive_limit:
        began = perf_counter()
        flags = [in_wash_sale_window(disposal, fills, ZONE) for disposal in disposals]
        naive = perf_counter() - began
        if flags != [row.in_wash_sale_window for row in rows]:
            raise SystemExit(f"{count} fills: the twin says something else")
    flagged = sum(row.in_wash_sale_window for row in rows)
    return {
        "fills": count,
        "rows": len(rows),
        "flagged": flagged,
        "seconds": round(taken, 3),
        "naive_window_seconds": None if naive is None else round(naive, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=int, nargs="+", default=[2_000, 8_000, 100_000])
    parser.add_argument("--naive-limit", type=int, default=8_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = [measure(count, given.naive_limit) for count in given.fills]
    if given.json:
        sys.stdout.write(f"{json.dumps(found)}\n")
        return
    for one in found:
        twin = one["naive_window_seconds"]
        naive = "not run" if twin is None else f"{twin} s (windows alone)"
        of = f"{one['fills']:>7,} fills, {one['rows']:,} rows, {one['flagged']:,} flagged"
        sys.stdout.write(f"{of}: {one['seconds']} s; naive twin {naive}\n")


if __name__ == "__main__":
    main()
