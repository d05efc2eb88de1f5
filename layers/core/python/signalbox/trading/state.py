"""What an account is between two steps. Everything here is rebuilt from the ledger's rows; a worker may keep a copy.

One trade at a time and symbol: a `Trade` is an entry order with the exits that stand behind it, from the decision until
the position is flat again. Orders that people send themselves have no trade and no exits.
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
from signalbox.trading.warnings import StandingWarning


class TradeState(StrEnum):
    """Where a trade stands."""

    ENTERING = "ENTERING"  # the entry order is open and nothing is filled
    OPEN = "OPEN"
    EXITING = "EXITING"  # it is being left: an exit order is on its way, or the next one is due
    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"  # the entry ended without a fill


@dataclass(frozen=True)  # without slots, as those below: `after` copies one dictionary
class ExitProgress(Changing):
    """How far closing a position has come. An attempt that failed is followed by another, for as long as the position is there.

    attempts: orders sent so far, stops included; the next one takes this as its number. failures: exits in a row that ended
    without a fill. retry_at: not before this is the next one sent; None: at once. since: when it was first to be closed; None:
    it may stay. alarms: how many alarms were raised that it is still open. stop_restored: whether the stop was put back
    since the last exit failed. failed_at, reason: when and why it did. stop: the newest stop, until it has ended. stops_failed:
    stops in a row that the venue did not take.
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
    """A position of no open trade that has to be closed: by the kill switch, or a fill that came after its trade was over.

    quantity: signed, what came late and is still to be closed; 0: nothing of it. is_flattened: all of the position is, for as
    long as the kill switch says so. With neither it is kept while a new one would have the same `since` and so the same order
    ids. entry: the entry order that filled late. order: the attempt that is on its way.
    """

    symbol: Symbol
    quantity: Decimal
    progress: ExitProgress
    entry: ClientOrderId | None = None
    order: ClientOrderId | None = None
    is_flattened: bool = False


@dataclass(frozen=True)
class Trade(Changing):
    """One signal's way through the market. Key: account and `entry`, the client order id of the entry order.

    exit_leg: why it is being left, None while it may stay; of a closed trade what closed it. exit: the exit order on its way;
    of a closed trade the one that closed it.
    """

    entry: ClientOrderId
    symbol: Symbol
    side: Side
    decided_at: datetime
    deployment: str
    stage: str  # of the signal: a shadow model's trade is marked as such for ever
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
        """Whether an order is of this trade: its entry, or an exit of the same decision."""
        return order.terms.decided_at == self.decided_at and order.terms.symbol == self.symbol


@dataclass(frozen=True, slots=True)
class Halt:
    """The kill switch of an account: who, why, until when (None: until somebody resumes). No restart clears it."""

    level: HaltLevel
    who: str
    why: str
    since: datetime
    until: datetime | None = None

    def level_at(self, at: datetime) -> HaltLevel:
        """Return the level in force."""
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

    orders: open ones, those of open trades, and those somebody named when it was loaded. trades: not closed, by symbol.
    watched_until: bars with close_time at or before it were applied (fills, worst prices). loss_rules: what the monitor of
    the account's FTMO rules goes on from, None without rules or before their first day. order_times: sends of the throttle's
    window, oldest first.
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
    warned: frozenset[StandingWarning] = frozenset()  # so that each is raised once
    memory: ProtectionMemory = field(default_factory=ProtectionMemory)  # of the protections; `to_text` is what is stored
    compared_at: datetime | None = None  # the newest comparison with the venue, of a live account
    closings: Mapping[Symbol, Closing] = field(default_factory=_no_closings)  # positions of no trade that are being closed
    review_at: datetime | None = None  # when the newest AccountReviewDue comes back
    at_venue: AtVenue = field(default_factory=AtVenue)  # what a live account knows of its venue; `to_text` is what is stored

    @property
    def instruments(self) -> Mapping[Symbol, Instrument]:
        """What may be traded: of a live account what its venue told, nothing before it did; of any other the paper venue's."""
        return instruments_at(self.at_venue.instruments) if self.account.mode is TradingMode.LIVE else INSTRUMENTS

    @property
    def leaving(self) -> tuple[ExitProgress, ...]:
        """How far every trade, and every position of none, has come on its way out."""
        return (*(trade.progress for trade in self.trades.values()), *(one.progress for one in self.closings.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no price can change anything: nothing held, nothing working. Its bars need not be watched one by one."""
        return (
            not self.trades
            and all(not position.quantity for position in self.books.positions.values())
            and all(order.state.is_closed for order in self.orders.values())
        )


KEEP_CLOSED: Final = timedelta(
    hours=1
)  # a closed order stays in an account state in memory; the ledger brings any back by its id


def counts(order: Order, trades: Iterable[Trade]) -> bool:
    """Whether an order is needed to know where an account stands.

    An open one is; the entry of an open trade; and whatever traded in its symbol since it was decided, whoever sent it, for it
    may have closed a part of the trade (attribution.py). An attempt that ended without a fill is none: an exit may need many,
    and what they came to is in the trade's progress.
    """
    return not order.state.is_closed or any(_belongs(order, trade) for trade in trades)


def _belongs(order: Order, trade: Trade) -> bool:
    if order.terms.symbol != trade.symbol:
        return False
    if trade.owns(order):
        return bool(order.filled) or order.terms.leg is Leg.ENTRY
    return any(fill.at >= trade.decided_at for fill in order.trades)


def pruned(state: AccountState, at: datetime) -> AccountState:
    """Return the account state without what no longer counts at `at`, as every step leaves it."""
    orders = counting_orders(state.orders, state.trades.values(), at)
    return state.after(
        orders=state.orders if orders is state.orders else MappingProxyType(dict(orders)),
        locks=tuple(lock for lock in state.locks if at < lock.until),
        order_times=in_window(state.account, state.order_times, at),
    )


def counting_orders(
    orders: Mapping[ClientOrderId, Order], trades: Iterable[Trade], at: datetime
) -> Mapping[ClientOrderId, Order]:
    """Return the orders of an account state without those that no longer count at `at`; the same mapping when all do."""
    until = at - KEEP_CLOSED
    old = [(key, order) for key, order in orders.items() if order.closed_at is not None and order.closed_at <= until]
    standing = tuple(trades) if old else ()
    gone = {key for key, order in old if not counts(order, standing)}
    return {key: order for key, order in orders.items() if key not in gone} if gone else orders


def in_window(account: TradingAccount, order_times: tuple[datetime, ...], at: datetime) -> tuple[datetime, ...]:
    """Return the sends that the throttle of an account still counts at `at`."""
    if not order_times:
        return order_times
    return order_times[bisect_right(order_times, at - timedelta(seconds=account.limits.throttle_window_seconds)) :]


KILL_SWITCH: Final = "kill-switch"  # the strategy of orders that close what belongs to no open trade
EXIT_LEGS: Final = frozenset({Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TIMEOUT, Leg.EXIT, Leg.FLATTEN})


def opening_transfer(account: TradingAccount, at: datetime) -> Transfer:
    """Return the entry that brings an account its capital when it is opened."""
    return Transfer(account=account.account, key="opening", at=at, amount=account.capital)


def opened(account: TradingAccount, at: datetime) -> AccountState:
    """Return the state of an account that was just opened: its capital and nothing else."""
    return AccountState(account, record(Books(account.account), opening_transfer(account, at)).books)
