"""What an order costs in the steps alone, in memory: `python tests/benchmarks/bench_steps.py [--orders N] [--json]`.

The batches of `signalbox bench orders` without a database: reports of the last batch taken, the next one judged and released.
Thread time, medians over the batches, in units of the same minutes (local/bench/unit.py). To compare two versions run them in
turn: beside other work a unit and a step do not slow down alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from local.bench.durable_postgres import load_average
from local.bench.submission import BEGIN, PRICES, bench_account, numbered, parse_roomy, reports
from local.bench.unit import unit_sample_us
from signalbox.orders.venue_view import VenueInstrument
from signalbox.risk.snapshot import Mark
from signalbox.trading import operator_orders, venue_reports
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.state import AccountState, counts, opened, pruned

PACE = 500  # orders a second of the account's clock: so many are in the throttle's window
PARTS = ("orders", "reports", "taken", "released")


def state_of(number: int) -> AccountState:
    """Return an account whose venue has told its instruments."""
    reported = tuple(VenueInstrument(one.symbol, one.tick, one.step, one.min_quantity) for one in INSTRUMENTS.values())
    state = opened(parse_roomy(bench_account(number).model_dump_json()), BEGIN)
    return replace(state, at=BEGIN, at_venue=AtVenue(instruments=reported))


def priced(state: AccountState, at: datetime) -> AccountState:
    """Return the account state as a worker goes on with it: fresh marks, and the orders and sends that count."""
    orders = {key: order for key, order in state.orders.items() if counts(order, state.trades.values())}
    marks = {symbol: Mark(price, at) for symbol, price in PRICES.items()}
    return pruned(replace(state, orders=MappingProxyType(orders), marks=MappingProxyType(marks)), at)


def measured(batch: int, orders: int) -> dict[str, float]:
    """Return units an order of each part, and the unit in microseconds."""
    state, done, units = state_of(1), 0, list[float]()
    spans: dict[str, list[int]] = {part: [] for part in PARTS}
    while done < PACE + orders:
        at = BEGIN + timedelta(seconds=done / PACE)
        state = priced(state, at)
        instants = [time.thread_time_ns()]
        terms = tuple(numbered(range(2_000_000_000 + done, 2_000_000_000 + done + batch), state.account.account).values())
        instants.append(time.thread_time_ns())
        reported = reports(state, at)
        instants.append(time.thread_time_ns())
        state, _ = venue_reports.report(state, reported)
        instants.append(time.thread_time_ns())
        state, changes = operator_orders.submit(state, terms, at)
        instants.append(time.thread_time_ns())
        if changes.risk:
            raise SystemExit(f"expected every order to be let through, got {changes.risk[0]}")
        done += batch
        if done > PACE:  # the window is full
            units.append(unit_sample_us())
            for part, began, ended in zip(PARTS, instants, instants[1:], strict=False):
                spans[part].append(ended - began)
    unit = statistics.median(units)
    found = {part: round(statistics.median(spans[part]) / batch / 1000 / unit, 1) for part in PARTS}
    return {"unit_us": round(unit, 2), **found, "in_all": round(sum(found.values()), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {str(batch): measured(batch, options.orders) for batch in (20, 5)}
    if options.json:
        sys.stdout.write(json.dumps({"load": load_average(), "batches": figures}, indent=1) + "\n")
        return
    for batch, found in figures.items():
        sys.stdout.write(f"batches of {batch}: " + ", ".join(f"{name} {value}" for name, value in found.items()) + "\n")
    sys.stdout.write(f"load average {load_average()}\n")


if __name__ == "__main__":
    main()
