"""A venue and a send log in memory, with the faults that the network has. For the pure part of execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from typing_extensions import override

from local.simulation import send_log
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_port import (
    REFUSED,
    OrderStatusReport,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade, VenueView


class Killed(BaseException):
    """The process is gone: nothing after this line runs."""


class Answer(StrEnum):
    GOOD = "good"
    REFUSED = "refused"
    BUSY = "busy"
    LOST_BEFORE = "lost before the venue"
    LOST_AFTER = "lost after the venue took it"
    KILLED_BEFORE = "killed before the send"
    KILLED_AFTER = "killed after the send"


@dataclass
class Clock:
    now: datetime
    step: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@dataclass
class MemorySendLog(send_log.MemorySendLog):
    """The log of the simulation, with a place for what happens just before a send is written down."""

    begin_hook: Callable[[], None] | None = None

    @override
    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        if self.begin_hook is not None:
            self.begin_hook()
        return super().begin(account, client_order_id, at)


@dataclass
class MemoryVenue:
    """Takes every order it is sent, also twice; `answers` says what becomes of each call, GOOD when it has run out."""

    at: datetime
    answers: Iterator[Answer] = field(default_factory=lambda: iter(()))
    forgets_unfilled: bool = False
    fills: tuple[tuple[str, str, str], ...] = ()  # trade id, quantity, price: of the next order
    status: VenueStatus = VenueStatus.OPEN
    refuse_prepare: str | None = None
    sends: list[str] = field(default_factory=list)
    book: dict[str, OrderStatusReport] = field(default_factory=dict)

    def prepare(self, request: ExecutionRequested) -> None:
        if self.refuse_prepare:
            raise VenueRefusedError(self.refuse_prepare, "told to")

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        answer = self._before()
        self.sends.append(request.client_order_id)
        trades = tuple(
            VenueTrade(i, request.client_order_id, request.terms.symbol, request.terms.side, Decimal(q), Decimal(p), self.at)
            for i, q, p in self.fills
        )
        terms = request.terms
        order = VenueOrder(
            request.client_order_id,
            f"v{len(self.sends)}",
            terms.symbol,
            self.status,
            terms.quantity,
            sum((t.quantity for t in trades), Decimal(0)),
            terms.limit_price,
            terms.stop_price,
        )
        self.book[request.client_order_id] = OrderStatusReport(order, trades)
        return self._after(answer, request)

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        return self._after(self._before(), request)

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        answer = self._before()
        found = self.book.get(request.client_order_id)
        if found is not None and found.order.status is VenueStatus.OPEN:
            self.book[request.client_order_id] = replace(found, order=replace(found.order, status=VenueStatus.CANCELED))
        return self._after(answer, request)

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        answer = self._before()
        found = self.book[request.client_order_id]
        changed = replace(found.order, quantity=request.quantity or found.order.quantity)
        self.book[request.client_order_id] = replace(found, order=changed)
        return self._after(answer, request)

    def view(self, request: VenueViewRequested) -> VenueView:
        found = [self.book[name] for name in request.orders if name in self.book]
        return VenueView(self.at, tuple(s.order for s in found), tuple(t for s in found for t in s.trades), {})

    def _before(self) -> Answer:
        answer = next(self.answers, Answer.GOOD)
        if answer is Answer.REFUSED:
            raise VenueRefusedError(REFUSED, "told to")
        if answer is Answer.BUSY:
            raise VenueBusyError("told to", 3)
        if answer is Answer.LOST_BEFORE:
            raise VenueSilentError("told to")
        if answer is Answer.KILLED_BEFORE:
            raise Killed
        return answer

    def _after(self, answer: Answer, request: ExecutionRequested) -> OrderStatusReport:
        if answer is Answer.LOST_AFTER:
            raise VenueSilentError("told to")
        if answer is Answer.KILLED_AFTER:
            raise Killed
        if request.client_order_id not in self.book:
            raise VenueUnknownOrderError("not here")
        return self.book[request.client_order_id]
