"""The pre-trade check and the account engine in memory: `python tests/benchmarks/bench_risk.py [--json]`.

Budget (DESIGN section 10): the check of one order against a snapshot in memory, p50 <= 50 us. Peer in the same run: a
function call that does the smallest honest Decimal work, so that a slow machine can be told from slow code.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signalbox.risk import OrderId, ProposedOrder, RiskApproved, RiskRefused, Side, WorkingOrder, assess, assess_batch
from signalbox.risk.ftmo import FTMO_2STEP, FtmoAccount, Marked, Opened, PositionId
from tests.builders import BTC, ETH, NOON, SOL
from tests.unit.risk.facts import LIMITS, D, limits, order, position, snapshot

ROUNDS = 20_000
WARM_UP = 1_000


def percentiles(run: Callable[[], object], rounds: int = ROUNDS) -> dict[str, str]:
    """p50 and p99 of one call, microseconds."""
    for _ in range(WARM_UP):
        run()
    spans = []
    for _ in range(rounds):
        start = perf_counter_ns()
        run()
        spans.append(perf_counter_ns() - start)
    spans.sort()
    return {"p50_us": f"{spans[rounds // 2] / 1000:.1f}", "p99_us": f"{spans[rounds * 99 // 100] / 1000:.1f}"}


def peer() -> Decimal:
    """Ten products and sums of prices and quantities: what no check can do without."""
    total = D(0)
    for price in ("50000", "2500", "100", "50100", "2505", "101", "49900", "2495", "99", "50050"):
        total += D(price) * D("0.1234")
    return total


def measure() -> dict[str, dict[str, str]]:
    """Every figure of the page."""
    working = tuple(
        WorkingOrder(order(order_id=f"w{i}", symbol=s, price=p, stop=stop), D("0.05"))
        for i, (s, p, stop) in enumerate([(BTC, "49900", "49000"), (ETH, "2490", "2450")])
    )
    facts = snapshot(
        position(BTC, "0.2", stop="49000"), position(ETH, "-4", "2550", stop="2600"), position(SOL, "30", "98"), working=working
    )
    good, bad = order(quantity="0.05", stop="49500"), order(quantity="90.00001", stop="51000")
    exit_ = order(Side.SELL, "0.1", reduce_only=True)
    if not isinstance(assess(good, facts, LIMITS), RiskApproved) or not isinstance(assess(bad, facts, LIMITS), RiskRefused):
        raise SystemExit("the orders of the benchmark are not judged as they should be")
    batch = [ProposedOrder(OrderId(f"b{i}"), BTC, Side.BUY, D("0.001"), None, D(49_500)) for i in range(10)]
    loose = limits(max_orders_per_window=100)
    account = FtmoAccount(FTMO_2STEP, D(10_000_000))
    for i in range(1_000):
        account.apply(Opened(NOON, PositionId(f"p{i}"), (BTC, ETH, SOL)[i % 3], Side.BUY, D(1), D(100), D(1)))
    marks = iter(range(10**9))

    def mark() -> None:
        n = next(marks)
        account.apply(Marked(NOON + timedelta(milliseconds=n), {BTC: D(100 + n % 7)}))

    return {
        "peer: ten Decimal products": percentiles(peer),
        "check, approved": percentiles(lambda: assess(good, facts, LIMITS)),
        "check, refused with all its breaches": percentiles(lambda: assess(bad, facts, LIMITS)),
        "check of a reduction": percentiles(lambda: assess(exit_, facts, LIMITS)),
        "snapshot built, then check": percentiles(lambda: assess(good, replace(facts, balance=D(200_001)), LIMITS), 5_000),
        "snapshot id (sha256 of all facts)": percentiles(lambda: facts.snapshot_id, 2_000),
        "batch of ten, cumulative": percentiles(lambda: assess_batch(batch, facts, loose), 2_000),
        "FTMO account, one mark, 1,000 positions open": percentiles(mark),
        "FTMO headroom and floors": percentiles(account.headroom),
    }


def main() -> None:
    """Print the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    figures = measure()
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    if parser.parse_args().json:
        sys.stdout.write(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
        return
    sys.stdout.write(f"{machine}\n\n| what | p50 | p99 |\n|---|---|---|\n")
    for name, found in figures.items():
        sys.stdout.write(f"| {name} | {found['p50_us']} µs | {found['p99_us']} µs |\n")


if __name__ == "__main__":
    main()
