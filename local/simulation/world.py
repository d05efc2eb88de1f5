"""Runs one schedule: an account with a sent entry, a misbehaving venue, people who interfere, and then a quiet phase.

Everything between the people and the venue is real: `TradingService` with its steps on the ledger's side, `execute` and `query`
on the edge's. Messages take time, may arrive twice, and may overtake each other; the edge may stop for a while. People buy and
sell beside the trade, cancel its stop, halt and resume; someone may use the venue's own app. After this storm everything is
harmless. In some schedules nothing is halted at first: within CALM seconds the trade must be protected or over, by the true state
of the venue. Then the kill switch is set, if it was not, and the account must be flat within a minute.
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
from local.simulation.wire import carried, carried_command
from signalbox.events import BusEvent, SignalGenerated
from signalbox.exact import ZERO
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol, to_ms
from signalbox.orders.execution import execute, query
from signalbox.orders.messages import (
    ExecutionRequested,
    VenueViewReported,
    VenueViewRequested,
    ViewedInstrument,
)
from signalbox.orders.terms import Leg, OrderType, Side
from signalbox.orders.venue_port import ExecutionError, VenueBusyError
from signalbox.portfolio.account import book
from signalbox.trading import venue_reports
from signalbox.trading.account import DIR60_STANDARD, TradingAccount, TradingMode, account_named
from signalbox.trading.bars import apply_bars
from signalbox.trading.commands import AdoptPosition, AnyCommand, CancelOrder, HaltTrading, ResumeTrading, SubmitOrder
from signalbox.trading.draft import AccountDraft
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import ENTRY_BARS
from signalbox.trading.errors import CommandError
from signalbox.trading.events import REVIEW_DELAY, AccountReviewDue
from signalbox.trading.open_quantity import held_by
from signalbox.trading.service import TradingService
from signalbox.trading.state import AccountState, ExitProgress, opened, opening_transfer
from signalbox.trading.venue_comparison import needs_comparison

START: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
BTC: Final = Symbol("BTC-USD")
BASE: Final = Decimal(60_000)
ACCOUNT: Final = "sim-1"
STORMS: Final = (40, 80, 180)  # seconds that the storm lasts
HORIZONS: Final = (2, 30)  # minutes until the trade's deadline
CALM: Final = 160  # seconds after the storm until a trade must be protected or over
FLAT_WITHIN: Final = 60  # seconds after the venue is harmless again
SEEN_TWICE: Final = 60  # more seconds if someone traded in the venue's app, because two views must show that
FLAT_ON_PAPER: Final = 125  # seconds: the open bar, and the bar at whose open the exit fills
BOOKED: Final = 100  # seconds from then until the books are compared
NEXT_CHECK: Final = timedelta(seconds=61)  # the next minute always comes
LATENCY: Final = (0.3, 1.0, 4.0, 15.0)  # seconds that a message takes; the first is harmless
PRICES: Final = tuple(Decimal(p) for p in (60_000, 60_200, 59_800, 59_200, 58_000, 55_000, 61_000, 60_000))
STEP: Final = Decimal("0.0001")
SPOT, TIED, PAPER = "spot", "tied", "paper"
KINDS: Final = (SPOT, TIED, PAPER)

NEVER_ALONE: Final = "a position is never without a stop, an exit or a retry"
PROTECTED: Final = "once the venue is calm, a position is protected or closed"
FLAT: Final = "after FLATTEN the account is flat within a minute of the venue accepting orders again"
ONCE: Final = "no order is sent twice, and none of our orders reverses a position"
BOOKS: Final = "in the quiet phase the books equal the venue's fills"
ENDED: Final = "the schedule ends flat, with nothing left to do"
NO_ERROR: Final = "no event and no command makes a step fail"
PROJECTED: Final = "the books equal a rebuild from the facts"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that was broken."""

    invariant: str
    at: float  # seconds since the schedule began
    detail: str


@dataclass
class ScheduleRun:
    """The result of a schedule."""

    violation: Violation | None
    choices: list[int]
    steps: int
    story: list[str] = field(default_factory=list)
    by_wire: bool = False


