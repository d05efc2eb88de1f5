"""The state of an account between two steps. All of it can be rebuilt from the ledger; a worker may keep a copy.

An account has at most one trade per symbol. A `Trade` is an entry order and its exits, from the decision until the position is
flat again. Orders that people send themselves belong to no trade and get no exits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from signalbox.frozen import Changing
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, Side
from signalbox.portfolio.account import Books, record
from signalbox.portfolio.entries import Transfer
from signalbox.risk.ftmo.monitor import FtmoRuleState
from signalbox.risk.order import Instrument
from signalbox.risk.snapshot import HaltLevel, Lock, Mark
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.at_venue import AtVenue, instruments_at
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.warnings import IssuedWarning


class TradeState(StrEnum):
    """The stage of a trade."""

    ENTERING = "ENTERING"  # the entry order is open, nothing is filled
    OPEN = "OPEN"
    EXITING = "EXITING"  # the position is being closed: an exit order is open, or the next one is due
    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"  # the entry ended without a fill


@dataclass(frozen=True)  # without slots, as those below: `after` copies one dictionary
class ExitProgress(Changing):
    """The progress of closing a position. After each failed attempt comes another, until the position is closed.

    attempts: orders sent so far, stops included; it numbers the next one. failures: exits in a row that ended without a fill.
    retry_at: the next exit is not sent before this; None means send it at once. since: when the position first had to be
    closed; None: it may stay open. alarms: alarms raised because it is still open. stop_restored: whether the stop was put back
    after the newest failed exit. failed_at, reason: when and why that exit failed. stop: the newest stop, until it ends.
    stops_failed: stops in a row that the venue refused.
    """

    attempts: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    since: datetime | None = None
    alarms: int = 0
    stop_restored: bool = False
    failed_at: datetime | None = None
    reason: str = ""
    stop: ClientOrderId | None = None
    stops_failed: int = 0


@dataclass(frozen=True)
class Closing(Changing):
    """A position without an open trade that has to be closed: by the kill switch, or after a fill that came late.

    quantity: signed late quantity still to be closed, 0 if none. is_flattened: the kill switch closes the whole position. When
    neither applies any more, the record stays until a new one would get a later `since`, which is part of the order ids.
    entry: the entry order of the late fill. order: the attempt that is open.
    """

    symbol: Symbol
    quantity: Decimal
    progress: ExitProgress
    entry: ClientOrderId | None = None
    order: ClientOrderId | None = None
    is_flattened: bool = False


@dataclass(frozen=True)
class Trade(Changing):
    """The position of one signal, from its entry until it is flat.

    Key: account and `entry`, the client order id of the entry order.

    exit_leg: why the trade is being closed, None while it may stay open; on a closed trade, what closed it. exit: the open exit
    order; on a closed trade, the order that closed it.
    """

    entry: ClientOrderId
    symbol: Symbol
    side: Side
    decided_at: datetime
    deployment: str
    stage: str  # of the signal's model; marks a shadow model's trade permanently
    state: TradeState
    stop_loss: Decimal
    take_profit: Decimal | None
    deadline: datetime
    opened_at: datetime | None = None
    exit: ClientOrderId | None = None
    exit_leg: Leg | None = None
    closed_at: datetime | None = None
    realised: Decimal | None = None  # after fees, once closed
    progress: ExitProgress = ExitProgress()

    def owns(self, order: Order) -> bool:
        """Whether an order belongs to this trade: its entry, or an exit of the same decision."""
        return order.terms.decided_at == self.decided_at and order.terms.symbol == self.symbol


@dataclass(frozen=True, slots=True)
class Halt:
    """The kill switch of an account: who set it, why and until when (None means until somebody resumes). It survives restarts."""

    level: HaltLevel
    who: str
    why: str
    since: datetime
    until: datetime | None = None

    def level_at(self, at: datetime) -> HaltLevel:
        """Return the level in force at an instant."""
        return HaltLevel.NONE if self.until is not None and at >= self.until else self.level


def _nothing() -> Mapping[Symbol, Mark]:
    return MappingProxyType({})


def _no_orders() -> Mapping[ClientOrderId, Order]:
    return MappingProxyType({})


def _no_trades() -> Mapping[Symbol, Trade]:
    return MappingProxyType({})


def _no_closings() -> Mapping[Symbol, Closing]:
    return MappingProxyType({})


@dataclass(frozen=True)
class AccountState(Changing):
    """An account at `at`, the instant of the newest step (None: never stepped).

    orders: the open ones, those of open trades, and those named when the state was loaded. trades: open ones by symbol.
    watched_until: bars with close_time up to here were applied. loss_rules: state of the FTMO rule monitor, None without rules or
    before their first day. order_times: when orders were released within the throttle's window, oldest first.
    """

    account: TradingAccount
    books: Books
    at: datetime | None = None
    orders: Mapping[ClientOrderId, Order] = field(default_factory=_no_orders)
    trades: Mapping[Symbol, Trade] = field(default_factory=_no_trades)
    halt: Halt | None = None
    locks: tuple[Lock, ...] = ()
    marks: Mapping[Symbol, Mark] = field(default_factory=_nothing)
    watched_until: datetime | None = None
    loss_rules: FtmoRuleState | None = None
    order_times: tuple[datetime, ...] = ()
    warned: frozenset[IssuedWarning] = frozenset()  # so that each warning is raised once
    memory: ProtectionMemory = field(default_factory=ProtectionMemory)  # stored as `to_text`
    compared_at: datetime | None = None  # when the newest compared view of a live account's venue was asked for
    closings: Mapping[Symbol, Closing] = field(default_factory=_no_closings)  # positions without a trade that are being closed
    review_at: datetime | None = None  # when the newest AccountReviewDue returns
    at_venue: AtVenue = field(default_factory=AtVenue)  # stored as `to_text`

    @property
    def instruments(self) -> Mapping[Symbol, Instrument]:
        """Tradable instruments: of a live account those in its venue's newest view (none before it), else the paper venue's."""
        return instruments_at(self.at_venue.instruments) if self.account.mode is TradingMode.LIVE else INSTRUMENTS

    @property
    def leaving(self) -> tuple[ExitProgress, ...]:
        """The exit progress of every open trade and of every position without one."""
        return (*(trade.progress for trade in self.trades.values()), *(one.progress for one in self.closings.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no price can change the account, because it has no position and no open order. Then bars need no step each."""
        return not self.trades and not self.books.held and all(order.state.is_closed for order in self.orders.values())


