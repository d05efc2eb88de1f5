"""`signalbox bench risk`: the pre-trade check in memory, and with facts read from a durable PostgreSQL, with comparisons.

In memory the comparison is ten Decimal products, which tells a slow machine from slow code. For PostgreSQL it is the same account
state read the plain way: one statement and one round trip per table, one for the events of each order, and nothing prepared.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from time import perf_counter_ns
from types import MappingProxyType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from local.bench.durable_postgres import durable_postgres, load_average
from local.bench.submission import BEGIN, BTC, ETH, MARKET, PRICES, SOL, flat_candles
from local.bench.unit import UNIT, ten_products
from local.errors import ServiceError
from signalbox.adapters.postgres.connection import Connection, ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_rows import orders_of_events
from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderAccepted, OrderEvent, OrderInitialized, OrderReleased, OrderSubmitted
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.lifecycle import apply, initialise
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.account import record
from signalbox.portfolio.entries import Fill
from signalbox.risk import ProposedOrder, RiskApproved, RiskRefused, assess, assess_batch
from signalbox.risk.ftmo import FTMO_2STEP, FtmoAccount, Marked, Opened, PositionId
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import account_named
from signalbox.trading.changes import ChangeSet
from signalbox.trading.snapshot import risk_snapshot
from signalbox.trading.state import AccountState, opened

WARM_UP: Final = 200
PEER: Final = f"peer: {UNIT}"
BUDGET_UNITS: Final = 8.0  # for a check in memory
AT: Final = BEGIN + timedelta(seconds=30)
ACCOUNT: Final = account_named("paper-200k", market=MARKET)
BUDGET_MEMORY_US: Final = 50.0
BUDGET_POSTGRES_US: Final = 1500.0


@dataclass(frozen=True, slots=True)
class RiskBenchOptions:
    """How often each operation runs, in memory and against PostgreSQL."""

    rounds: int = 20_000
    postgres_rounds: int = 2_000
    json_output: bool = False


Figures = dict[str, dict[str, float]]


def run_risk_bench(options: RiskBenchOptions) -> Figures:
    """Measure, print, and return p50 and p99 of each operation in microseconds.

    Raises ServiceError if a check gives an unexpected result.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        measured = _Measured(progress)
        _in_memory(measured, options.rounds)
        with durable_postgres() as settings:
            _on_postgres(measured, settings, options.postgres_rounds)
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, load {load_average()}"
    if options.json_output:
        budgets = {"check in memory": BUDGET_MEMORY_US, "check read from PostgreSQL": BUDGET_POSTGRES_US}
        reported = {
            "machine": machine,
            "unit": UNIT,
            "budgets_us": budgets,
            "budget_units": BUDGET_UNITS,
            "figures": measured.figures,
        }
        sys.stdout.write(json.dumps(reported, indent=1) + "\n")
    else:
        rows = [
            f"| {name} | {found['p50_us']:,.1f} µs | {found['p99_us']:,.1f} µs | {found['units']:,.1f} |"
            for name, found in measured.figures.items()
        ]
        sys.stdout.write(
            "\n".join((machine, "", "| what | p50 | p99 | in units of the peer |", "|---|---|---|---|", *rows)) + "\n"
        )
    return measured.figures


