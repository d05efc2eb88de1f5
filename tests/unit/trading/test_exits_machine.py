"""The pure steps under any order of answers: a state machine that plays venue, market and person, on paper and live."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from signalbox.market.candles import ONE_MINUTE, Candle
from signalbox.orders.events import (
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderRejected,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction
from signalbox.orders.terms import OrderType, Side
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Entry
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts, operator_orders, venue_reports
from signalbox.trading.account import TradingAccount
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.draft import AccountDraft
from signalbox.trading.entries import enter
from signalbox.trading.open_quantity import held_by
from signalbox.trading.state import AccountState, opening_transfer
from tests.examples import examples
from tests.unit.trading.market import BTC, START, bar, history, paper, signal, state_at
from tests.unit.trading.test_exits import MT5, theirs
from tests.unit.trading.test_live import LIVE, accepted, compared, fill

PRICES = st.sampled_from(("60000", "60300", "59500", "58000", "55000", "62500"))
PARTS = st.sampled_from((Decimal(1), Decimal("0.5"), Decimal("0.3")))


class Leaving(RuleBasedStateMachine):
    """One account from its entry on. Live, every request waits in `asked` until a rule answers it."""

    account: TradingAccount

    @initialize(direction=st.sampled_from(("BUY", "SELL")), part=PARTS, is_late=st.sampled_from((False, False, False, True)))
    def enter(self, direction: str, part: Decimal, is_late: bool) -> None:
        direction = "BUY" if self.account is LIVE else direction
        self.at = START
        self.asked: dict[str, ExecutionRequested] = {}
        self.ids: set[str] = set()
        self.resting: dict[str, Decimal] = {}  # what may still fill at the venue, by order
        self.position = Decimal(0)
        self.turned = False
        self.trades = 0
        self.price = Decimal(60_000)
        self.people = 0
        self.flattened = False
        self.entries: list[Entry] = [opening_transfer(self.account, START - timedelta(hours=1))]
        self.state: AccountState = state_at(self.account)
        self.is_live = self.account.mode.value == "live"
        if self.is_live:
            self.state = compared(self.state)
        self.closed = False
        self.take(enter(self.state, signal(direction=direction), history(), START))
        if self.asked and not is_late:
            self.answer(self.asked.popitem()[1], "take", part)

    def take(self, step: tuple[AccountState, ChangeSet]) -> None:
        self.state, changes = step
        self.entries += changes.entries
        for event in changes.events:
            if isinstance(event, ExecutionRequested):
                assert event.event_id not in self.ids, "asked twice under one name"
                self.ids.add(event.event_id)
                self.asked[event.event_id] = event

    def deliver(self, key: str, *events: OrderEvent) -> None:
        output = ExecutionReported(account=self.account.account, client_order_id=key, reported_at=self.at, events=events)
        self.take(venue_reports.report(self.state, output))
        assert venue_reports.report(self.state, output) == (self.state, NO_CHANGES), "a second delivery changes nothing"

    def filled(self, key: str, side: Side, quantity: Decimal, reduce_only: bool) -> OrderEvent | None:
        left = min(quantity, self.resting[key])
        if reduce_only:
            left = min(left, max(-self.position * side.sign, Decimal(0)))
        if self.account is LIVE and side is Side.SELL:  # nobody can be short of coins
            left = min(left, max(self.position, Decimal(0)))
        if not left:
            return None
        before, self.position = self.position, self.position + side.sign * left
        self.turned |= reduce_only and (before * self.position < 0 or abs(self.position) > abs(before))
        self.resting[key] -= left
        self.trades += 1
        event = fill(key, self.at, left, str(self.price), f"x{self.trades:05}")
        return event.model_copy(update={"account": self.account.account})

    # Time and market

    @rule(price=PRICES, minutes=st.integers(1, 3))
    def time_passes(self, price: str, minutes: int) -> None:
        bars: list[Candle] = []
        for _ in range(minutes):
            open_time = (self.at + ONE_MINUTE).replace(second=0, microsecond=0) - ONE_MINUTE
            bars.append(bar(BTC, open_time, self.price, close=price))
            self.price, self.at = Decimal(price), open_time + ONE_MINUTE
        self.take(apply_bars(self.state, {BTC: bars}, self.at))

    @rule(seconds=st.integers(1, 45))
    def seconds_pass(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)
        self.take(apply_bars(self.state, {}, self.at))

    # The venue

    @precondition(lambda self: self.is_live and self.asked)
    @rule(data=st.data(), how=st.sampled_from(("take", "refuse", "lose")), part=PARTS)
    def venue_answers(self, data: st.DataObject, how: str, part: Decimal) -> None:
        newest_first = list(reversed(self.asked))
        request = self.asked.pop(data.draw(st.sampled_from(newest_first), "request"))
        how = "refuse" if self.closed else how
        order = self.state.orders.get(ClientOrderId(request.client_order_id))
        if order is None or order.state.is_closed:
            return
        self.answer(request, how, part)

    @precondition(lambda self: self.is_live and self.asked)
    @rule(count=st.integers(1, 6), part=PARTS)
    def venue_answers_what_was_asked_last(self, count: int, part: Decimal) -> None:
        for _ in range(count):
            if self.asked:
                _, request = self.asked.popitem()
                order = self.state.orders.get(ClientOrderId(request.client_order_id))
                if order is not None and not order.state.is_closed:
                    self.answer(request, "refuse" if self.closed else "take", part)

    @precondition(lambda self: self.is_live)
    @rule()
    def venue_closes_or_opens(self) -> None:
        self.closed = not self.closed

    def answer(self, request: ExecutionRequested, how: str, part: Decimal) -> None:
        key, terms = request.client_order_id, request.terms
        if request.instruction is OrderInstruction.SUBMIT:
            if how == "refuse":
                self.deliver(key, OrderRejected(client_order_id=key, at=self.at, reason="MARKET_CLOSED"))
            elif how == "lose":
                self.deliver(key, OrderExpired(client_order_id=key, at=self.at, reason="SEND_TOO_LATE"))
            else:
                self.resting[key] = terms.quantity
                events: list[OrderEvent] = list(accepted(key, self.at))
                if terms.type is OrderType.MARKET:
                    events += self.traded(key, terms.side, terms.quantity * part, reduce_only=terms.reduce_only)
                    if self.resting[key]:
                        self.resting[key] = Decimal(0)
                        events.append(OrderCanceled(client_order_id=key, at=self.at, reason="IOC"))
                self.deliver(key, *events)
        elif request.instruction is OrderInstruction.CANCEL:
            if how == "take" and key in self.resting:
                self.resting[key] = Decimal(0)
                self.deliver(key, OrderCanceled(client_order_id=key, at=self.at, reason="CANCELED"))
            else:
                asked = request.request_id or ""
                self.deliver(key, OrderCancelRejected(client_order_id=key, at=self.at, request_id=asked, reason="BUSY"))
        else:
            asked, wanted = request.request_id or "", request.quantity or terms.quantity
            done = self.state.orders[ClientOrderId(key)].filled
            if how == "take" and wanted > done:
                self.resting[key] = wanted - done
                self.deliver(key, OrderUpdated(client_order_id=key, at=self.at, request_id=asked))
            else:
                self.deliver(key, OrderUpdateRejected(client_order_id=key, at=self.at, request_id=asked, reason="NO"))

    def traded(self, key: str, side: Side, quantity: Decimal, *, reduce_only: bool) -> list[OrderEvent]:
        event = self.filled(key, side, quantity.quantize(Decimal("0.0001")) or self.resting[key], reduce_only)
        return [] if event is None else [event]

    @precondition(lambda self: self.is_live and any(self.resting.values()))
    @rule(data=st.data(), part=PARTS)
    def resting_order_trades(self, data: st.DataObject, part: Decimal) -> None:
        key = data.draw(st.sampled_from(sorted(k for k, left in self.resting.items() if left)), "order")
        order = next((o for o in self.state.orders.values() if o.client_order_id == key), None)
        if order is None or order.terms.type is OrderType.MARKET:
            return
        for event in self.traded(key, order.terms.side, self.resting[key] * part, reduce_only=order.terms.reduce_only):
            self.deliver(key, event)

    @precondition(lambda self: self.is_live and any(self.resting.values()))
    @rule(data=st.data())
    def venue_ends_an_order(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(k for k, left in self.resting.items() if left)), "order")
        self.resting[key] = Decimal(0)
        self.deliver(key, OrderCanceled(client_order_id=key, at=self.at, reason="SELF"))

    # People

    @precondition(lambda self: self.people < 4)
    @rule(reduce_only=st.booleans())
    def person_rests_an_order_on_the_closing_side(self, reduce_only: bool) -> None:
        quantity = self.state.books.position(BTC).quantity
        if not quantity:
            return
        self.people += 1
        side = Side.SELL if quantity > 0 else Side.BUY
        wanted = theirs(self.account, side, "0.05", reduce_only=reduce_only, at=self.at)
        self.take(operator_orders.submit(self.state, wanted.model_copy(update={"strategy": f"manual-{self.people}"}), self.at))

    @precondition(lambda self: not self.flattened and self.state.books.position(BTC).quantity)
    @rule()
    def flatten(self) -> None:
        self.flattened = True
        self.take(halts.halt(self.state, HaltLevel.FLATTEN, "ann", "enough", self.at))

    # What holds

    @invariant()
    def never_turned(self) -> None:
        assert not getattr(self, "turned", False)

    @invariant()
    def protected_or_pursued(self) -> None:
        if not getattr(self, "is_live", False):
            return
        for trade in self.state.trades.values():
            if not held_by(AccountDraft(self.state, self.at), trade):
                continue
            orders = self.state.orders.values()
            own = [o for o in orders if trade.owns(o) and o.terms.reduce_only and not o.state.is_closed]
            in_the_way = [o for o in orders if not o.state.is_closed and o.terms.side is trade.side.opposite and o.cancels]
            assert own or in_the_way or trade.progress.retry_at is not None

    @invariant()
    def books_are_what_the_facts_make_of_them(self) -> None:
        if getattr(self, "entries", None):
            assert book(self.account.account, self.entries).books == self.state.books

    @override
    def teardown(self) -> None:
        """Everything is answered from here on, and the kill switch is set: it ends flat."""
        if not hasattr(self, "state"):
            return
        self.take(halts.halt(self.state, HaltLevel.FLATTEN, "ann", "the end", self.at))
        for _ in range(40):
            while self.asked:
                _, request = self.asked.popitem()
                order = self.state.orders.get(ClientOrderId(request.client_order_id))
                if order is not None and not order.state.is_closed:
                    self.answer(request, "take", Decimal(1))
            open_time = (self.at + ONE_MINUTE).replace(second=0, microsecond=0) - ONE_MINUTE
            self.at = open_time + ONE_MINUTE
            self.take(apply_bars(self.state, {BTC: [bar(BTC, open_time, self.price)]}, self.at))
        assert self.state.is_idle, [f"{o.terms.leg} {o.state}" for o in self.state.orders.values() if not o.state.is_closed]
        assert not self.state.closings
        assert self.position == 0 or not self.is_live


class OnSpot(Leaving):
    account = LIVE


class OnMetaTrader(Leaving):
    account = MT5


class OnPaper(Leaving):
    account = paper()


TestOnSpot = OnSpot.TestCase
TestOnMetaTrader = OnMetaTrader.TestCase
TestOnPaper = OnPaper.TestCase
for _machine in (TestOnSpot, TestOnMetaTrader, TestOnPaper):
    _machine.settings = settings(max_examples=examples(40), stateful_step_count=30, deadline=None)
del _machine