def run_schedule(seed: int | None = None, recorded: Sequence[int] = (), *, story: bool = False) -> ScheduleRun:
    """Run one schedule, from a seed or from recorded choices."""
    world = _World(Choices(seed, recorded), keeps_story=story)
    violation = world.run()
    return ScheduleRun(violation, world.choices.taken, world.steps, world.story, world.by_wire)


@lru_cache(maxsize=16)
def _entered(kind: str, direction: str, minutes: int) -> tuple[AccountState, tuple[BusEvent, ...]]:
    """Return an account that has just followed a signal, and the events it sent to its venue."""
    paper = account_named("paper-100k", market="coinbase", policy=DIR60_STANDARD)
    venue = {SPOT: "coinbase", TIED: "mt5", PAPER: "paper"}[kind]
    mode = TradingMode.PAPER if kind == PAPER else TradingMode.LIVE
    account = TradingAccount.model_validate(paper.model_dump() | {"account": ACCOUNT, "mode": mode, "venue": venue})
    state = opened(account, START - timedelta(hours=1))
    state, _ = apply_bars(state, {BTC: [_bar(START - ONE_MINUTE, BASE, BASE)]}, START)
    if kind != PAPER:
        rules = tuple(ViewedInstrument.of(one) for one in RULES)
        view = VenueViewReported(
            account=ACCOUNT, requested_at=START, asked_at=START, orders=(), trades=(), positions={}, instruments=rules
        )
        state, _ = venue_reports.compare(state, view)
    count = ENTRY_BARS + 10
    times = np.array([to_ms(START - ONE_MINUTE * (count - i)) for i in range(count)], dtype=np.int64)
    wave = 60_000.0 * (1 + 0.0004 * np.sin(np.arange(count) * 1.7))
    bars = Bars(BTC, times, wave, wave, wave, wave, np.ones(count))
    signal = SignalGenerated.model_validate(
        {"symbol": BTC, "decided_at": START, "deployment": "m", "stage": "active", "direction": direction, "tier": "HIGH"}
        | {"issued": True, "late": False, "probability_up": 0.6 if direction == "BUY" else 0.4, "confidence": 0.6}
        | {"price": BASE, "horizon_minutes": minutes, "schema_name": "s", "schema_hash": "h"}
    )
    state, changes = enter(state, signal, bars, START)
    return state, changes.events


def _bar(open_time: datetime, first: Decimal, last: Decimal) -> Candle:
    return Candle(BTC, open_time, first, max(first, last), min(first, last), last, Decimal(10))


