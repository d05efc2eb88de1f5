"""`signalbox bench orders`: submit orders at a fixed rate into a durable PostgreSQL; measure latency from due time to commit.

It is an open loop: an order is due at its instant whatever the ledger is doing, so waiting counts. Worker processes share the
accounts as FIFO groups do; all due orders of one account go into one transaction. A few orders are delivered twice. At the end
the database shows whether an order was doubled or lost, and a rebuild from the facts is compared with the tables. The comparison
does the same work with one order per transaction and one statement per row, as fast as possible. CPU time per order, in a unit
that can be compared across machines, is measured separately (order_cost.py). Ctrl-C ends the orders early; the results until then
are checked and reported.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.process import BaseProcess
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from local.bench.durable_postgres import durable_postgres, load_average
from local.bench.order_cost import BATCHES, OrderCost, measure_costs
from local.bench.order_worker import SendSchedule, Tally, WorkerResult, deliver_as_fast_as_possible, run_worker
from local.bench.submission import MARKET, bench_account, flat_candles, open_bench_account
from local.bench.unit import UNIT
from local.errors import ServiceError
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_rebuild import verify

START_AFTER_S: Final = 2.0  # workers connect and warm up before the first order is due
BUDGET_P50_MS: Final = 10.0
BUDGET_P99_MS: Final = 50.0
_EVENTS_BY_KIND: Final = (
    "SELECT one ->> 'kind', count(*) FROM order_events, jsonb_array_elements(('[' || payload || ']')::jsonb) AS one GROUP BY 1"
)


@dataclass(frozen=True, slots=True)
class OrderBenchOptions:
    """The rate in orders per second, for how long, over how many accounts, shared by `workers` processes."""

    rate: int = 1000
    seconds: int = 60
    accounts: int = 2
    workers: int = 2
    redelivered: float = 0.02  # share of the orders that are delivered twice
    peer_seconds: float = 5.0
    cost_orders: int = 4_000  # orders in each round of the CPU measurement
    cost_rounds: int = 3
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class OrderBench:
    """The measurements: milliseconds from an order's scheduled arrival to the answer to COMMIT."""

    rate: int
    seconds: int
    accounts: int
    workers: int
    orders: int
    sustained_per_s: float  # orders divided by the seconds from the first arrival to the last commit
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    mean_batch: float  # orders per transaction
    transactions: int
    errors: int
    redelivered: int
    ignored: int
    refused: int
    peer_orders_per_s: float  # closed loop with one order per transaction, one statement per row, the same number of processes
    batched_orders_per_s: float  # our batches in the same closed loop
    load_before: str
    load_after: str
    interrupted: bool  # by Ctrl-C: `orders` were delivered, fewer than rate times seconds
    checks: dict[str, bool] = field(default_factory=dict)
    unit: str = UNIT  # the unit of `costs`
    costs: tuple[OrderCost, ...] = ()  # empty if interrupted

    @property
    def is_sound(self) -> bool:
        """Whether no order was lost, doubled or refused, and the tables agree with the facts."""
        return self.errors == self.refused == 0 and all(self.checks.values())

    @property
    def is_within_budget(self) -> bool:
        """Whether both percentiles are within the budget, which is for 1,000 orders/s over 60 s."""
        return self.p50_ms <= BUDGET_P50_MS and self.p99_ms <= BUDGET_P99_MS


def run_order_bench(options: OrderBenchOptions) -> OrderBench:
    """Measure, print, and return the result. Raises ServiceError if a worker ended early.

    Ctrl-C before the first order is due raises KeyboardInterrupt, and so does a second Ctrl-C at any time.
    """
    console = Console(stderr=True)
    before = load_average()
    with durable_postgres() as settings:
        _prepare(settings, options)
        console.print(f"PostgreSQL is up with durable commits; {options.rate} orders/s for {options.seconds} s")
        results, interrupted = _paced(settings, options, console)
        after = load_average()
        checks = _checks(settings, options, results)
        loops = [0.0, 0.0]
        if not interrupted:
            loops = [_closed_loop(settings, options, rows_apart=apart) for apart in (False, True)]
        costs = () if interrupted else _costs(settings, options)
    bench = _summed(options, results, checks, (before, after), (loops[0], loops[1]), interrupted=interrupted)
    bench = replace(bench, costs=costs)
    _print(bench, json_output=options.json_output)
    return bench


