"""One schedule: an account with an entry on its way, a venue that misbehaves, people in between, and then the quiet.

Everything between the two is the real thing: `TradingRoom` with its steps on the ledger's side, `execute` and `look` on the
edge's. Messages take time, may come twice, and overtake each other. After the storm everything is harmless; the kill switch
is set if it was not, and the account has to be flat within a minute of that.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np

from local.simulation.choices import Choices
from local.simulation.ledger import SimulatedLedger
from local.simulation.send_log import MemorySendLog
from local.simulation.venue import RULES, SimulatedVenue
from signalbox.events import BusEvent, SignalGenerated
from signalbox.exact import ZERO
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol, to_ms
from signalbox.orders.execution import execute, look
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    VenueViewReported,
    VenueViewRequested,
    ViewedInstrument,
)
from signalbox.orders.terms import Leg, OrderType, Side
from signalbox.orders.venue_port import ExecutionError, VenueBusyError
from signalbox.portfolio.account import book
from signalbox.trading import steps
from signalbox.trading.account import DIR60_STANDARD, TradingAccount, TradingMode, account_named
from signalbox.trading.commands import CancelOrder, HaltTrading, SubmitOrder
from signalbox.trading.errors import CommandError
from signalbox.trading.events import REVIEW_DELAY, AccountReviewDue
from signalbox.trading.exits import held_by
from signalbox.trading.room import TradingRoom
from signalbox.trading.sheet import Sheet
from signalbox.trading.state import Desk, Trade, opened, opening_transfer

START: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
BTC: Final = Symbol("BTC-USD")
BASE: Final = Decimal(60_000)
ACCOUNT: Final = "sim-1"
STORMS: Final = (40, 80, 180)  # seconds of it
FLAT_WITHIN: Final = 60  # seconds after the venue is harmless again
FLAT_ON_PAPER: Final = 125  # the bar that is open, and the one whose open the exit fills at
QUIET: Final = 100  # seconds after the storm until books are compared
LATENCY: Final = (0.3, 1.0, 4.0, 15.0)  # seconds of a message; harmless first
PRICES: Final = tuple(Decimal(p) for p in (60_000, 60_200, 59_800, 59_200, 58_000, 55_000, 61_000, 60_000))
SPOT, TIED, PAPER = "spot", "tied", "paper"
KINDS: Final = (SPOT, TIED, PAPER)


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    invariant: str
    at: float  # seconds since the schedule began
    detail: str


@dataclass
class Run:
    """What a schedule came to."""

    violation: Violation | None
    choices: list[int]
    steps: int
    story: list[str] = field(default_factory=list)


def run_schedule(seed: int | None = None, recorded: Sequence[int] = (), *, story: bool = False) -> Run:
    """Run one schedule: of a seed, or of recorded choices."""
    world = _World(Choices(seed, recorded), tells=story)
    violation = world.run()
    return Run(violation, world.choices.taken, world.steps, world.story)


@lru_cache(maxsize=8)
def _entered(kind: str, direction: str) -> tuple[Desk, tuple[BusEvent, ...]]:
    """Return an account that has just followed a signal, and what it asked of its venue."""
    paper = account_named("paper-100k", market="coinbase", policy=DIR60_STANDARD)
    venue = {SPOT: "coinbase", TIED: "mt5", PAPER: "paper"}[kind]
    mode = TradingMode.PAPER if kind == PAPER else TradingMode.LIVE
    account = TradingAccount.model_validate(paper.model_dump() | {"account": ACCOUNT, "mode": mode, "venue": venue})
    desk = opened(account, START - timedelta(hours=1))
    desk, _ = steps.watch(desk, {BTC: [_bar(START - ONE_MINUTE, BASE, BASE)]}, START)
    if kind != PAPER:
        rules = tuple(ViewedInstrument.of(one) for one in RULES)
        view = VenueViewReported(
            account=ACCOUNT, requested_at=START, asked_at=START, orders=(), trades=(), positions={}, instruments=rules
        )
        desk, _ = steps.compare(desk, view)
    count = steps.ENTRY_BARS + 10
    times = np.array([to_ms(START - ONE_MINUTE * (count - i)) for i in range(count)], dtype=np.int64)
    wave = 60_000.0 * (1 + 0.0004 * np.sin(np.arange(count) * 1.7))
    bars = Bars(BTC, times, wave, wave, wave, wave, np.ones(count))
    signal = SignalGenerated.model_validate(
        {"symbol": BTC, "decided_at": START, "deployment": "m", "stage": "active", "direction": direction, "tier": "HIGH"}
        | {"issued": True, "late": False, "probability_up": 0.6 if direction == "BUY" else 0.4, "confidence": 0.6}
        | {"price": BASE, "horizon_minutes": 2, "schema_name": "s", "schema_hash": "h"}
    )
    desk, changes = steps.enter(desk, signal, bars, START)
    return desk, changes.events


def _bar(open_time: datetime, first: Decimal, last: Decimal) -> Candle:
    return Candle(BTC, open_time, first, max(first, last), min(first, last), last, Decimal(10))


class _World:
    def __init__(self, choices: Choices, *, tells: bool) -> None:
        self.choices = choices
        self.kind = KINDS[choices.pick(len(KINDS))]
        direction = "SELL" if self.kind != SPOT and choices.pick(2) else "BUY"
        desk, events = _entered(self.kind, direction)
        self.ledger = SimulatedLedger(desk, dict(desk.orders))
        self.ledger.facts.append(opening_transfer(desk.account, START - timedelta(hours=1)))
        self.room = TradingRoom(self.ledger, market="coinbase")
        self.is_live = self.kind != PAPER
        self.venue = SimulatedVenue(
            choices,
            START,
            BASE,
            holds_coins=self.kind == SPOT,
            forgets_unfilled=self.kind == SPOT and bool(choices.pick(2)),
            can_replace=not choices.pick(3),
        )
        self.storm = STORMS[choices.pick(len(STORMS))]
        self.flat_within = FLAT_WITHIN if self.kind != PAPER else FLAT_ON_PAPER
        self.end = self.storm + max(QUIET, self.flat_within)
        self.log = MemorySendLog()
        self.seconds = 0.0
        self.steps = 0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.requests: deque[ExecutionRequested] = deque()
        self.edge_is_busy = False
        self.flattened = False
        self.tells, self.story = tells, list[str]()
        self.opens_at = BASE  # price at the begin of the minute
        self.exposed_since: float | None = None
        self._count = 0
        for event in events:
            self._put(event)

    # Time

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self.queue, (self.seconds + seconds, self._count, what))

    def run(self) -> Violation | None:
        try:
            for minute in range(1, self.end // 60 + 2):
                self.after(60 * minute, self._minute)
            for tick in range(5, self.end, 10):
                self.after(tick, self._tick)
            self.after(self.storm, self._quiet)
            self.after(self.storm + self.flat_within, self._must_be_flat)
            self.after(self.end, self._must_agree)
            while self.queue and self.queue[0][0] <= self.end:
                self.seconds, _, what = heapq.heappop(self.queue)
                self.venue.now = self.now
                what()
        except _Failed as failed:
            return failed.violation
        return None

    def fail(self, invariant: str, detail: str) -> None:
        raise _Failed(Violation(invariant, self.seconds, detail))

    def say(self, text: str) -> None:
        if self.tells:
            self.story.append(f"{self.seconds:7.1f} s  {text}")

    # The ledger

    def step(self, what: Callable[[], object], about: str) -> None:
        self.steps += 1
        try:
            what()
        except CommandError as error:
            self.say(f"{about}: {error}")
            return
        fresh, self.ledger.fresh = self.ledger.fresh, []
        self.say(f"{about}: {', '.join(map(_short, fresh)) or '-'}")
        for event in fresh:
            self._put(event)
        self._must_be_protected()

    def _put(self, event: BusEvent) -> None:
        if isinstance(event, ExecutionRequested):
            self.requests.append(event)
            self.after(self._latency(), self._edge)
        elif isinstance(event, VenueViewRequested):
            wait = 0.0 if event.not_before is None else max((event.not_before - self.now).total_seconds(), 0.0)
            self.after(wait + self._latency(), lambda: self._look(event))
        elif isinstance(event, AccountReviewDue):
            delay = REVIEW_DELAY.total_seconds() + 0.2
            self.after(delay, lambda: self.step(lambda: self.room.on_event(event), "review"))

    def _latency(self) -> float:
        return LATENCY[self.choices.pick(len(LATENCY))] if self.choices.happens(3) else LATENCY[0]

    def _minute(self) -> None:
        close = self.now.replace(second=0, microsecond=0)
        price = self.venue.price
        self.ledger.bars_seen.append(_bar(close - ONE_MINUTE, self.opens_at, price))
        self.opens_at = price
        self.step(lambda: self.room.on_minute(self.now), f"minute at {price}")

    # The edge

    def _edge(self) -> None:
        """Requests of an account are carried out one after the other, in the order they were put."""
        if self.edge_is_busy or not self.requests:
            return
        request = self.requests[0]
        clock = lambda: self.now  # noqa: E731 - the one time there is
        try:
            reported = execute(request, self.venue, self.log, clock, chains=self.log)
        except VenueBusyError as busy:
            self.say(f"edge {_short(request)}: busy for {busy.retry_after} s")
            self.edge_is_busy = True
            self.after(busy.retry_after, self._edge_again)
            return
        self.requests.popleft()
        self.say(f"edge {_short(request)}: {', '.join(e.kind for e in reported.events)}")
        self._violated_at_venue()
        for _ in range(2 if self.choices.happens(15) else 1):
            self.after(self._latency(), lambda: self._report(reported))
        if self.requests:
            self.after(0.1, self._edge)

    def _edge_again(self) -> None:
        self.edge_is_busy = False
        self._edge()

    def _look(self, request: VenueViewRequested) -> None:
        try:
            seen = look(request, self.venue, self.log, chains=self.log)
        except ExecutionError as error:
            self.say(f"view: {error}")
            return  # the next minute asks again
        self.after(self._latency(), lambda: self.step(lambda: self.room.on_event(seen), f"view {_view_text(seen)}"))

    def _report(self, reported: ExecutionReported) -> None:
        self.step(lambda: self.room.on_event(reported), f"report {[e.kind for e in reported.events]}")

    # What happens

    def _tick(self) -> None:
        """Something of the market's or a person's doing, every ten seconds of the storm."""
        what = self.choices.pick(16)
        if what == 0:
            self.venue.move(self.venue.price)  # what is left of a market order goes on filling
        elif what in {1, 2, 3}:
            self.venue.move(PRICES[self.choices.pick(len(PRICES))])
            self.say(f"price {self.venue.price}")
            self._violated_at_venue()
        elif what == 4:
            self.venue.closed_until = self.now + timedelta(seconds=(30, 60, 120)[self.choices.pick(3)])
            self.say(f"closed until {self.venue.closed_until:%H:%M:%S}")
        elif what == 5:
            self.venue.skewed_until = self.now + timedelta(seconds=40)
            self.say("clock off")
        elif what in {6, 7, 8}:
            self._person(what)
        elif what == 9:
            self._flatten()

    def _person(self, what: int) -> None:
        held = self.ledger.desk.books.position(BTC).quantity
        if not held:
            return
        side = Side.SELL if held > 0 else Side.BUY
        if what == 8:
            stops = [o for o in self.ledger.orders.values() if o.terms.leg is Leg.STOP_LOSS and not o.state.is_closed]
            if stops:
                command = CancelOrder(
                    account=ACCOUNT,
                    client_order_id=stops[0].client_order_id,
                    request_id=f"cancel-{len(self.ledger.outbox):06}",
                    requested_at=self.now,
                )
                self.step(lambda: self.room.on_command(command, "ann"), "person cancels the stop")
            return
        resting = bool(self.choices.pick(2))
        submitted = SubmitOrder(
            account=ACCOUNT,
            request_id=f"order-{len(self.ledger.outbox):06}",
            requested_at=self.now,
            symbol=BTC,
            side=side,
            type=OrderType.LIMIT if resting else OrderType.MARKET,
            quantity=(abs(held) / 3).quantize(Decimal("0.0001")),
            limit_price=BASE + side.sign * -2_000 if resting else None,
            reduce_only=what == 6,
        )
        about = f"person {side} {submitted.type} {submitted.quantity} reduce_only={submitted.reduce_only}"
        self.step(lambda: self.room.on_command(submitted, "ann"), about)

    def _flatten(self) -> None:
        if not self.flattened:
            self.flattened = True
            command = HaltTrading(
                account=ACCOUNT, request_id="flatten-1", requested_at=self.now, level="FLATTEN", why="simulated"
            )
            self.step(lambda: self.room.on_command(command, "ann"), "FLATTEN")

    def _quiet(self) -> None:
        """From here on nothing is refused, late or lost; what was late before still comes when it comes."""
        self.say("--- quiet from here on")
        self.choices.is_harmless = True
        self.venue.closed_until = self.venue.skewed_until = None
        self._flatten()

    # What must hold

    def _violated_at_venue(self) -> None:
        if self.venue.violations:
            self.fail("nothing is sent twice, and no order of ours turns a position", self.venue.violations[0])

    def _must_be_protected(self) -> None:
        """A position is never without a resting stop, an exit in flight, or a step that is due."""
        desk = self.ledger.desk
        if not self.is_live:
            return
        for trade in desk.trades.values():
            if not self._is_pursued(desk, trade) and _held(desk, trade):
                self.fail("a position is never without a stop, an exit or a retry", f"{trade.symbol} {trade.progress}")

    def _is_pursued(self, desk: Desk, trade: Trade) -> bool:
        own = [o for o in desk.orders.values() if trade.owns(o) and o.terms.reduce_only and not o.state.is_closed]
        waits = [o for o in desk.orders.values() if not o.state.is_closed and o.terms.side is trade.side.opposite]
        retry = trade.progress.retry_at
        is_due = retry is not None and retry <= self.now + timedelta(seconds=61)
        return bool(own or is_due or any(o.pending_cancel or o.cancels for o in waits))

    def _must_be_flat(self) -> None:
        if self.is_live and self.venue.position:
            self.fail("FLATTEN ends flat within a minute after the venue accepts again", f"{self.venue.position} at the venue")
        if not self.is_live and self.ledger.desk.books.position(BTC).quantity:
            self.fail("FLATTEN ends flat within a minute after the venue accepts again", "on paper")

    def _must_agree(self) -> None:
        desk = self.ledger.desk
        if self.is_live:
            known = {f"{t.trade_id}" for _, t in self.venue.trades}
            booked = {str(getattr(entry, "key", "")) for entry in self.ledger.facts[1:]}
            if known != booked:
                self.fail("books equal the venue's fills when it is quiet", f"venue {sorted(known)}, books {sorted(booked)}")
        if desk.books.position(BTC).quantity or desk.trades or desk.closings:
            self.fail(
                "it ends flat, with nothing left to do", f"{desk.books.position(BTC).quantity} {list(desk.trades.values())}"
            )
        if any(not order.state.is_closed for order in desk.orders.values()):
            left = [f"{o.terms.leg} {o.state}" for o in desk.orders.values() if not o.state.is_closed]
            self.fail("it ends flat, with nothing left to do", f"open orders {left}")
        if book(ACCOUNT, self.ledger.facts, desk.books.standing_orders).books != desk.books:
            self.fail("books are what the facts make of them", "a projection differs")


class _Failed(Exception):  # noqa: N818 - it ends a schedule and is no error
    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.invariant)
        self.violation = violation


def _held(desk: Desk, trade: Trade) -> Decimal:
    if trade.entry not in desk.orders:
        return ZERO
    return held_by(Sheet(desk, desk.at or START), trade)


def _short(event: BusEvent) -> str:
    if isinstance(event, ExecutionRequested):
        terms = event.terms
        amount = event.quantity or terms.quantity
        return f"{event.instruction} {terms.leg}/{terms.attempt} {terms.side} {amount} {event.client_order_id[:4]}"
    return event.type.value


def _view_text(seen: VenueViewReported) -> str:
    orders = [f"{(o.client_order_id or '')[:4]} {o.status} {o.filled}/{o.quantity}" for o in seen.orders]
    return f"{orders} trades {[t.trade_id for t in seen.trades]} {dict(seen.positions)}"


__all__ = ["KINDS", "Run", "Violation", "run_schedule"]