class _World:
    def __init__(self, choices: Choices, *, keeps_story: bool) -> None:
        self.choices = choices
        self.kind = KINDS[choices.pick(len(KINDS))]
        direction = "SELL" if self.kind != SPOT and choices.pick(2) else "BUY"
        state, events = _entered(self.kind, direction, HORIZONS[choices.pick(len(HORIZONS))])
        self.by_wire = choices.happens(16)  # every message travels as the text that a queue holds
        self.is_live = self.kind != PAPER
        self.has_app = self.is_live and choices.happens(3)
        self.app_stays = self.has_app and choices.happens(2)  # orders left in the app stay there until the end
        self.is_calm = self.is_live and choices.happens(3)
        self.ledger = SimulatedLedger(state, dict(state.orders))
        self.ledger.facts.append(opening_transfer(state.account, START - timedelta(hours=1)))
        self.service = TradingService(self.ledger, market="coinbase")
        self.venue = SimulatedVenue(
            choices,
            START,
            BASE,
            holds_coins=self.kind == SPOT,
            forgets_unfilled=self.kind == SPOT and bool(choices.pick(2)),
            can_replace=not choices.pick(3),
        )
        self.storm = STORMS[choices.pick(len(STORMS))]
        self.log = MemorySendLog()
        self.now = START
        self.seconds = 0.0
        self.steps = 0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.requests: deque[ExecutionRequested] = deque()
        self.coming = 0  # number of reports, views and reviews on their way to the ledger
        self.edge_is_busy = False
        self.stands_until = 0.0  # the edge does nothing before this second
        self.is_flattened = False
        self.is_quiet = False
        self.commands = 0
        self.keeps_story, self.story = keeps_story, list[str]()
        self.opens_at = BASE  # price at the start of the minute
        self._count = 0
        for event in events:
            self._put(event)

    # Time

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self.queue, (self.seconds + seconds, self._count, what))

    def run(self) -> Violation | None:
        flat_at = self.storm + (CALM if self.is_calm else 0)
        checked_at = flat_at + (FLAT_WITHIN if self.is_live else FLAT_ON_PAPER) + (SEEN_TWICE if self.has_app else 0)
        end = checked_at + (0 if not self.is_live else 2 * BOOKED if self.has_app else BOOKED)
        try:
            for minute in range(1, end // 60 + 2):
                self.after(60 * minute, self._minute)
            for tick in range(5, self.storm, 10):
                self.after(tick, self._tick)
            self.after(self.storm, self._quiet)
            if self.is_calm:
                self.after(flat_at, self._must_be_protected)
            self.after(flat_at, self._flatten)
            self.after(checked_at, self._must_be_flat)
            if self.has_app:
                self.after(checked_at, self._adopt)
            queue = self.queue
            while queue and queue[0][0] <= end:
                self.seconds, _, what = heapq.heappop(queue)
                self.now = self.venue.now = START + timedelta(seconds=self.seconds)
                what()
                if self.is_quiet and self._is_settled():
                    break  # nothing can happen any more
            self._must_agree()
        except _Failed as failed:
            return failed.violation
        return None

    def fail(self, invariant: str, detail: str) -> None:
        raise _Failed(Violation(invariant, self.seconds, detail))

    def say(self, text: str) -> None:
        self.story.append(f"{self.seconds:7.1f} s  {text}")

    # The ledger

    def step(self, what: Callable[[], object], about: str) -> None:
        self.steps += 1
        try:
            what()
        except CommandError as error:
            if self.keeps_story:
                self.say(f"{about}: {error}")
            return
        except Exception as error:  # noqa: BLE001 - any error: the event would be delivered again and fail again
            self.fail(NO_ERROR, f"{about}: {type(error).__name__}: {error}")
        fresh, self.ledger.fresh = self.ledger.fresh, []
        if self.keeps_story:
            self.say(f"{about}: {', '.join(map(_short, fresh)) or '-'}")
        for event in fresh:
            self._put(event)
        if self.is_live:
            self._must_be_pursued()

    def command(self, command: AnyCommand, about: str) -> None:
        if self.by_wire:
            command = carried_command(command)
        self.step(lambda: self.service.on_command(command, "ann"), about)

    def request_id(self, what: str) -> str:
        self.commands += 1
        return f"{what}-{self.commands:04}"

    def _put(self, event: BusEvent) -> None:
        if not isinstance(event, (ExecutionRequested, VenueViewRequested, AccountReviewDue)):
            return
        if self.by_wire:
            event = carried(event)
        if isinstance(event, ExecutionRequested):
            self.requests.append(event)
            self.after(self._latency(), self._edge)
        elif isinstance(event, VenueViewRequested):
            view = event
            wait = 0.0 if event.not_before is None else max((event.not_before - self.now).total_seconds(), 0.0)
            self.coming += 1
            self.after(wait + self._latency(), lambda: self._query(view))
        else:
            self._comes(REVIEW_DELAY.total_seconds() + 0.2, event, "review")

    def _comes(self, seconds: float, event: BusEvent, about: str) -> None:
        """Deliver an event to the ledger after this many seconds."""
        self.coming += 1

        def come() -> None:
            self.coming -= 1
            self.step(lambda: self.service.on_event(event), about)

        self.after(seconds, come)

    def _latency(self) -> float:
        return LATENCY[self.choices.pick(len(LATENCY))] if self.choices.happens(3) else LATENCY[0]

    def _minute(self) -> None:
        close = self.now.replace(second=0, microsecond=0)
        price = self.venue.price
        self.ledger.bars_seen.append(_bar(close - ONE_MINUTE, self.opens_at, price))
        self.opens_at = price
        self.step(lambda: self.service.on_minute(self.now), f"minute at {price}")

    # The edge

    def _edge(self) -> None:
        """Execute the oldest request; the requests of an account are executed in the order in which they were sent."""
        if self.edge_is_busy or not self.requests:
            return
        if self.seconds < self.stands_until:
            self.edge_is_busy = True
            self.after(self.stands_until - self.seconds, self._edge_again)
            return
        request = self.requests[0]
        try:
            reported = execute(request, self.venue, self.log, self._clock, chains=self.log)
        except VenueBusyError as busy:
            if self.keeps_story:
                self.say(f"edge {_short(request)}: busy for {busy.retry_after} s")
            self.edge_is_busy = True
            self.after(busy.retry_after, self._edge_again)
            return
        self.requests.popleft()
        kinds = ", ".join([e.kind for e in reported.events]) if self.keeps_story else ""
        if self.keeps_story:
            self.say(f"edge {_short(request)}: {kinds}")
        self._violated_at_venue()
        if self.by_wire:
            reported = carried(reported)
        for _ in range(2 if self.choices.happens(15) else 1):
            self._comes(self._latency(), reported, f"report {kinds}")
        if self.requests:
            self.after(0.1, self._edge)

    def _clock(self) -> datetime:
        return self.now

    def _edge_again(self) -> None:
        self.edge_is_busy = False
        self._edge()

    def _query(self, request: VenueViewRequested) -> None:
        self.coming -= 1
        try:
            seen = query(request, self.venue, self.log, chains=self.log)
        except ExecutionError as error:
            if self.keeps_story:
                self.say(f"view: {error}")
            return  # the next minute asks again
        if self.by_wire:
            seen = carried(seen)
        self._comes(self._latency(), seen, f"view {_view_text(seen)}" if self.keeps_story else "")

    # What happens

    def _tick(self) -> None:  # noqa: C901, PLR0912 - one line per kind of event
        """Let the market or a person do something; called every ten seconds during the storm."""
        what = self.choices.pick(24)
        if what == 0:
            self.venue.move(self.venue.price)  # the rest of a market order continues to fill
        elif what in {1, 2, 3}:
            self.venue.move(PRICES[self.choices.pick(len(PRICES))])
            if self.keeps_story:
                self.say(f"price {self.venue.price}")
            self._violated_at_venue()
        elif what == 4:
            self.venue.closed_until = self.now + timedelta(seconds=(30, 60, 120)[self.choices.pick(3)])
            if self.keeps_story:
                self.say(f"closed until {self.venue.closed_until:%H:%M:%S}")
        elif what == 5:
            self.venue.skewed_until = self.now + timedelta(seconds=40)
            if self.keeps_story:
                self.say("clock off")
        elif what in {6, 7}:
            self._person_reduces(reduce_only=what == 6)
        elif what == 8:
            self._person_cancels()
        elif what == 9:
            self._flatten()
        elif what in {10, 11}:
            self._person_opens()
        elif what == 12:
            self._person_resumes()
        elif what == 13:
            self.stands_until = self.seconds + (20, 45, 90)[self.choices.pick(3)]
            if self.keeps_story:
                self.say(f"the edge stops until {self.stands_until:.0f} s")
        elif what in {14, 15, 16, 17} and self.has_app and not self.venue.is_closed:
            venue = self.venue
            did = (venue.app_cancel, venue.app_trade, venue.app_edit, venue.app_order)[what - 14]()
            if self.keeps_story and did:
                self.say(f"in the venue's app: {did}")

    def _person_reduces(self, *, reduce_only: bool) -> None:
        held = self.ledger.state.books.position(BTC).quantity
        if held:
            side = Side.SELL if held > 0 else Side.BUY
            share = 3 if reduce_only or self.kind == SPOT else (3, Decimal("0.4"))[self.choices.pick(2)]
            self._person_sends(side, (abs(held) / share).quantize(STEP), reduce_only=reduce_only)

    def _person_opens(self) -> None:
        side = Side.BUY if self.kind == SPOT else (Side.BUY, Side.SELL)[self.choices.pick(2)]
        self._person_sends(side, (Decimal("0.1"), Decimal("0.02"))[self.choices.pick(2)], reduce_only=False)

    def _person_sends(self, side: Side, quantity: Decimal, *, reduce_only: bool) -> None:
        resting = bool(self.choices.pick(2))
        submitted = SubmitOrder(
            account=ACCOUNT,
            request_id=self.request_id("order"),
            requested_at=self.now,
            symbol=BTC,
            side=side,
            type=OrderType.LIMIT if resting else OrderType.MARKET,
            quantity=quantity,
            limit_price=BASE - side.sign * 2_000 if resting else None,
            reduce_only=reduce_only,
        )
        self.command(submitted, f"person {side} {submitted.type} {quantity} reduce_only={reduce_only}")

    def _person_cancels(self) -> None:
        stops = [o for o in self.ledger.orders.values() if o.terms.leg is Leg.STOP_LOSS and not o.state.is_closed]
        if stops:
            key, request_id = stops[0].client_order_id, self.request_id("cancel")
            cancel = CancelOrder(account=ACCOUNT, client_order_id=key, request_id=request_id, requested_at=self.now)
            self.command(cancel, "person cancels the stop")

    def _person_resumes(self) -> None:
        if self.ledger.state.halt is not None:
            self.is_flattened = False
            resume = ResumeTrading(
                account=ACCOUNT, request_id=self.request_id("resume"), requested_at=self.now, why="looked at it"
            )
            self.command(resume, "person resumes")

    def _flatten(self) -> None:
        if not self.is_flattened:
            self.is_flattened = True
            halt = HaltTrading(
                account=ACCOUNT, request_id=self.request_id("halt"), requested_at=self.now, level="FLATTEN", why="simulated"
            )
            self.command(halt, "FLATTEN")

    def _quiet(self) -> None:
        """Begin the quiet phase: nothing is refused, delayed or lost any more. What was delayed before still arrives."""
        if self.keeps_story:
            self.say("--- quiet from here on")
        self.choices.is_harmless = self.is_quiet = True
        self.venue.closed_until = self.venue.skewed_until = None
        if not self.app_stays:
            self.venue.app_takes_back()
        self.venue.move(self.venue.price)
        self.stands_until = self.seconds
        self._edge_again()

    def _adopt(self) -> None:
        """Cancel resting orders in the venue's app and book what was traded there, as the alerts ask a person to do."""
        self.venue.app_takes_back()
        if self.venue.foreign:
            adopted = AdoptPosition(
                account=ACCOUNT,
                request_id=self.request_id("adopt"),
                requested_at=self.now,
                symbol=BTC,
                quantity=self.venue.foreign,
                price=self.venue.price,
                why="traded in the app",
            )
            self.command(adopted, f"person adopts {self.venue.foreign}")

    def _is_settled(self) -> bool:
        if self.coming or self.requests:
            return False
        state, venue = self.ledger.state, self.venue
        if venue.position or venue.foreign or not state.is_idle or state.closings:
            return False
        late = any(at > self.now for at, _ in venue.trades)
        return not late and not any(order.left for order in venue.orders.values())

    # Invariants

    def _violated_at_venue(self) -> None:
        if self.venue.violations:
            self.fail(ONCE, self.venue.violations[0])

    def _must_be_pursued(self) -> None:
        """Check that what we must close of a position has an order at the venue, or that the next step towards one is on its way.

        The venue's true state decides, because the ledger's belief protects nothing. For what the ledger knows, there must be an
        order, a cancel, or a retry that is due. For what it does not know, it must look: a request at the edge, a report, a view
        or a review is on its way, or the next minute queries the venue. Books that are short where nobody can be lack a fill.
        """
        venue, state = self.venue, self.ledger.state
        knows = not state.at_venue.foreign and not any(doubt.reported for doubt in state.at_venue.doubts)
        knows = knows and not (venue.holds_coins and state.books.position(BTC).quantity < ZERO)
        if venue.to_protect() and not venue.protects():
            trade = state.trades.get(BTC)
            if knows and trade is not None and not self._is_pursued(state, trade.progress, trade.side.opposite):
                held = ZERO if trade.entry not in state.orders else held_by(AccountDraft(state, self.now), trade)
                if held:
                    self.fail(NEVER_ALONE, f"{held} of {trade}")
            if not self._is_watched(state):
                self.fail(NEVER_ALONE, f"{venue.to_protect()} of the trade at the venue, {trade}")
        if state.closings and (venue.position - venue.foreign) * venue.position > 0 and not venue.is_closing():
            side = Side.SELL if venue.position > 0 else Side.BUY
            for closing in state.closings.values():
                held = state.books.position(BTC).quantity
                if not held or not (closing.quantity or (closing.is_flattened and BTC not in state.trades)):
                    continue
                if knows and closing.order is None and not self._is_pursued(state, closing.progress, side):
                    self.fail(NEVER_ALONE, f"{held}, {closing}")
                if not self._is_watched(state):
                    self.fail(NEVER_ALONE, f"{venue.position} at the venue, {closing}")

    def _is_pursued(self, state: AccountState, progress: ExitProgress, closing: Side) -> bool:
        """Whether the ledger has something pending, or due by the next minute, that closes or protects."""
        if progress.retry_at is not None and progress.retry_at <= self.now + NEXT_CHECK:
            return True
        waits = [o for o in state.orders.values() if not o.state.is_closed and o.terms.side is closing]
        return any(o.terms.reduce_only or o.pending_cancel or o.cancels for o in waits)

    def _is_watched(self, state: AccountState) -> bool:
        return bool(self.requests or self.coming) or needs_comparison(state, self.now + NEXT_CHECK)

    def _must_be_protected(self) -> None:
        """Check, without a halt, that a stop covers all of the open trade and that what belongs to no trade is closed."""
        venue, state = self.venue, self.ledger.state
        if venue.protects() < venue.to_protect():
            self.fail(PROTECTED, f"{venue.protects()} of {venue.to_protect()}, {state.trades.get(BTC)}")
        # a position on the other side belongs to someone who traded in the app; no order may add to it
        late = [one for one in state.closings.values() if one.quantity * venue.position > 0 and not one.is_flattened]
        if late:
            self.fail(PROTECTED, f"{late} at a position of {venue.position}")

    def _must_be_flat(self) -> None:
        """Check that nothing is left to close. What others traded in the app is theirs, and may be more than our part was."""
        if not self.is_live:
            if self.ledger.state.books.position(BTC).quantity:
                self.fail(FLAT, "on paper")
            return
        position = self.venue.position - self.venue.held_in_app()
        ours = self.venue.position - self.venue.foreign
        if ours * position > 0:
            self.fail(FLAT, f"{position} at the venue, {self.venue.foreign} of others")

    def _must_agree(self) -> None:
        state, venue = self.ledger.state, self.venue
        if self.is_live:
            known = {t.trade_id for _, t in venue.trades if t.client_order_id is not None}
            booked = {str(getattr(entry, "key", "")) for entry in self.ledger.facts[1:]}
            booked = {key for key in booked if not key.startswith("adopt-")}
            if known != booked:
                self.fail(BOOKS, f"venue {sorted(known)}, books {sorted(booked)}")
            if venue.position:
                self.fail(ENDED, f"{venue.position} at the venue")
        if state.books.position(BTC).quantity or state.trades or state.closings:
            self.fail(
                ENDED, f"{state.books.position(BTC).quantity} {list(state.trades.values())} {list(state.closings.values())}"
            )
        if any(not order.state.is_closed for order in state.orders.values()):
            left = [f"{o.terms.leg} {o.state}" for o in state.orders.values() if not o.state.is_closed]
            self.fail(ENDED, f"open orders {left}")
        if book(ACCOUNT, self.ledger.facts, state.books.standing_orders).books != state.books:
            self.fail(PROJECTED, "a projection differs")


class _Failed(Exception):  # noqa: N818 - it ends a schedule and is not an error
    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.invariant)
        self.violation = violation


def _short(event: BusEvent) -> str:
    if isinstance(event, ExecutionRequested):
        terms = event.terms
        amount = event.quantity or terms.quantity
        return f"{event.instruction} {terms.leg}/{terms.attempt} {terms.side} {amount} {event.client_order_id[:4]}"
    return event.type.value


def _view_text(seen: VenueViewReported) -> str:
    orders = [f"{(o.client_order_id or 'app')[:4]} {o.status} {o.filled}/{o.quantity}" for o in seen.orders]
    return f"{orders} trades {[t.trade_id for t in seen.trades]} {dict(seen.positions)}"


__all__ = ["KINDS", "ScheduleRun", "Violation", "run_schedule"]