def _prepare(settings: DatabaseSettings, options: OrderBenchOptions) -> None:
    with ConnectionSource(settings, lambda: "") as source:
        with PostgresLedger(source).transaction() as tx:
            tx.add_candles(MARKET, flat_candles(options.seconds // 60 + 5))
        ledger = PostgresTradingLedger(source)
        # the accounts after the first ones are for the closed loops and the CPU measurement
        for number in range(options.accounts + 2 * options.workers + len(BATCHES)):
            open_bench_account(ledger, number)


def _schedules(options: OrderBenchOptions) -> list[SendSchedule]:
    """Return each worker's schedule: every order at its instant, and some of them again a little later."""
    total = options.rate * options.seconds
    rng = np.random.default_rng(20240301)
    again = rng.choice(total, size=round(total * options.redelivered), replace=False)
    numbers = np.concatenate([np.arange(total), again])
    due = numbers / options.rate
    due[total:] += rng.uniform(0.05, 1.0, size=len(again))  # s
    order = np.argsort(due, kind="stable")
    numbers, due = numbers[order], due[order]
    first = np.zeros(len(numbers), dtype=bool)
    first[np.unique(numbers, return_index=True)[1]] = True
    owner = numbers % options.accounts % options.workers
    return [
        SendSchedule(numbers[owner == w].tolist(), due[owner == w].tolist(), first[owner == w].tolist(), options.accounts)
        for w in range(options.workers)
    ]


def _paced(settings: DatabaseSettings, options: OrderBenchOptions, console: Console) -> tuple[list[WorkerResult], bool]:
    """Return the result of each worker, and whether Ctrl-C ended the run early."""
    context = multiprocessing.get_context("spawn")
    tally: Tally = context.Array("q", options.workers)
    answers = context.Queue()
    start = context.Value("d", 0.0)
    stop = context.Event()
    ready = context.Barrier(options.workers + 1)
    schedules = _schedules(options)
    processes = [
        context.Process(target=run_worker, args=(w, settings, schedules[w], ready, start, stop, tally, answers), daemon=True)
        for w in range(options.workers)
    ]
    with _running(processes):
        ready.wait(60)
        start.value = time.monotonic() + START_AFTER_S
        ready.wait(60)
        total = sum(len(schedule.numbers) for schedule in schedules)
        columns = (TextColumn("orders"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        results: list[WorkerResult] = []
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("orders", total=total)
            while len(results) < options.workers:
                try:
                    progress.update(task, completed=sum(tally))
                    results += _answered(answers, processes)
                except KeyboardInterrupt:
                    if stop.is_set():
                        raise
                    stop.set()
                    console.print("interrupted: no more orders are sent; the results so far are checked")
        return results, stop.is_set()


def _answered(answers: Any, processes: Sequence[BaseProcess]) -> list[WorkerResult]:
    """Return the next result, or an empty list after a moment. Raises ServiceError if a worker ended early."""
    try:
        return [answers.get(timeout=0.2)]
    except queue.Empty:
        if dead := [p.exitcode for p in processes if p.exitcode]:
            raise ServiceError(f"a worker of the benchmark ended early with exit code {dead[0]}") from None
        return []


@contextmanager
def _running(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Run processes that ignore Ctrl-C, because only this process handles it. They always end with the block."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a spawned process inherits it
    try:
        for process in processes:
            process.start()
        signal.signal(signal.SIGINT, heard)
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
        for process in processes:
            if process.is_alive():
                process.join(2)
            if process.is_alive():
                process.terminate()
                process.join()


def _closed_loop(settings: DatabaseSettings, options: OrderBenchOptions, *, rows_apart: bool) -> float:
    """Return orders per second of all workers if each delivers the next order as soon as the last is committed."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    base = options.accounts + (options.workers if rows_apart else 0)
    processes = [
        context.Process(
            target=deliver_as_fast_as_possible,
            args=(settings, base + w, options.peer_seconds, rows_apart, answers),
            daemon=True,
        )
        for w in range(options.workers)
    ]
    with _running(processes):
        rates: list[float] = [answers.get(timeout=options.peer_seconds * 4 + 60) for _ in processes]
    return sum(rates)


def _costs(settings: DatabaseSettings, options: OrderBenchOptions) -> tuple[OrderCost, ...]:
    """Return the CPU time of an order at each batch size, measured by a separate process."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    first = options.accounts + 2 * options.workers
    process = context.Process(
        target=measure_costs, args=(settings, first, options.cost_orders, options.cost_rounds, answers), daemon=True
    )
    with _running([process]):
        found: tuple[OrderCost, ...] = answers.get(timeout=600)
    return found


def _checks(settings: DatabaseSettings, options: OrderBenchOptions, results: list[WorkerResult]) -> dict[str, bool]:
    """Query the database: every order exists once with all its events, every fill is booked, and the rebuild is equal."""
    total = sum(len(result.latencies_s) for result in results)
    refused = sum(result.refused for result in results)
    with ConnectionSource(settings, lambda: "") as source:
        with source.snapshot() as connection:

            def one(query: str) -> Any:
                row = connection.execute(query.encode()).fetchone()
                return row and row[0]

            events = dict(connection.execute(_EVENTS_BY_KIND).fetchall())
            found = {
                "every order exists once": one("SELECT count(*) FROM orders") == total,
                "every order was initialised once": events.get("OrderInitialized") == total,
                "every released order was filled once": events.get("OrderFilled")
                == events.get("OrderReleased")
                == total - refused,
                "every fill is booked once": one("SELECT count(*) FROM fills") == total - refused,
                "no order is open": one("SELECT count(*) FROM orders WHERE closed_at IS NULL") == 0,
                "every release was announced once": one("SELECT count(*) FROM outbox") == total - refused,
            }
        names = [bench_account(number).account for number in range(options.accounts)]
        found["a rebuild equals the tables"] = not any(verify(source, name) for name in names)
    return found


def _summed(
    options: OrderBenchOptions,
    results: list[WorkerResult],
    checks: dict[str, bool],
    loads: tuple[str, str],
    closed_loops: tuple[float, float],
    *,
    interrupted: bool,
) -> OrderBench:
    latencies = np.concatenate([np.asarray(result.latencies_s) for result in results]) * 1000
    if not latencies.size:
        raise ServiceError("interrupted before the first order was committed, so there is nothing to report")
    p50, p90, p99, p999 = (round(float(p), 2) for p in np.percentile(latencies, (50, 90, 99, 99.9)))
    transactions = sum(result.transactions for result in results)
    orders = len(latencies)
    return OrderBench(
        rate=options.rate,
        seconds=options.seconds,
        accounts=options.accounts,
        workers=options.workers,
        orders=orders,
        sustained_per_s=round(orders / max(result.ended_s for result in results), 1),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=round(float(latencies.max()), 2),
        mean_batch=round(orders / transactions, 2),
        transactions=transactions,
        errors=sum(result.errors for result in results),
        redelivered=sum(result.again for result in results),
        ignored=sum(result.ignored for result in results),
        refused=sum(result.refused for result in results),
        peer_orders_per_s=round(closed_loops[1], 1),
        batched_orders_per_s=round(closed_loops[0], 1),
        load_before=loads[0],
        load_after=loads[1],
        interrupted=interrupted,
        checks=checks,
    )


def _print(bench: OrderBench, *, json_output: bool) -> None:
    if json_output:
        sys.stdout.write(
            json.dumps({**asdict(bench), "is_sound": bench.is_sound, "is_within_budget": bench.is_within_budget}, indent=1) + "\n"
        )
        return
    within = "within" if bench.is_within_budget else "OVER"
    lines = [
        *(["INTERRUPTED: figures only for the orders until then, without closed loops"] if bench.interrupted else []),
        f"{bench.orders} orders at {bench.rate}/s, {bench.accounts} accounts, {bench.workers} processes",
        f"load average {bench.load_before} before and {bench.load_after} after the run, including the benchmark itself",
        f"sustained {bench.sustained_per_s}/s, {bench.mean_batch} a transaction, {bench.errors} errors, {bench.refused} refused",
        f"arrival to commit: p50 {bench.p50_ms} ms, p90 {bench.p90_ms} ms, p99 {bench.p99_ms} ms, p99.9 {bench.p999_ms} ms, "
        f"max {bench.max_ms} ms ({within} the budget of {BUDGET_P50_MS:g} and {BUDGET_P99_MS:g} ms)",
        f"delivered twice {bench.redelivered}, ignored {bench.ignored}",
        *(
            f"CPU time per order in batches of {cost.batch}: {cost.units:g} units of {cost.unit_us:g} µs ({bench.unit}): client "
            f"{cost.client_units:g}, PostgreSQL {cost.server_units:g} (goal {cost.budget_units:g}); without the benchmark's own "
            f"orders and reports {cost.product_units:g}"
            for cost in bench.costs
        ),
        f"closed loop: {bench.batched_orders_per_s} orders/s; with one statement per row: {bench.peer_orders_per_s} orders/s",
        *(f"{'yes' if holds else 'NO '}  {what}" for what, holds in bench.checks.items()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
