"""The draft a step works on: an account state taken apart, changed, and put together again with its change set.

A draft lives inside one step. This file has what every step shares: apply and book an event, check and send an order. Cancels
are in order_requests.py, the kill switch is in kill_switch.py, and reports of a venue are in venue_events.py. A draft
publishes and stores nothing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar

from signalbox.events import BusEvent
from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.errors import EventRefusedError, TradeConflictError
from signalbox.orders.events import (
    OrderDenied,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderReleased,
    OrderSubmitted,
)
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.lifecycle import apply, initialise
from signalbox.orders.messages import ExecutionRequested, OrderInstruction
from signalbox.orders.order import Order
from signalbox.orders.terms import OrderTerms
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.account import EquitySnapshot, book, record, snapshot
from signalbox.portfolio.entries import Entry, Fill, booking_order
from signalbox.portfolio.errors import EntryConflictError, OutOfOrderError
from signalbox.portfolio.lots import Disposal
from signalbox.risk.assess import assess
from signalbox.risk.decision import RiskRefused
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor, FtmoRuleState
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.order import ProposedOrder
from signalbox.risk.snapshot import HaltLevel, Lock, Mark, RiskSnapshot
from signalbox.trading.account import TradingMode
from signalbox.trading.at_venue import AtVenue, venue_locks
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.errors import RebookNeededError
from signalbox.trading.events import OrderRefused
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.paper import VENUE
from signalbox.trading.review import with_review
from signalbox.trading.snapshot import compose, equity_at, floors_of, moved, proposed, rule_monitor_of
from signalbox.trading.state import AccountState, Closing, Halt, Trade, counting_orders, in_window
from signalbox.trading.warnings import IssuedWarning, without_depletion

E = TypeVar("E", bound=Entry)
SIGNALBOX: Final = "signalbox"  # as `who` in the compliance record
TIED_TO_POSITION: Final = frozenset({"mt5"})  # here a reducing order needs no free coins and cannot reverse


@dataclass(frozen=True, slots=True)
class _Travels:
    """What an order carries besides its terms, for venues that attach stop loss and take profit to the position."""

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    entry: ClientOrderId | None = None


def _in_booking_order(entries: Sequence[E]) -> Sequence[E]:
    return sorted(entries, key=booking_order) if len(entries) > 1 else entries


class AccountDraft:
    """An account state that a step is changing.

    entries: all of the account's entries, if the step repeats after RebookNeededError.
    """

    # Slots, because a dictionary of so many attributes costs as much as the rest of a draft. What is cached needs `__dict__`.
    __slots__ = (
        "__dict__",
        "_judged",
        "account",
        "at",
        "at_venue",
        "books",
        "closings",
        "compared_at",
        "days",
        "disposals",
        "due",
        "entries",
        "equity_snapshots",
        "events",
        "halt",
        "halts",
        "history",
        "holds_coins",
        "is_live",
        "locks",
        "marks",
        "memory",
        "new_locks",
        "order_events",
        "order_times",
        "orders",
        "rebooked",
        "risk",
        "state",
        "trade_rows",
        "trades",
        "unbooked",
        "warned",
        "watched_until",
    )

    def __init__(self, state: AccountState, at: datetime, entries: Sequence[Entry] = ()) -> None:
        self.state = state
        self.account = state.account
        self.is_live = state.account.mode is TradingMode.LIVE
        self.holds_coins = self.is_live and state.account.venue not in TIED_TO_POSITION
        self.at = at if state.at is None else max(at, state.at)
        self.books = state.books
        self.orders = dict(state.orders)
        self.trades = dict(state.trades)
        self.halt = state.halt
        self.locks = state.locks
        self.marks = dict(state.marks)
        self.watched_until = state.watched_until
        self.order_times = list(state.order_times)
        self.warned = state.warned
        self.memory = state.memory
        self.compared_at = state.compared_at
        self.closings = dict(state.closings)
        self.due: list[datetime] = []  # instants at which the account needs another step
        self.at_venue = state.at_venue
        self.unbooked: list[Fill] = []
        self._judged: ProposedOrder | None = None  # the order that was checked last
        self.history = entries
        self.rebooked = False
        self.order_events: list[OrderEvent] = []
        self.entries: list[Entry] = []
        self.disposals: list[Disposal] = []
        self.trade_rows: dict[ClientOrderId, Trade] = {}  # the newest state of each trade that changed
        self.equity_snapshots: list[EquitySnapshot] = []
        self.days: list[AccountDay] = []
        self.risk: list[RiskEvent] = []
        self.halts: list[Halt] = []
        self.new_locks: list[Lock] = []
        self.events: list[BusEvent] = []

    @cached_property
    def monitor(self) -> FtmoRuleMonitor | None:
        """The monitor of the account's loss rules, built on first use; without it the rule state stays as it was."""
        return rule_monitor_of(self.account, self.state.loss_rules)

    # Current state

    def quantity(self, symbol: str) -> Decimal:
        """Return the signed position of a symbol, including fills that are not booked yet."""
        position = self.books.positions.get(symbol)
        booked = ZERO if position is None else position.quantity
        return booked if not self.unbooked else self._with_unbooked(symbol, booked)

    @exactly
    def _with_unbooked(self, symbol: str, booked: Decimal) -> Decimal:
        return sum((fill.signed_quantity for fill in self.unbooked if fill.symbol == symbol), booked)

    @property
    def held(self) -> Mapping[str, Decimal]:
        """Signed positions that are not flat, by symbol, in order."""
        if not self.unbooked:
            return self.books.held
        symbols = {*self.books.positions, *(fill.symbol for fill in self.unbooked)}
        return {symbol: quantity for symbol in sorted(symbols) if (quantity := self.quantity(symbol))}

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the open orders, sorted by decision time and id."""
        found = [o for o in self.orders.values() if not o.state.is_closed and (symbol is None or o.terms.symbol == symbol)]
        if len(found) > 1:
            found.sort(key=lambda o: (o.terms.decided_at, o.client_order_id))
        return found

    @property
    def prices(self) -> dict[Symbol, Decimal]:
        """The newest price of each symbol."""
        return {symbol: mark.price for symbol, mark in self.marks.items()}

    @property
    def equity(self) -> Decimal:
        """Equity at the marks."""
        return equity_at(self.books, self.prices)

    @property
    def moved(self) -> Decimal:
        """Deposits less withdrawals since the account was opened."""
        return moved(self.account, self.books)

    def halt_level(self, at: datetime) -> HaltLevel:
        """Return the level of the kill switch in force."""
        return HaltLevel.NONE if self.halt is None else self.halt.level_at(at)

    def snapshot(self, at: datetime, *, without: ClientOrderId | None = None, beside: OrderTerms | None = None) -> RiskSnapshot:
        """Return the risk snapshot for a decision at `at`.

        without: the order that the decision will change, which is left out. beside: working orders of these terms' symbol and
        side are left out.
        """
        return compose(
            self.account,
            at=at,
            books=self.books,
            held=self.held,
            orders=[order for key, order in self.orders.items() if key != without],
            trades=self.trades,
            marks=self.marks,
            halt=self.halt_level(at),
            locks=(*self.locks, *venue_locks(self.at_venue.instruments, at)),
            floors=floors_of(self.account, self.books, self.monitor),
            order_times=self.order_times,
            instruments=self.state.instruments,
            beside=beside,
        )

    def stamp(self, at: datetime) -> datetime:
        """Return `at`, or if later the time of the newest applied bar or booked entry, as the instant of a decision."""
        newest = self.books.newest
        instants = [at, self.watched_until or at]
        if newest is not None:
            instants.append(newest.at)
        return max(instants)

    # Orders

    def take(self, event: OrderEvent) -> Order:
        """Apply an event to its order; a fill waits for `book`. Raises EventRefusedError, and then changes nothing."""
        key = ClientOrderId(event.client_order_id)
        order = self.orders[key]
        if isinstance(event, OrderFilled):
            return self._take_fill(order, event)
        after = apply(order, event)
        if after is not order:
            self.orders[key] = after
            self.order_events.append(event)
        return after

    def _take_fill(self, order: Order, event: OrderFilled) -> Order:
        self._check_trade_id(event)
        after = apply(order, event)
        if after is not order:
            self.orders[order.client_order_id] = after
            self.order_events.append(event)
            self._traded[event.event_id] = order.client_order_id
            self.unbooked.append(Fill.of(order.terms, event))
        return after

    def _check_trade_id(self, event: OrderFilled) -> None:
        owner = self._traded.get(event.event_id, event.client_order_id)
        if owner != event.client_order_id:
            raise TradeConflictError(
                event.client_order_id, event.event_id, f"trade {event.trade_id} already belongs to order {owner}"
            )

    @cached_property
    def _traded(self) -> dict[str, str]:
        """The order of each trade of the account, by the trade's event id. Built once per step instead of once per fill."""
        return {trade.event_id: key for key, order in self.orders.items() for trade in order.trades}

    def book(self, *, before: datetime | None = None) -> tuple[Fill, ...]:
        """Book the waiting fills in booking order and return them. before: only fills dated before this instant."""
        if before is None:
            waiting, self.unbooked = self.unbooked, []
        else:
            waiting = [f for f in self.unbooked if f.at < before]
            self.unbooked = [f for f in self.unbooked if f.at >= before]
        ready = _in_booking_order(waiting)
        self.book_entries(ready)
        return tuple(ready)

    def _book_again(self, entries: Sequence[Entry], late: OutOfOrderError) -> None:
        """Rebuild the books from all entries of the account, once for all entries that are still waiting."""
        if not self.history:
            raise RebookNeededError(str(late)) from late
        self.entries += entries
        booked = book(self.account.account, (*self.history, *self.entries), self.books.standing_orders)
        self.books, self.disposals, self.rebooked = booked.books, list(booked.disposals), True

    def book_entries(self, entries: Sequence[Entry]) -> None:
        """Book entries that belong to no order, such as transfers and adopted positions. Raises RebookNeededError."""
        ready = _in_booking_order(entries)
        for place, entry in enumerate(ready):
            try:
                booked = record(self.books, entry)
            except OutOfOrderError as late:
                self._book_again(ready[place:], late)
                break
            self.books = booked.books
            self.entries.append(entry)
            self.disposals += booked.disposals

    def take_reported(self, event: OrderEvent) -> Order:
        """Apply an event that a venue reports, and check the entry that its fill will be booked as.

        Raises EventRefusedError, EntryConflictError and then changes nothing.
        """
        order = self.orders[ClientOrderId(event.client_order_id)]
        count, waiting = len(self.order_events), len(self.unbooked)
        try:
            after = self.take(event)
            if len(self.unbooked) > waiting:
                self._check_entry(self.unbooked[-1])
        except (EventRefusedError, EntryConflictError):
            self.orders[order.client_order_id] = order
            del self.order_events[count:], self.unbooked[waiting:]
            self.__dict__.pop("_traded", None)  # rebuilt without the refused event
            raise
        return after

    def _check_entry(self, fill: Fill) -> None:
        newest = self.books.newest
        for known in (newest, self._known.get(fill.entry_id) if self.history else None):
            if known is not None and known.entry_id == fill.entry_id and known != fill:
                raise EntryConflictError(f"{self.account.account}: conflicting duplicate of {fill.entry_id}")

    @cached_property
    def _known(self) -> dict[str, Entry]:
        return {entry.entry_id: entry for entry in self.history}

    def send(
        self,
        terms: OrderTerms,
        at: datetime,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        entry: ClientOrderId | None = None,
        is_exit: bool = False,
    ) -> Order:
        """Create an order, check it at `at`, and release or refuse it. The paper venue answers at once.

        An order that exists is returned unchanged. stop_loss, take_profit: of the position that the order opens. entry: the entry
        order of the trade that this order closes. is_exit: the order closes everything that is left of its position.
        """
        key = terms.client_order_id
        if key in self.orders:
            return self.orders[key]
        # where the venue enforces reduce-only, other orders that close this position take no quantity away from its exit
        facts = self.snapshot(at, beside=terms if is_exit and not self.holds_coins else None)
        return self._send(terms, facts, _Travels(stop_loss, take_profit, entry), is_exit=is_exit)

    def send_in_turn(self, wanted: Iterable[OrderTerms], at: datetime) -> None:
        """Send orders as `send` does. The check of each one counts the orders before it as working.

        The snapshot is composed once. A released order is added to it; a denied order leaves it unchanged. After anything else,
        such as a paper fill, it is composed again.
        """
        facts: RiskSnapshot | None = None
        for terms in wanted:
            if terms.client_order_id in self.orders:
                continue
            facts = facts or self.snapshot(at)
            order = self._send(terms, facts)
            if order.state in {OrderState.RELEASED, OrderState.ACCEPTED} and not order.filled:
                facts = facts.with_sent(self._judged or proposed(order))
            elif order.state is not OrderState.DENIED:
                facts = None

    def _send(self, terms: OrderTerms, facts: RiskSnapshot, travels: _Travels | None = None, *, is_exit: bool = False) -> Order:
        key, at = terms.client_order_id, facts.at
        begun = OrderInitialized.trusted(client_order_id=key, at=at, terms=terms)
        order = self.orders[key] = initialise(begun)
        self.order_events.append(begun)
        if self.account.mode is TradingMode.DRY_RUN:
            return self.take(OrderDenied(client_order_id=key, at=at, reason=TradingMode.DRY_RUN.name))
        self._judged = proposed(order, None if travels is None else travels.stop_loss, is_exit=is_exit)
        decision = assess(self._judged, facts, self.account.limits)
        if isinstance(decision, RiskRefused):
            self._deny(order, decision, at)
            return self.orders[key]
        released = self.take(OrderReleased.trusted(client_order_id=key, at=at))
        insort(self.order_times, at)
        if self.is_live:
            self.events.append(self._request(terms, facts, travels))
            return released
        submitted = self.take(OrderSubmitted.trusted(client_order_id=key, at=at))
        return self.take(VENUE.answer(submitted, self.quantity(terms.symbol)))

    def _request(self, terms: OrderTerms, facts: RiskSnapshot, travels: _Travels | None) -> ExecutionRequested:
        request = ExecutionRequested.trusted if travels is None or travels == _Travels() else ExecutionRequested
        return request(
            account=self.account.account,
            venue=self.account.venue,
            instruction=OrderInstruction.SUBMIT,
            client_order_id=terms.client_order_id,
            terms=terms,
            at=facts.at,
            snapshot_id=facts.snapshot_id,
            entry=None if travels is None else travels.entry,
            stop_loss=None if travels is None else travels.stop_loss,
            take_profit=None if travels is None else travels.take_profit,
        )

    def _deny(self, order: Order, decision: RiskRefused, at: datetime) -> None:
        key, terms = order.client_order_id, order.terms
        self.take(OrderDenied.trusted(client_order_id=key, at=at, reason=decision.code.value))
        self.refused(key, order, decision, at)
        if terms.attempt:
            return  # the first refusal was announced; failing later attempts are announced as ExitFailed, at growing intervals
        self.events.append(
            OrderRefused(
                account=self.account.account,
                client_order_id=key,
                symbol=terms.symbol,
                side=terms.side,
                at=at,
                code=decision.code,
                message=decision.message,
                decided_at=terms.decided_at,
            )
        )

    def refused(self, key: str, order: Order, decision: RiskRefused, at: datetime) -> None:
        """Record that the pre-trade checks refused an order."""
        self.risk.append(
            RiskEvent(
                RiskEventKind.ORDER_REFUSED,
                key,
                at,
                decision.code,
                symbol=Symbol(order.terms.symbol),
                limit=decision.limit,
                value=decision.value,
                detail=decision.message,
                snapshot_id=decision.snapshot.snapshot_id,
            )
        )

    # Compliance record, events and what the account remembers

    def record(self, line: RiskEvent) -> None:
        """Add a line to the compliance record."""
        self.risk.append(line)

    def announce(self, event: BusEvent) -> None:
        """Publish an event once the step is committed."""
        self.events.append(event)

    def warn(self, warning: IssuedWarning) -> bool:
        """Add an issued warning. Return False if it is already in force and must not be repeated."""
        if warning in self.warned:
            return False
        self.warned |= {warning}
        return True

    def lift_depletion_warnings(self) -> None:
        """Remove the warnings about depleted headroom, so that the next one is reported."""
        self.warned = without_depletion(self.warned)

    def begin_day(self, day: date, ended: Sequence[AccountDay]) -> None:
        """Keep the days that ended, and remove warnings that do not last into the new day (in the loss rules' time zone)."""
        self.days += ended
        self.warned = frozenset(warning for warning in self.warned if warning.stands_on(day))

    def lock(self, lock: Lock) -> None:
        """Add a lock in place of an older one with the same reason and symbol. An extended lock is recorded once."""
        same = [k for k in self.locks if (k.reason, k.symbol) == (lock.reason, lock.symbol)]
        if any(k.until >= lock.until for k in same):
            return
        self.locks = tuple(
            sorted((*(k for k in self.locks if k not in same), lock), key=lambda k: (k.reason, k.symbol or "", k.until))
        )
        self.new_locks.append(lock)
        if any(k.until >= lock.since for k in same):
            return
        self.record(
            RiskEvent(
                RiskEventKind.LOCKED,
                f"{lock.reason}:{lock.symbol or ''}:{lock.since.isoformat()}",
                lock.since,
                lock.reason,
                symbol=lock.symbol,
                limit=lock.limit,
                value=lock.value,
                detail=f"until {lock.until.isoformat()}",
            )
        )

    def remember(self, memory: ProtectionMemory) -> None:
        """Keep the memory of the protections for the next step."""
        self.memory = memory

    def wait_until(self, instant: datetime) -> None:
        """Ask for another step of the account at an instant."""
        self.due.append(instant)

    def keep_closing(self, closing: Closing) -> None:
        """Keep the progress of closing a position without a trade."""
        self.closings[closing.symbol] = closing

    def end_closing(self, symbol: Symbol) -> None:
        """Forget a position without a trade, because it is closed."""
        self.closings.pop(symbol, None)

    def pass_bars(self, until: datetime) -> None:
        """Record that all bars up to an instant were applied."""
        self.watched_until = until

    def value(self, at: datetime) -> None:
        """Add an equity snapshot at the marks, unless a held symbol has no price."""
        marks = self.marks
        if all(symbol in marks for symbol in self.held):
            self.equity_snapshots.append(snapshot(self.books, {symbol: mark.price for symbol, mark in marks.items()}, at))

    def keep_halt(self, halt: Halt | None) -> None:
        """Put a halt in force; None ends the halt in force."""
        self.halt = halt
        if halt is not None:
            self.halts.append(halt)

    def keep_at_venue(self, at_venue: AtVenue) -> None:
        """Replace the account's state at its venue."""
        self.at_venue = at_venue

    def keep_compared(self, at: datetime) -> None:
        """Record that the ledger was reconciled with the venue's view of an instant."""
        self.compared_at = at

    def set_trade(self, trade: Trade, *, is_over: bool = False) -> None:
        """Keep the current state of a trade; is_over: remove it from the open trades."""
        self.trade_rows[trade.entry] = trade
        if is_over:
            self.trades.pop(trade.symbol, None)
        else:
            self.trades[trade.symbol] = trade

    def set_mark(self, symbol: Symbol, price: Decimal, at: datetime) -> None:
        """Keep the price of a symbol if it is newer than the known one."""
        known = self.marks.get(symbol)
        if known is None or known.at < at:
            self.marks[symbol] = Mark(price, at)

    def _loss_rules(self) -> FtmoRuleState | None:
        if "monitor" not in self.__dict__:
            return self.state.loss_rules
        return None if self.monitor is None or self.monitor.day is None else self.monitor.state()

    def done(self) -> tuple[AccountState, ChangeSet]:
        """Return the account state after the step, and the change set to commit."""
        at = self.at
        state = self.state.after(
            books=self.books,
            at=at,
            orders=MappingProxyType(counting_orders(self.orders, self.trades.values(), at)),
            trades=MappingProxyType(self.trades),
            halt=self.halt,
            locks=tuple([lock for lock in self.locks if at < lock.until]) if self.locks else (),
            marks=MappingProxyType(self.marks),
            watched_until=self.watched_until,
            loss_rules=self._loss_rules(),
            order_times=in_window(self.account, tuple(self.order_times), at) if self.order_times else (),
            warned=self.warned,
            memory=self.memory,
            compared_at=self.compared_at,
            closings=MappingProxyType(self.closings),
            at_venue=self.at_venue,
        )
        events = self.events
        if self.due:
            state, reviews = with_review(state, at, min(self.due))
            events = [*events, *reviews]
        lists = (
            ("order_events", self.order_events),
            ("entries", self.entries),
            ("disposals", self.disposals),
            ("trades", self.trade_rows.values()),
            ("equity", self.equity_snapshots),
            ("days", self.days),
            ("risk", self.risk),
            ("halts", self.halts),
            ("locks", self.new_locks),
            ("events", events),
        )
        changes: dict[str, Any] = {name: tuple(found) for name, found in lists if found}  # most steps change few of them
        if self.rebooked:
            changes["rebooked"] = True
        return state, ChangeSet.of(**changes)
