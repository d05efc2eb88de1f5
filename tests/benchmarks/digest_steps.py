"""Digests of what steps make: `python -m tests.benchmarks.digest_steps [--schedules N] [--days N] [--data DIR]`, in the root.

Run it before and after a change that is to make steps faster and nothing else. Equal digests mean the same events, rows and
account states to the last digit: of simulated schedules with their stories, of the batches of bench_steps.py, and of backtests
with and without loss rules. The digests are the same on every machine with the same candles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from typing_extensions import override

from local.bench.backtest import POLICY, bench_signals
from local.bench.submission import BEGIN, numbered, reports
from local.simulation import world
from local.simulation.ledger import SimulatedLedger
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.trading import operator_orders, venue_reports
from signalbox.trading.account import account_named
from signalbox.trading.changes import ChangeSet
from signalbox.trading.entry_plan import ENTRY_BARS
from signalbox.trading.state import AccountState
from tests.benchmarks.bench_steps import PACE, priced, state_of
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import Plan, run

LENGTH = 16  # of a printed digest


def texts_of(changes: ChangeSet) -> Iterable[str]:
    """Yield everything that a change set asks the ledger to commit, as text."""
    for happened in changes.order_events:
        yield f"{happened.event_id} {happened.to_text()}"
    for event in changes.events:
        yield event.model_dump_json()
    for name, value in sorted(changes.__dict__.items()):
        if value and name not in {"events", "order_events"}:
            yield f"{name} {value!r}"


def text_of(state: AccountState) -> str:
    """Return what an account state holds, with sets in order."""
    orders = [
        (key, one.state, one.filled, one.fees, one.closed_at, one.reason, sorted(one.seen)) for key, one in state.orders.items()
    ]
    parts = {name: value for name, value in state.__dict__.items() if name not in {"account", "orders", "books", "warned"}}
    books = (state.books.cash, state.books.balance, dict(state.books.positions), dict(state.books.lots))
    return repr((orders, books, sorted(map(repr, state.warned)), {name: str(value) for name, value in parts.items()}))


class LedgerThatDigests(SimulatedLedger):
    """Takes every step of every schedule into one digest."""

    digest = hashlib.sha256()

    @override
    def save(self, before: AccountState, after: AccountState, changes: ChangeSet) -> None:
        for text in (*texts_of(changes), text_of(after)):
            self.digest.update(text.encode())
        super().save(before, after, changes)


def of_schedules(count: int) -> str:
    vars(world)["SimulatedLedger"] = LedgerThatDigests  # the schedules' own ledger, with a digest
    digest = LedgerThatDigests.digest
    for seed in range(count):
        found = world.run_schedule(seed, story=seed % 2 == 0)
        digest.update(repr((found.violation, found.choices, found.steps, found.story)).encode())
    return digest.hexdigest()[:LENGTH]


def of_batches(batch: int, orders: int) -> str:
    state, digest = state_of(1), hashlib.sha256()
    for done in range(0, orders, batch):
        at = BEGIN + timedelta(seconds=done / PACE)
        state = priced(state, at)
        terms = tuple(numbered(range(2_000_000_000 + done, 2_000_000_000 + done + batch), state.account.account).values())
        state, taken = venue_reports.report(state, reports(state, at))
        state, sent = operator_orders.submit(state, terms, at)
        for text in (*texts_of(taken), *texts_of(sent), text_of(state)):
            digest.update(text.encode())
    return digest.hexdigest()[:LENGTH]


def of_backtest(grid: BarGrid, account: str, every: int, *, every_bar: bool = False) -> str:
    plan = Plan(account_named(account, market="coinbase", policy=POLICY), ENTRY_BARS, grid.minutes, every_bar=every_bar)
    found = run(grid, bench_signals(grid, every), plan)
    record = {name: getattr(found.record, name) for name in type(found.record).__dataclass_fields__}
    text = repr((record, text_of(found.state), found.ending, found.ended_at, found.watched))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:LENGTH]}, {len(found.record.trades)} trades"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    found = {"schedules": of_schedules(options.schedules)}
    found |= {f"batches of {batch}": of_batches(batch, 1_000) for batch in (20, 5)}
    if options.data is not None:
        series_of = find_series(options.data)
        last = max(series.ends()[1] for series in series_of)
        grid = BarGrid.of([require_bars(series, last - timedelta(days=options.days)) for series in series_of])
        found["backtest"] = of_backtest(grid, "paper-100k", 60)
        found["backtest with loss rules"] = of_backtest(grid, "ftmo-2step-100k", 30)
        found["backtest of every bar"] = of_backtest(grid, "ftmo-2step-100k", 120, every_bar=True)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
