"""One process of `signalbox bench orders`. It delivers all due orders of an account in one transaction."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from local.bench.row_by_row import save_row_by_row
from local.bench.submission import BEGIN, bench_account, bench_sealer, numbered, parse_roomy, step
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.ledger_errors import LedgerBusyError, LedgerUnavailableError
from signalbox.orders.events import OrderDenied
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import OrderTerms
from training.parent import end_with_parent

# orders per transaction; each is checked with the earlier ones working, so larger batches cost more per order
MOST_AT_ONCE: Final = 50
CLOSED_LOOP_BATCH: Final = 20
CLOSED_LOOP_NUMBERS: Final = 1_000_000_000  # above the order numbers of any schedule: decided 1,000 s after the first
Tally: TypeAlias = Any  # multiprocessing's shared array of orders delivered, one number a worker


@dataclass(frozen=True, slots=True)
class SendSchedule:
    """Order numbers with the second at which each is due, in time order, and whether it is the order's first delivery."""

    numbers: list[int]
    due_s: list[float]
    first: list[bool]
    accounts: int


@dataclass(slots=True)
class WorkerResult:
    """The measurements of one process.

    latencies_s: of first deliveries, from due time to commit. ended_s: when the last of these was committed.
    """

    latencies_s: list[float]
    ended_s: float = 0.0
    transactions: int = 0
    again: int = 0  # repeated deliveries that were made
    errors: int = 0
    ignored: int = 0
    refused: int = 0


def run_worker(  # noqa: PLR0917 - multiprocessing passes by position
    worker: int, settings: DatabaseSettings, schedule: SendSchedule, ready: Any, start: Any, stop: Any, tally: Tally, answers: Any
) -> None:
    """Deliver a schedule until its end or until `stop` is set, and put a WorkerResult into `answers`.

    `ready` is passed twice: when connected, and when the start time is set.
    """
    end_with_parent()
    with ConnectionSource(settings, lambda: "") as source:
        worker_ledger = PostgresTradingLedger(source, parse_roomy, bench_sealer())
        for number in {n % schedule.accounts for n in schedule.numbers}:
            with worker_ledger.transaction(f"bench-{number}") as tx:
                tx.load(BEGIN)
        ready.wait(60)
        ready.wait(60)
        answers.put(_Worker(worker, worker_ledger, schedule, start.value, tally).run(stop))


class _Worker:
    def __init__(self, worker: int, ledger: PostgresTradingLedger, schedule: SendSchedule, start: float, tally: Tally) -> None:
        self._worker, self._ledger, self._schedule, self._start, self._tally = worker, ledger, schedule, start, tally
        self._waiting: dict[int, deque[int]] = {}  # positions in the schedule, by account
        self._next = 0
        self._result = WorkerResult([])

    def run(self, stop: Any) -> WorkerResult:
        total = len(self._schedule.numbers)
        while (self._next < total or self._waiting) and not stop.is_set():
            self._collect()
            if not self._waiting:
                stop.wait(max(self._start + self._schedule.due_s[self._next] - time.monotonic(), 0))
                continue
            # next is the account whose oldest order has waited longest
            account = min(self._waiting, key=lambda a: self._waiting[a][0])
            queue = self._waiting[account]
            places = [queue.popleft() for _ in range(min(len(queue), MOST_AT_ONCE))]
            if not queue:
                del self._waiting[account]
            self._deliver(account, places)
        for number in range(self._schedule.accounts):
            if any(n % self._schedule.accounts == number for n in self._schedule.numbers[:1000]):
                self._transact(f"bench-{number}", {}, 0)  # take the venue's reports of the last batch
        return self._result

    def _collect(self) -> None:
        now = time.monotonic() - self._start
        schedule = self._schedule
        while self._next < len(schedule.numbers) and schedule.due_s[self._next] <= now:
            self._waiting.setdefault(schedule.numbers[self._next] % schedule.accounts, deque()).append(self._next)
            self._next += 1

    def _deliver(self, account: int, places: list[int]) -> None:
        schedule, result, name = self._schedule, self._result, f"bench-{account}"
        batch = numbered((schedule.numbers[place] for place in places), name)
        while True:
            try:
                self._transact(name, batch, len(places))
            except (LedgerUnavailableError, LedgerBusyError):
                result.errors += 1  # deliver again until it is committed, as a queue does
                continue
            break
        committed = time.monotonic() - self._start
        found = [committed - schedule.due_s[place] for place in places if schedule.first[place]]
        if found:
            result.latencies_s += found
            result.ended_s = committed
        result.again += len(places) - len(found)
        self._tally[self._worker] += len(places)

    def _transact(self, name: str, batch: Mapping[ClientOrderId, OrderTerms], delivered: int) -> None:
        at = BEGIN + timedelta(seconds=time.monotonic() - self._start)
        with self._ledger.transaction(name) as tx:
            state = tx.load(at, batch)
            after, changes = step(state, batch, at)
            tx.save(state, after, changes)
        self._result.transactions += 1
        self._result.ignored += delivered - len(batch.keys() - state.orders.keys())
        self._result.refused += sum(isinstance(event, OrderDenied) for event in changes.order_events)


def deliver_as_fast_as_possible(
    settings: DatabaseSettings,
    account: int,
    seconds: float,
    rows_apart: bool,  # noqa: FBT001 - multiprocessing passes by position
    answers: Any,
) -> None:
    """Put the orders per second of one process into `answers`.

    rows_apart: one order per transaction and one statement per row.
    """
    end_with_parent()
    size = 1 if rows_apart else CLOSED_LOOP_BATCH
    name, done = bench_account(account).account, 0
    with ConnectionSource(settings, lambda: "") as source:
        ledger = PostgresTradingLedger(source, parse_roomy, bench_sealer())
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            at = BEGIN + timedelta(seconds=elapsed)
            batch = numbered(range(CLOSED_LOOP_NUMBERS + done, CLOSED_LOOP_NUMBERS + done + size), name)
            with ledger.transaction(name) as tx:
                state = tx.load(at, batch)
                after, changes = step(state, batch, at)
                if rows_apart:
                    save_row_by_row(tx.connection, state, after, changes)
                else:
                    tx.save(state, after, changes)
            done += size
        answers.put(done / (time.monotonic() - began))
