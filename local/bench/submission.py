"""The step of a benchmark account in one transaction: apply the venue's reports on its last batch and submit the next batch.

Both are steps of the product (`trading.venue_reports.report`, `trading.operator_orders.submit`). Every order has a full life:
initialised, checked with the earlier orders already working, released, announced for the venue, submitted, accepted, filled,
booked. Buys and sells alternate, so positions stay small. The limits are those of a paper account with a wider throttle.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from typing_extensions import override

from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.orders.events import OrderAccepted, OrderFilled, OrderSubmitted
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import ExecutionReported
from signalbox.orders.order import Order
from signalbox.orders.sealing import RequestSealer
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.orders.venue_view import VenueInstrument
from signalbox.risk.limits import PRESETS, AccountKind, RiskLimits
from signalbox.signing import SigningKey
from signalbox.trading import operator_orders, venue_reports
from signalbox.trading.account import TradingAccount, TradingMode, account_named
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.ports import TradingLedger
from signalbox.trading.state import AccountState

BEGIN: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
MARKET: Final = "coinbase"
BTC, ETH, SOL = Symbol("BTC-USD"), Symbol("ETH-USD"), Symbol("SOL-USD")
PRICES: Final = {BTC: Decimal("60000.50"), ETH: Decimal("3000.25"), SOL: Decimal("130.10")}
QUANTITIES: Final = (Decimal("0.0005"), Decimal("0.010"), Decimal("0.25"))
MICROSECOND: Final = timedelta(microseconds=1)
OPENED: Final = {"throttle_window_seconds": 1, "max_orders_per_window": 10_000}
_SYMBOLS: Final = tuple(PRICES)
_LIMITS: Final = RiskLimits.model_validate({**PRESETS[AccountKind.PAPER].model_dump(), **OPENED})


class UnthrottledAccount(TradingAccount):
    """An account whose throttle allows the benchmark's rate; it counts orders over one second."""

    @property
    @override
    def limits(self) -> RiskLimits:
        return _LIMITS


def bench_account(number: int) -> TradingAccount:
    """Return a live account of the benchmark. Its released orders are announced for a venue."""
    plain = account_named("paper-900000k", market=MARKET)
    return plain.model_copy(update={"account": f"bench-{number}", "mode": TradingMode.LIVE, "venue": "bench"})


def open_bench_account(ledger: TradingLedger, number: int) -> None:
    """Open an account whose venue has already reported its instruments, which are those of the paper venue."""
    account = bench_account(number)
    ledger.open_account(account, BEGIN, "bench")
    reported = tuple(VenueInstrument(one.symbol, one.tick, one.step, one.min_quantity) for one in INSTRUMENTS.values())
    with ledger.transaction(account.account) as tx:
        state = tx.load(BEGIN)
        tx.save(state, replace(state, at=BEGIN, at_venue=AtVenue(instruments=reported)), NO_CHANGES)


def parse_roomy(text: str) -> TradingAccount:
    """Read a configuration as an UnthrottledAccount."""
    return UnthrottledAccount.model_validate_json(text)


def bench_sealer() -> RequestSealer:
    """Return a sealer that signs requests as the deployed ledger does, with a key of this process."""
    key = SigningKey.of(secrets.token_hex(32))
    return RequestSealer(lambda: key, lambda: datetime.now(UTC))


def flat_candles(minutes: int) -> list[Candle]:
    """Return bars at PRICES from one minute before BEGIN, so that marks stay fresh during the benchmark."""
    return [
        Candle(symbol, BEGIN + ONE_MINUTE * n, price, price, price, price, Decimal(1))
        for n in range(-1, minutes)
        for symbol, price in PRICES.items()
    ]


def order_terms(number: int, account: str) -> OrderTerms:
    """Return the order with this number. It is always the same, so that it can be delivered twice."""
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
    """Return the orders with these numbers by their ids. A number that occurs twice is one order."""
    return {terms.client_order_id: terms for terms in (order_terms(number, account) for number in numbers)}


def step(
    state: AccountState,
    batch: Mapping[ClientOrderId, OrderTerms],
    at: datetime,
    reported: Sequence[ExecutionReported] | None = None,
) -> tuple[AccountState, ChangeSet]:
    """Apply the venue's reports on open orders (made here unless given), then submit the batch: two steps, committed together."""
    state, taken = venue_reports.report(state, reports(state, at) if reported is None else reported)
    state, sent = operator_orders.submit(state, tuple(batch.values()), at)
    return state, taken + sent


def reports(state: AccountState, at: datetime) -> list[ExecutionReported]:
    """Return the venue's reports of every open order: accepted, and filled at its symbol's price at `at` or just before.

    Each trade has a microsecond of its own, because a venue's trades are in order.
    """
    waiting = sorted(key for key, order in state.orders.items() if not order.state.is_closed)
    return [_report(state.orders[key], at - MICROSECOND * left) for left, key in enumerate(reversed(waiting))][::-1]


def _report(order: Order, at: datetime) -> ExecutionReported:
    key, terms = order.client_order_id, order.terms
    return ExecutionReported(
        account=terms.account,
        client_order_id=key,
        reported_at=at,
        events=(
            OrderSubmitted(client_order_id=key, at=at),
            OrderAccepted(client_order_id=key, at=at, venue_order_id=f"v{key[:16]}"),
            OrderFilled(
                client_order_id=key,
                at=at,
                account=terms.account,
                symbol=terms.symbol,
                trade_id=f"t{key[:16]}",
                quantity=terms.quantity,
                price=PRICES[Symbol(terms.symbol)],
                fee=Decimal("0.0101"),
            ),
        ),
    )
