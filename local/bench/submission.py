"""What a benchmarked account does in one transaction: book the answers to its last batch, judge the next one, write all of it.

Every order lives its whole life: initialised, judged with the orders before it already working, released, announced for the
venue, submitted, accepted, filled, booked. Buys and sells take turns, so positions stay small. Limits are those of a paper
account with room for the rate; what the checks compute is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from typing_extensions import override

from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.orders.application import apply, initialise
from signalbox.orders.events import (
    OrderAccepted,
    OrderDenied,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderReleased,
    OrderSubmitted,
)
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import ExecutionRequested, Instruction
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.account import record
from signalbox.portfolio.entries import Entry, Fill
from signalbox.portfolio.lots import Disposal
from signalbox.risk.assess import assess_batch
from signalbox.risk.decision import RiskApproved
from signalbox.risk.limits import RiskLimits
from signalbox.trading.account import TradingAccount, TradingMode, account_named
from signalbox.trading.changes import Changes
from signalbox.trading.snapshot import proposed, risk_snapshot
from signalbox.trading.state import Desk

BEGIN: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
MARKET: Final = "coinbase"
BTC, ETH, SOL = Symbol("BTC-USD"), Symbol("ETH-USD"), Symbol("SOL-USD")
PRICES: Final = {BTC: Decimal("60000.50"), ETH: Decimal("3000.25"), SOL: Decimal("130.10")}
QUANTITIES: Final = (Decimal("0.0005"), Decimal("0.010"), Decimal("0.25"))
_SYMBOLS: Final = tuple(PRICES)


class RoomyAccount(TradingAccount):
    """An account whose throttle lets a benchmark's rate through, counted over one second."""

    @property
    @override
    def limits(self) -> RiskLimits:
        return super().limits.model_copy(update={"throttle_window_seconds": 1, "max_orders_per_window": 10_000})


def bench_account(number: int) -> TradingAccount:
    """Return a live account of the benchmark: what it releases is announced for a venue."""
    plain = account_named("paper-900000k", market=MARKET)
    return plain.model_copy(update={"account": f"bench-{number}", "mode": TradingMode.LIVE, "venue": "bench"})


def parse_roomy(text: str) -> TradingAccount:
    """Read a configuration as a RoomyAccount."""
    return RoomyAccount.model_validate_json(text)


def flat_candles(minutes: int) -> list[Candle]:
    """Return bars at PRICES from one minute before BEGIN on, so that marks stay fresh while the benchmark runs."""
    return [
        Candle(symbol, BEGIN + ONE_MINUTE * n, price, price, price, price, Decimal(1))
        for n in range(-1, minutes)
        for symbol, price in PRICES.items()
    ]


def order_terms(number: int, account: str) -> OrderTerms:
    """Return the order of that number: always the same one, so that it can be delivered again."""
    decided_at = BEGIN + timedelta(microseconds=number)
    return OrderTerms(
        account=account,
        strategy="bench",
        symbol=_SYMBOLS[number // 2 % 3],
        decided_at=decided_at,
        leg=Leg.ENTRY,
        side=Side.BUY if number % 4 < 2 else Side.SELL,
        type=OrderType.MARKET,
        quantity=QUANTITIES[number // 2 % 3],
        send_before=decided_at + timedelta(minutes=5),
    )


def numbered(numbers: Iterable[int], account: str) -> dict[ClientOrderId, OrderTerms]:
    """Return the orders of these numbers by their ids; a number that comes twice is one order."""
    return {terms.client_order_id: terms for terms in (order_terms(number, account) for number in numbers)}


def step(desk: Desk, batch: Mapping[ClientOrderId, OrderTerms], at: datetime) -> tuple[Desk, Changes]:
    """Fill what is open, then submit what is new; orders that the desk knows are deliveries again and change nothing."""
    orders = dict(desk.orders)
    events: list[OrderEvent] = []
    entries: list[Entry] = []
    for key, order in desk.orders.items():
        if not order.state.is_closed:
            told = _answers(order, at)
            orders[key] = _applied(order, told)
            events += told
            entries.append(Fill.of(order.terms, told[-1]))
    books, disposals = desk.books, list[Disposal]()
    for entry in sorted(entries, key=lambda e: e.entry_id):
        booked = record(books, entry)
        books, disposals = booked.books, [*disposals, *booked.disposals]
    between = replace(desk, at=at, orders=MappingProxyType(orders), books=books)
    after, changes = _submitted(between, {key: terms for key, terms in batch.items() if key not in desk.orders}, at)
    return after, Changes(order_events=tuple(events), entries=tuple(entries), disposals=tuple(disposals)) + changes


def _submitted(desk: Desk, batch: Mapping[ClientOrderId, OrderTerms], at: datetime) -> tuple[Desk, Changes]:
    if not batch:
        return desk, Changes()
    events: list[OrderEvent] = []
    requests = []
    orders = dict(desk.orders)
    fresh: dict[ClientOrderId, Order] = {}
    for key, terms in batch.items():
        first = OrderInitialized(client_order_id=key, at=at, terms=terms)
        fresh[key] = initialise(first)
        events.append(first)
    snapshot = risk_snapshot(desk, at)
    decisions = assess_batch([proposed(order) for order in fresh.values()], snapshot, desk.account.limits)
    snapshot_id = snapshot.snapshot_id
    times = list(desk.order_times)
    for (key, order), decision in zip(fresh.items(), decisions, strict=True):
        if not isinstance(decision, RiskApproved):
            denied = OrderDenied(client_order_id=key, at=at, reason=decision.code.value)
            orders[key] = apply(order, denied)
            events.append(denied)
            continue
        released = OrderReleased(client_order_id=key, at=at)
        orders[key] = apply(order, released)
        events.append(released)
        times.append(at)
        requests.append(
            ExecutionRequested(
                account=desk.account.account,
                venue=desk.account.venue,
                instruction=Instruction.SUBMIT,
                client_order_id=key,
                terms=order.terms,
                at=at,
                snapshot_id=snapshot_id,
            )
        )
    after = replace(desk, orders=MappingProxyType(orders), order_times=tuple(times))
    return after, Changes(order_events=tuple(events), events=tuple(requests))


def _answers(order: Order, at: datetime) -> tuple[OrderSubmitted, OrderAccepted, OrderFilled]:
    """Return what the venue did with a released order."""
    key, terms = order.client_order_id, order.terms
    price = PRICES[Symbol(terms.symbol)]
    return (
        OrderSubmitted(client_order_id=key, at=at),
        OrderAccepted(client_order_id=key, at=at, venue_order_id=f"v{key[:16]}"),
        OrderFilled(
            client_order_id=key,
            at=at,
            account=terms.account,
            symbol=terms.symbol,
            trade_id=f"t{key[:16]}",
            quantity=terms.quantity,
            price=price,
            fee=Decimal("0.0101"),
        ),
    )


def _applied(order: Order, events: Sequence[OrderEvent]) -> Order:
    for event in events:
        order = apply(order, event)
    return order