class _Measured:
    """Collects figures by name."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.figures: Figures = {}

    def add(self, name: str, run: Callable[[], object], rounds: int) -> None:
        """Time calls of `run`."""

        def span() -> int:
            start = perf_counter_ns()
            run()
            return perf_counter_ns() - start

        self.add_spans(name, span, rounds)

    def add_spans(self, name: str, span: Callable[[], int], rounds: int) -> None:
        """Collect the nanoseconds that `span` returns."""
        task = self._progress.add_task(name, total=rounds)
        for _ in range(min(WARM_UP, rounds)):
            span()
        spans = []
        for done in range(rounds):
            spans.append(span())
            if done % 500 == 0:
                self._progress.update(task, completed=done)
        self._progress.remove_task(task)
        spans.sort()
        p50, p99 = spans[rounds // 2] / 1000, spans[rounds * 99 // 100] / 1000
        unit = self.figures[PEER]["p50_us"] if self.figures else p50  # the comparison is measured first
        self.figures[name] = {"p50_us": round(p50, 1), "p99_us": round(p99, 1), "units": round(p50 / unit, 1)}


def bench_state() -> tuple[AccountState, ChangeSet]:
    """Return an account with three positions, five working orders and several sends in the throttle's window."""
    state = opened(ACCOUNT, BEGIN - timedelta(days=1))
    books = state.books
    fills = []
    for number, (symbol, side, quantity) in enumerate(((BTC, Side.BUY, "0.2"), (ETH, Side.SELL, "4"), (SOL, Side.BUY, "30"))):
        fill = Fill(
            account=ACCOUNT.account,
            key=f"t{number}",
            at=BEGIN - timedelta(hours=1, seconds=-number),
            symbol=symbol,
            side=side,
            quantity=Decimal(quantity),
            price=PRICES[symbol] - 1,
            fee=Decimal("0.5"),
        )
        books = record(books, fill).books
        fills.append(fill)
    events: list[OrderEvent] = []
    orders: dict[ClientOrderId, Order] = {}
    for number in range(5):
        symbol = (BTC, ETH, SOL)[number % 3]
        own = _resting(symbol, number)
        order = _made(own)
        orders[order.client_order_id] = order
        events += own
    times = tuple(event.at for event in events if isinstance(event, OrderReleased))
    after = replace(
        state,
        at=BEGIN,
        books=books,
        orders=MappingProxyType(orders),
        order_times=times,
        marks=MappingProxyType({symbol: Mark(price, BEGIN) for symbol, price in PRICES.items()}),
    )
    return after, ChangeSet(order_events=tuple(events), entries=tuple(fills))


def _resting(symbol: Symbol, number: int) -> list[OrderEvent]:
    at = BEGIN - timedelta(seconds=5 * (5 - number))
    terms = OrderTerms(
        account=ACCOUNT.account,
        strategy="bench",
        symbol=symbol,
        decided_at=at,
        leg=Leg.ENTRY,
        side=Side.BUY,
        type=OrderType.LIMIT,
        quantity=Decimal("0.01") if symbol == BTC else Decimal("0.1"),
        limit_price=PRICES[symbol] - 5,
        send_before=at + timedelta(minutes=5),
    )
    key = terms.client_order_id
    return [
        OrderInitialized(client_order_id=key, at=at, terms=terms),
        OrderReleased(client_order_id=key, at=at),
        OrderSubmitted(client_order_id=key, at=at),
        OrderAccepted(client_order_id=key, at=at, venue_order_id=f"v{number}"),
    ]


def _made(events: list[OrderEvent]) -> Order:
    first, *rest = events
    if not isinstance(first, OrderInitialized):
        raise ServiceError("expected the events of an order from its OrderInitialized on")
    order = initialise(first)
    for event in rest:
        order = apply(order, event)
    return order


def _proposed(quantity: str = "0.05", **changes: object) -> ProposedOrder:
    facts = {
        "order_id": ClientOrderId("new"),
        "symbol": BTC,
        "side": Side.BUY,
        "quantity": Decimal(quantity),
        "stop_price": Decimal(59_000),
    }
    return ProposedOrder(**(facts | changes))  # type: ignore[arg-type]