KEEP_CLOSED: Final = timedelta(hours=1)  # how long a closed order stays in memory; the ledger loads any order by its id


def counts(order: Order, trades: Iterable[Trade]) -> bool:
    """Return whether an order must stay in the account state: it is open, or an open trade still needs it.

    A trade needs its entry, its filled exits, and every order that filled in its symbol since its decision, whoever sent it,
    because such a fill may have closed part of the trade (attribution.py). It does not need attempts that ended without a fill:
    there can be many, and the trade's `progress` has their result.
    """
    return not order.state.is_closed or any(_belongs(order, trade) for trade in trades)


def _belongs(order: Order, trade: Trade) -> bool:
    if order.terms.symbol != trade.symbol:
        return False
    if trade.owns(order):
        return bool(order.filled) or order.terms.leg is Leg.ENTRY
    return any(fill.at >= trade.decided_at for fill in order.trades)


def pruned(state: AccountState, at: datetime) -> AccountState:
    """Return the account state without the orders, locks and order times that no longer count at `at`."""
    orders = counting_orders(state.orders, state.trades.values(), at)
    return state.after(
        orders=state.orders if orders is state.orders else MappingProxyType(dict(orders)),
        locks=tuple(lock for lock in state.locks if at < lock.until),
        order_times=in_window(state.account, state.order_times, at),
    )


def counting_orders(
    orders: Mapping[ClientOrderId, Order], trades: Iterable[Trade], at: datetime
) -> Mapping[ClientOrderId, Order]:
    """Return the orders without those that no longer count at `at`; the same mapping if all of them do."""
    until = at - KEEP_CLOSED
    old = [(key, order) for key, order in orders.items() if order.closed_at is not None and order.closed_at <= until]
    open_trades = tuple(trades) if old else ()
    gone = {key for key, order in old if not counts(order, open_trades)}
    return {key: order for key, order in orders.items() if key not in gone} if gone else orders


def in_window(account: TradingAccount, order_times: tuple[datetime, ...], at: datetime) -> tuple[datetime, ...]:
    """Return the release times that the account's throttle still counts at `at`."""
    if not order_times:
        return order_times
    return order_times[bisect_right(order_times, at - timedelta(seconds=account.limits.throttle_window_seconds)) :]


KILL_SWITCH: Final = "kill-switch"  # the strategy of orders that close positions without a trade
EXIT_LEGS: Final = frozenset({Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TIMEOUT, Leg.EXIT, Leg.FLATTEN})


def opening_transfer(account: TradingAccount, at: datetime) -> Transfer:
    """Return the entry that books an account's initial capital."""
    return Transfer(account=account.account, key="opening", at=at, amount=account.capital)


def opened(account: TradingAccount, at: datetime) -> AccountState:
    """Return the state of a newly opened account: its capital and nothing else."""
    return AccountState(account, record(Books(account.account), opening_transfer(account, at)).books)
