"""The risk snapshot and the equity of an account. Pre-trade checks and position sizing use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.order import Order
from signalbox.orders.terms import OrderTerms, OrderType, Side
from signalbox.portfolio.account import Books
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor, FtmoRuleState
from signalbox.risk.order import AccountId, Instrument, Position, ProposedOrder, WorkingOrder
from signalbox.risk.snapshot import HaltLevel, Lock, LossFloor, Mark, RiskSnapshot
from signalbox.trading.account import TradingAccount
from signalbox.trading.at_venue import venue_locks
from signalbox.trading.errors import UnpricedError
from signalbox.trading.protection import Protection, protection_of
from signalbox.trading.state import AccountState, Trade


def rule_monitor_of(account: TradingAccount, loss_rules: FtmoRuleState | None) -> FtmoRuleMonitor | None:
    """Return the account's rule monitor, continued from `loss_rules` (None means a new one); None without rules."""
    if account.rules is None:
        return None
    if loss_rules is None:
        return FtmoRuleMonitor(account.rules, account.capital, phase=account.ftmo_phase)
    return FtmoRuleMonitor.restore(account.rules, loss_rules)


def rules_in_force(account: TradingAccount, loss_rules: FtmoRuleState | None) -> FtmoRuleMonitor | None:
    """Return `rule_monitor_of` for questions alone: the same states give the same monitor, which nobody may change."""
    return None if account.rules is None else _in_force(account, loss_rules)


@lru_cache(maxsize=16)  # between two steps of an account its rules are asked several times
def _in_force(account: TradingAccount, loss_rules: FtmoRuleState | None) -> FtmoRuleMonitor | None:
    return rule_monitor_of(account, loss_rules)


@exactly
def moved(account: TradingAccount, books: Books) -> Decimal:
    """Return deposits less withdrawals since the account was opened. They are neither profit nor loss.

    Loss rules and targets are judged without them: a deposit raises balance and equity, and the rules' levels by the same amount.
    """
    return books.transfers - account.capital


def floors_of(account: TradingAccount, books: Books, monitor: FtmoRuleMonitor | None) -> tuple[LossFloor, ...]:
    """Return the loss rules' equity levels in the account's money, adjusted for deposits and withdrawals."""
    floors = () if monitor is None else monitor.floors
    return floors if not (by := moved(account, books)) else tuple(_lifted(floor, by) for floor in floors)


@exactly
def _lifted(floor: LossFloor, by: Decimal) -> LossFloor:
    return replace(floor, breach_below=floor.breach_below + by, block_below=floor.block_below + by)


@exactly
def equity_at(books: Books, prices: Mapping[Symbol, Decimal]) -> Decimal:
    """Return balance plus unrealised profit. Raises UnpricedError if a held symbol has no price."""
    total = books.balance
    for symbol, quantity in books.held.items():
        if symbol not in prices:
            raise UnpricedError(f"{books.account} holds {symbol}, which has no price yet; apply its bars first")
        total += quantity * prices[Symbol(symbol)] - books.positions[symbol].cost
    return total


def equity_of(state: AccountState) -> Decimal:
    """Return the equity of an account at its marks."""
    return equity_at(state.books, {symbol: mark.price for symbol, mark in state.marks.items()})


def proposed(order: Order, stop_loss: Decimal | None = None, *, is_exit: bool = False) -> ProposedOrder:
    """Return an order as the checks take it. stop_loss: of the trade it opens. is_exit: it is our own exit of the whole rest."""
    terms, price = order.terms, _worst_price(order)
    order_id, symbol, side = order.client_order_id, Symbol(terms.symbol), terms.side
    if price is None and stop_loss is None and not is_exit:
        return ProposedOrder.market(order_id, symbol, side, order.fillable, reduce_only=terms.reduce_only)
    return ProposedOrder(
        order_id=order_id,
        symbol=symbol,
        side=side,
        quantity=order.fillable,
        price=price,
        stop_price=stop_loss,
        reduce_only=terms.reduce_only,
        is_stop=terms.type is OrderType.STOP,
        is_exit=is_exit,
    )


def _worst_price(order: Order) -> Decimal | None:
    """Return the price of an order, None for a market order. While a change is pending, the worse of both prices."""
    pending = order.pending_update
    if pending is None and order.terms.type is OrderType.MARKET:
        return None
    prices = [price for price in (order.limit_price, order.stop_price) if price is not None]
    if pending is not None:
        prices += [price for price in (pending.limit_price, pending.stop_price) if price is not None]
    if not prices:
        return None
    return max(prices) if order.terms.side is Side.BUY else min(prices)


def risk_snapshot(state: AccountState, at: datetime) -> RiskSnapshot:
    """Return all facts that a pre-trade decision about this account may use at `at`."""
    monitor = rules_in_force(state.account, state.loss_rules)
    return compose(
        state.account,
        at=at,
        books=state.books,
        held={symbol: position.quantity for symbol, position in state.books.positions.items()},
        orders=state.orders.values(),
        trades=state.trades,
        marks=state.marks,
        halt=HaltLevel.NONE if state.halt is None else state.halt.level_at(at),
        locks=(*state.locks, *venue_locks(state.at_venue.instruments, at)),
        floors=floors_of(state.account, state.books, monitor),
        order_times=state.order_times,
        instruments=state.instruments,
    )


def compose(
    account: TradingAccount,
    *,
    at: datetime,
    books: Books,
    held: Mapping[str, Decimal],
    orders: Iterable[Order],
    trades: Mapping[Symbol, Trade],
    marks: Mapping[Symbol, Mark],
    halt: HaltLevel,
    locks: Iterable[Lock],
    floors: tuple[LossFloor, ...],
    order_times: Iterable[datetime],
    instruments: Mapping[Symbol, Instrument],
    beside: OrderTerms | None = None,
) -> RiskSnapshot:
    """Build a `risk_snapshot` from its parts.

    held: signed quantities, including fills that are not booked yet. beside: open orders of these terms' symbol and side do not
    count as working.
    """
    orders = tuple(orders)
    stops = {trade.entry: trade.stop_loss for trade in trades.values()}
    working = tuple(
        WorkingOrder(proposed(order, stops.get(order.client_order_id)), order.fillable - order.filled)
        for order in orders
        if not order.state.is_closed
        and order.fillable > order.filled
        and (beside is None or order.terms.symbol != beside.symbol or order.terms.side is not beside.side)
    )
    return RiskSnapshot(
        account=AccountId(account.account),
        at=at,
        account_at=at,
        halt=halt,
        locks=tuple(locks),
        balance=books.balance,
        accrued_costs=ZERO,
        positions={
            Symbol(symbol): _position(
                books,
                Symbol(symbol),
                quantity,
                marks,
                protection_of(account, trades.get(Symbol(symbol)), orders, quantity),
            )
            for symbol, quantity in held.items()
            if quantity
        },
        working=working,
        instruments=instruments,
        marks=marks,
        floors=floors,
        order_times=tuple(order_times),
    )


def _position(
    books: Books, symbol: Symbol, quantity: Decimal, marks: Mapping[Symbol, Mark], protection: Protection | None
) -> Position:
    booked = books.position(symbol)
    average = booked.average_price if booked.quantity * quantity > 0 else None
    return Position(
        symbol=symbol,
        quantity=quantity,
        average_price=average or marks[symbol].price,
        stop_price=None if protection is None else protection.price,
        protected=ZERO if protection is None else protection.quantity,
    )
