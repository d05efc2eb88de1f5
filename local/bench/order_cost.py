"""CPU time of an order, in the process that delivers it and in PostgreSQL, at fixed batch sizes.

On a shared machine latency depends on what else runs; CPU time depends on the work. One process delivers batch after batch, each
as soon as the last is committed. The account's clock runs at a fixed pace, so that the throttle's window holds as many orders as
at that pace. CPU time is the kernel's, with user and system time apart. PostgreSQL's is the sum over all its processes: backend,
log and page writers, autovacuum. The unit is measured between batches in the same process. The benchmark makes and validates
the orders and the venue's reports: that time is part of the client's, and also shown separately.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psutil

from local.bench.submission import BEGIN, bench_account, bench_sealer, numbered, parse_roomy, reports, step
from local.bench.unit import unit_sample_us
from local.errors import ServiceError
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from training.parent import end_with_parent

BATCHES: Final = (20, 5)  # orders per transaction
BUDGET_UNITS: Final = {20: 60.0, 5: 100.0}  # per order, client plus server
PACE: Final = 500  # orders per second of the account's clock: the share of one of two accounts at 1,000/s
FIRST_NUMBER: Final = 2_000_000_000  # above the order numbers of all other parts of the benchmark
_SAMPLE_EVERY: Final = 100  # orders


@dataclass(frozen=True, slots=True)
class OrderCost:
    """CPU time per order in batches of `batch`: medians over `rounds`, in microseconds and in units measured in the same run."""

    batch: int
    orders: int
    rounds: int
    unit_us: float
    client_user_us: float
    client_system_us: float
    server_user_us: float
    server_system_us: float
    client_units: float
    server_units: float
    units: float
    generator_units: float  # of the client's: what the benchmark itself takes to make orders and reports
    product_units: float  # the rest
    units_of_rounds: tuple[float, ...]
    budget_units: float


@dataclass(frozen=True, slots=True)
class _Round:
    orders: int
    unit_us: float
    generator: float  # seconds, part of the client's
    client: tuple[float, float]  # seconds, user and system
    server: tuple[float, float]


def measure_costs(settings: DatabaseSettings, first_account: int, orders: int, rounds: int, answers: Any) -> None:
    """Put a tuple with one OrderCost per batch size into `answers`.

    orders: per round; a quarter as many orders warm up first.
    """
    end_with_parent()
    found = []
    for place, batch in enumerate(BATCHES):
        with ConnectionSource(settings, lambda: "") as source:
            ledger = PostgresTradingLedger(source, parse_roomy, bench_sealer())
            run = _Run(ledger, source, bench_account(first_account + place).account, batch)
            run.deliver(max(orders // 4, batch))
            gc.collect()
            gc.freeze()  # as the ledger's functions do once they are composed (bootstrap.ledger)
            found.append(_summed(batch, [run.deliver(orders) for _ in range(rounds)]))
    answers.put(tuple(found))


class _Run:
    def __init__(self, ledger: PostgresTradingLedger, source: ConnectionSource, name: str, batch: int) -> None:
        self._ledger, self._name, self._batch, self._done = ledger, name, batch, 0
        self._generating = 0  # ns
        with source.transaction() as connection:
            self._postmaster = psutil.Process(connection.info.backend_pid).parent()

    def deliver(self, orders: int) -> _Round:
        """Deliver orders in batches. The samples of the unit are not counted as client time."""
        units, client, target = [unit_sample_us()], [0.0, 0.0], self._done + orders
        server, generating = self._server(), self._generating
        while self._done < target:
            before = resource.getrusage(resource.RUSAGE_SELF)
            stop = min(self._done + _SAMPLE_EVERY, target)
            while self._done < stop:
                self._transact()
            after = resource.getrusage(resource.RUSAGE_SELF)
            client[0] += after.ru_utime - before.ru_utime
            client[1] += after.ru_stime - before.ru_stime
            units.append(unit_sample_us())
        user, system = (now - then for now, then in zip(self._server(), server, strict=True))
        generator = (self._generating - generating) / 1e9
        return _Round(orders, statistics.median(units), generator, (client[0], client[1]), (user, system))

    def _transact(self) -> None:
        first, began = FIRST_NUMBER + self._done, time.thread_time_ns()
        batch = numbered(range(first, first + self._batch), self._name)
        self._generating += time.thread_time_ns() - began
        at = BEGIN + timedelta(seconds=self._done / PACE)
        with self._ledger.transaction(self._name) as tx:
            state = tx.load(at, batch)
            began = time.thread_time_ns()
            reported = reports(state, at)
            self._generating += time.thread_time_ns() - began
            after, changes = step(state, batch, at, reported)
            if changes.risk:
                raise ServiceError(f"expected every order to pass the checks and fill, got {changes.risk[0]}")
            tx.save(state, after, changes)
        self._done += self._batch

    def _server(self) -> tuple[float, float]:
        """Return user and system seconds of all processes of the server."""
        if self._postmaster is None:
            return 0.0, 0.0
        user = system = 0.0
        for process in (self._postmaster, *self._postmaster.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # an autovacuum worker that has ended
                continue
            user, system = user + times.user, system + times.system
        return user, system


def _summed(batch: int, rounds: list[_Round]) -> OrderCost:
    def an_order(of: str, part: int) -> float:
        return round(float(statistics.median(getattr(r, of)[part] / r.orders * 1e6 for r in rounds)), 1)

    def in_units(*of: str) -> list[float]:
        return [round(sum(sum(getattr(r, name)) for name in of) / r.orders * 1e6 / r.unit_us, 1) for r in rounds]

    both = in_units("client", "server")
    generator = statistics.median(r.generator / r.orders * 1e6 / r.unit_us for r in rounds)
    return OrderCost(
        batch=batch,
        orders=sum(r.orders for r in rounds),
        rounds=len(rounds),
        unit_us=round(statistics.median(r.unit_us for r in rounds), 2),
        client_user_us=an_order("client", 0),
        client_system_us=an_order("client", 1),
        server_user_us=an_order("server", 0),
        server_system_us=an_order("server", 1),
        client_units=statistics.median(in_units("client")),
        server_units=statistics.median(in_units("server")),
        units=statistics.median(both),
        generator_units=round(generator, 1),
        product_units=round(statistics.median(both) - generator, 1),
        units_of_rounds=tuple(both),
        budget_units=BUDGET_UNITS[batch],
    )