def _in_memory(measured: _Measured, rounds: int) -> None:
    state, limits = bench_state()[0], ACCOUNT.limits
    facts = risk_snapshot(state, AT)
    good, bad = _proposed(), _proposed("90.00001")
    exit_ = _proposed("0.1", side=Side.SELL, stop_price=None, reduce_only=True)
    if not isinstance(assess(good, facts, limits), RiskApproved) or not isinstance(assess(bad, facts, limits), RiskRefused):
        raise ServiceError(
            f"expected the checks to approve the first order and to refuse the second, got {assess(good, facts, limits)}"
        )
    batch = [_proposed("0.001", order_id=ClientOrderId(f"b{number}")) for number in range(10)]
    account = FtmoAccount(FTMO_2STEP, Decimal(10_000_000))
    for number in range(1_000):
        symbol = (BTC, ETH, SOL)[number % 3]
        account.apply(Opened(BEGIN, PositionId(f"p{number}"), symbol, Side.BUY, Decimal(1), Decimal(100), Decimal(1)))
    instants = iter(range(10**9))

    def mark() -> None:
        number = next(instants)
        account.apply(Marked(BEGIN + timedelta(milliseconds=number), {BTC: Decimal(100 + number % 7)}))

    measured.add(PEER, ten_products, rounds)
    # fresh facts each time, because a snapshot caches its order book for the later orders of a batch
    fresh = iter([replace(facts) for _ in range(rounds + WARM_UP)])
    measured.add("check in memory", lambda: assess(good, next(fresh), limits), rounds)
    measured.add("check in memory, a later order of a batch", lambda: assess(good, facts, limits), rounds)
    measured.add("check in memory, refused with all its breaches", lambda: assess(bad, facts, limits), rounds)
    measured.add("check in memory, of a reduction", lambda: assess(exit_, facts, limits), rounds)
    measured.add(
        "snapshot composed from an account state, then check", lambda: assess(good, risk_snapshot(state, AT), limits), rounds // 4
    )
    # a copy has no cached text, so its id is computed from all facts; the next id in a batch only from the changes
    measured.add("snapshot taken in again, and its id (sha256 of all facts)", lambda: replace(facts).snapshot_id, rounds // 10)
    measured.add("snapshot with one order more, and its id", lambda: facts.with_sent(good).snapshot_id, rounds // 10)
    measured.add("batch of ten, cumulative", lambda: assess_batch(batch, facts, limits), rounds // 10)
    measured.add("FTMO account, one mark, 1,000 positions open", mark, rounds)
    measured.add("FTMO headroom and floors", account.headroom, rounds // 4)


def _on_postgres(measured: _Measured, settings: DatabaseSettings, rounds: int) -> None:
    state, changes = bench_state()
    good, limits = _proposed(), ACCOUNT.limits
    with ConnectionSource(settings, lambda: "") as source:
        with PostgresLedger(source).transaction() as tx:
            tx.add_candles(MARKET, flat_candles(5))
        ledger = PostgresTradingLedger(source)
        ledger.open_account(ACCOUNT, BEGIN - timedelta(days=1), "bench")
        with ledger.transaction(ACCOUNT.account) as trading:
            trading.save(trading.load(BEGIN), state, changes)

        decisions: list[object] = []

        def check() -> int:
            start = perf_counter_ns()
            with ledger.transaction(ACCOUNT.account) as tx:
                decisions[:] = [assess(good, risk_snapshot(tx.load(AT), AT), limits)]
                return perf_counter_ns() - start  # the commit belongs to the submit, not to the check

        def plainly() -> int:
            start = perf_counter_ns()
            with source.transaction() as connection:
                decisions[:] = [assess(good, risk_snapshot(_plainly_loaded(connection, state), AT), limits)]
                return perf_counter_ns() - start

        for way in (check, plainly):
            way()
            if decisions != [assess(good, risk_snapshot(state, AT), limits)] or not isinstance(decisions[0], RiskApproved):
                raise ServiceError(f"expected the same decision with facts from PostgreSQL as in memory, got {decisions}")
        measured.add_spans("check read from PostgreSQL", check, rounds)
        measured.add_spans("peer: the same, a statement a table and an order", plainly, rounds)


def _plainly_loaded(connection: Connection, state: AccountState) -> AccountState:
    """Read what a decision needs the plain way; the parsing is the same as ours."""
    account = state.account.account

    def ask(query: str, *values: object) -> list[tuple[object, ...]]:
        return connection.execute(query.encode(), values, prepare=False).fetchall()

    ask("SELECT * FROM accounts WHERE account = %s FOR UPDATE", account)
    ask("SELECT * FROM positions WHERE account = %s", account)
    ask("SELECT * FROM lots WHERE account = %s", account)
    ask("SELECT * FROM standing_orders WHERE account = %s", account)
    ask("SELECT * FROM trades WHERE account = %s AND state NOT IN ('CLOSED', 'ABANDONED')", account)
    ask("SELECT * FROM locks WHERE account = %s AND until > %s", account, AT)
    ask(
        "SELECT at FROM order_events WHERE account = %s AND kind = 'OrderReleased' AND at > %s",
        account,
        AT - timedelta(minutes=1),
    )
    for symbol in state.marks:
        query = "SELECT close FROM candles WHERE venue = %s AND symbol = %s AND open_time < %s ORDER BY open_time DESC LIMIT 1"
        ask(query, MARKET, symbol, AT)
    orders: dict[ClientOrderId, Order] = {}
    for (key,) in ask("SELECT client_order_id FROM orders WHERE account = %s AND closed_at IS NULL", account):
        payloads = ask("SELECT payload FROM order_events WHERE client_order_id = %s ORDER BY sequence", key)
        orders |= orders_of_events(str(payload) for (payload,) in payloads)
    return replace(state, orders=MappingProxyType(orders))
