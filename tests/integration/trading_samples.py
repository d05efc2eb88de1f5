"""An account, and steps of it built by hand from the domain's functions: what the ledger's trading tests write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from signalbox.market.candles import Symbol
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
from signalbox.orders.lifecycle import apply, initialise
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.portfolio.account import record, snapshot
from signalbox.portfolio.entries import Entry, Fill, booking_order
from signalbox.portfolio.lots import Disposal
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingAccount, account_named
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.events import TradingHalted
from signalbox.trading.state import AccountState, Halt, Trade, TradeState, counts, pruned
from tests.builders import BTC, NOON
from tests.integration.samples import VENUE
from tests.unit.orders.samples import fill

ACCOUNT = account_named("paper-100k", market=VENUE)
OTHER = account_named("ftmo-2step-100k", market=VENUE)
SECOND = timedelta(seconds=1)


def terms(
    at: datetime = NOON,
    *,
    account: TradingAccount = ACCOUNT,
    symbol: Symbol = BTC,
    leg: Leg = Leg.ENTRY,
    side: Side = Side.BUY,
    quantity: str = "0.5",
    limit: str | None = None,
) -> OrderTerms:
    """A market order, or a limit order at `limit`."""
    return OrderTerms(
        account=account.account,
        strategy=account.strategy,
        symbol=symbol,
        decided_at=at,
        leg=leg,
        side=side,
        type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        send_before=at + timedelta(minutes=5),
    )


def sent(of: OrderTerms, at: datetime | None = None) -> tuple[OrderEvent, ...]:
    """The events of an order that reached its venue."""
    key, when = of.client_order_id, at or of.decided_at
    return (
        OrderInitialized(client_order_id=key, at=when, terms=of),
        OrderReleased(client_order_id=key, at=when),
        OrderSubmitted(client_order_id=key, at=when),
        OrderAccepted(client_order_id=key, at=when + SECOND, venue_order_id=f"v-{key[:8]}"),
    )


def denied(of: OrderTerms) -> tuple[OrderEvent, ...]:
    """The events of an order the interlocking refused."""
    key = of.client_order_id
    return (
        OrderInitialized(client_order_id=key, at=of.decided_at, terms=of),
        OrderDenied(client_order_id=key, at=of.decided_at, reason="HALTED"),
    )


def filled(
    of: OrderTerms, trade_id: str, at: datetime, *, quantity: str | None = None, price: str = "100", fee: str = "0.1"
) -> OrderFilled:
    """One trade of an order."""
    return fill(of, trade_id, quantity or str(of.quantity), price, fee, at)


def stepped(
    state: AccountState, at: datetime, *events: OrderEvent, entries: Iterable[Entry] = ()
) -> tuple[AccountState, ChangeSet]:
    """Apply order events, book their fills and further entries: a step without decisions of its own."""
    orders: dict[ClientOrderId, Order] = dict(state.orders)
    booked = list(entries)
    for event in events:
        key = ClientOrderId(event.client_order_id)
        orders[key] = initialise(event) if isinstance(event, OrderInitialized) else apply(orders[key], event)
        if isinstance(event, OrderFilled):
            booked.append(Fill.of(orders[key].terms, event))
    books = state.books
    disposals: list[Disposal] = []
    for entry in sorted(booked, key=booking_order):
        made = record(books, entry)
        books, disposals = made.books, [*disposals, *made.disposals]
    released = tuple(event.at for event in events if isinstance(event, OrderReleased))
    after = replace(
        state, at=at, orders=MappingProxyType(orders), books=books, order_times=tuple(sorted(state.order_times + released))
    )
    return after, ChangeSet(order_events=events, entries=tuple(booked), disposals=tuple(disposals))


def trade_of(of: OrderTerms, state: TradeState = TradeState.ENTERING, **changes: object) -> Trade:
    """The trade an entry order begins."""
    fresh = Trade(
        entry=of.client_order_id,
        symbol=Symbol(of.symbol),
        side=of.side,
        decided_at=of.decided_at,
        deployment="starter",
        stage="shadow",
        state=state,
        stop_loss=Decimal("95.50"),
        take_profit=None,
        deadline=of.decided_at + timedelta(hours=1),
    )
    return replace(fresh, **changes)  # type: ignore[arg-type]


def halted(state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """The kill switch, as an operator sets it."""
    halt = Halt(HaltLevel.HALT, "anna", "looking into fills", at, at + timedelta(hours=2))
    account = state.account.account
    return replace(state, halt=halt, at=at), ChangeSet(
        halts=(halt,),
        risk=(RiskEvent(RiskEventKind.HALTED, at.isoformat(), at, "HALT", who="anna", value=Decimal("1.50"), limit="HALT"),),
        events=(TradingHalted(account=account, level=halt.level, who="anna", why=halt.why, at=at, until=halt.until),),
    )


def equity(state: AccountState, at: datetime, marks: dict[str, Decimal]) -> ChangeSet:
    """A snapshot of the account at these marks."""
    return ChangeSet(equity=(snapshot(state.books, marks, at),))


def countable(state: AccountState, at: datetime) -> AccountState:
    """The account state as a load at `at` has to give it back: without the orders that closed and the times that ended."""
    trades = tuple(state.trades.values())
    window = timedelta(seconds=state.account.limits.throttle_window_seconds)
    kept = pruned(state, at)
    return replace(
        kept,
        orders=MappingProxyType({key: order for key, order in kept.orders.items() if counts(order, trades)}),
        order_times=tuple(time for time in kept.order_times if at - window < time <= at),
    )
