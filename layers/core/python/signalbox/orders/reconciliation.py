"""Compares ledger and venue before anything new is sent: what to record, what to wait for, and when to halt the account.

The venue is right about what happened there. So missed acceptances, fills and ends are recorded as events, in an order that
`apply` accepts. An order that a view does not show may still appear until the settling time after its newest attempt. After
that time, an order that the venue never confirmed is lost. A confirmed one has ended if the venue forgets orders that end
without a fill, and either we asked for that end or a second view does not show the order either. An unexplained difference is
never adjusted away: it is reported, and the caller decides whether to take another view first (`VenueDifference.may_pass`).
Applying the events and comparing again gives no event. Pure; `venue.asked_at` is the only time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from signalbox.exact import ZERO, exactly
from signalbox.orders.errors import EventRefusedError
from signalbox.orders.events import (
    RECONCILED,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderLost,
    OrderRejected,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.lifecycle import apply
from signalbox.orders.order import Order, PendingUpdate
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_view import LocalView, VenueOrder, VenueStatus, VenueTrade, VenueView

REASON: Final = RECONCILED  # of ends that a comparison records
NEVER_SENT: Final = "NEVER_SENT"
FORGOTTEN: Final = "FORGOTTEN"  # ended without a fill, at a venue that forgets such orders


class VenueDifference(StrEnum):
    """A kind of difference that must stop an account from trading until a person has checked it."""

    EVENT_REFUSED = "EVENT_REFUSED"  # the venue's history cannot be applied, such as a conflicting trade or an illegal end
    ORDER_VANISHED = "ORDER_VANISHED"  # the order was at the venue, and the venue no longer knows it
    ORDER_DIFFERS = "ORDER_DIFFERS"  # quantity or price differs from ours, even with our pending update
    TRADES_MISSING = "TRADES_MISSING"  # the venue's filled quantity is not the sum of its trades
    ORDER_UNKNOWN = "ORDER_UNKNOWN"  # an open order that Signalbox did not send
    TRADE_UNKNOWN = "TRADE_UNKNOWN"  # a trade that belongs to no order of ours
    POSITION_DIFFERS = "POSITION_DIFFERS"  # positions differ after all missed fills were added

    @property
    def may_pass(self) -> bool:
        """Whether it may be temporary, such as after a trade or a late answer of the venue while it was read."""
        return self is not VenueDifference.EVENT_REFUSED


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Apply this event and store it."""

    event: OrderEvent


@dataclass(frozen=True, slots=True)
class Wait:
    """The outcome of an earlier request is unknown: send nothing, and compare again at `until`."""

    client_order_id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class CancelStray:
    """Cancel an order at the venue that is open there but closed in the ledger."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class HaltAccount:
    """Halt the account: the two sides differ, and no event explains the difference."""

    difference: VenueDifference
    subject: str  # client order id, venue order id, trade id or symbol
    ledger: str
    venue: str


@dataclass(frozen=True, slots=True)
class Dust:
    """A position difference below the venue's quantity step. It is reported and stops nothing."""

    symbol: str
    ledger: str
    venue: str
    step: Decimal


Action: TypeAlias = RecordEvent | Wait | CancelStray | HaltAccount | Dust


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of a comparison: the actions to take, in this order. orders: the local orders after every RecordEvent."""

    actions: tuple[Action, ...]
    orders: tuple[Order, ...]

    @property
    def events(self) -> tuple[OrderEvent, ...]:
        """The events to record."""
        return tuple(action.event for action in self.actions if isinstance(action, RecordEvent))


@exactly
def reconcile(
    local: LocalView,
    venue: VenueView,
    *,
    settle: timedelta,
    missed: Collection[str] = (),
    steps: Mapping[str, Decimal] | None = None,
) -> Reconciliation:
    """Compare one account's orders, trades and positions with a view, and return what to do.

    settle: how long the venue may take to show what it was sent. missed: client order ids that an earlier view, at least `settle`
    before this one, did not show either. steps: quantity step by symbol; a smaller position difference is dust.
    """
    by_id = {order.client_order_id: order for order in venue.orders if order.client_order_id is not None}
    trades: dict[str | None, list[VenueTrade]] = defaultdict(list)
    for trade in sorted(venue.trades, key=lambda t: (t.executed_at, t.trade_id)):
        trades[trade.client_order_id].append(trade)
    actions: list[Action] = []
    after: list[Order] = []
    for order in sorted(local.orders, key=lambda o: o.client_order_id):
        one = _Comparison(
            order,
            by_id.get(order.client_order_id),
            venue.asked_at,
            settle,
            may_be_forgotten=venue.forgets_unfilled,
            was_missed=order.client_order_id in missed,
        )
        one.run(trades.get(order.client_order_id, []))
        actions += one.actions
        after.append(one.order)
    known: set[str | None] = {order.client_order_id for order in local.orders}
    actions += _unknown(venue, known)
    actions += _positions(local, venue, [a.event for a in actions if isinstance(a, RecordEvent)], after, steps or {})
    return Reconciliation(tuple(actions), tuple(after))


def _unknown(venue: VenueView, known: set[str | None]) -> list[Action]:
    found: list[Action] = [
        HaltAccount(VenueDifference.ORDER_UNKNOWN, order.venue_order_id, "none", f"{order.symbol} {order.quantity} open")
        for order in sorted(venue.orders, key=lambda o: o.venue_order_id)
        if order.client_order_id not in known and order.status is VenueStatus.OPEN
    ]
    found += [
        HaltAccount(
            VenueDifference.TRADE_UNKNOWN,
            trade.trade_id,
            "none",
            f"{trade.symbol} {trade.side} {trade.quantity} at {trade.price}",
        )
        for trade in sorted(venue.trades, key=lambda t: (t.executed_at, t.trade_id))
        if trade.client_order_id not in known
    ]
    return found


def _positions(
    local: LocalView, venue: VenueView, events: list[OrderEvent], orders: list[Order], steps: Mapping[str, Decimal]
) -> list[Action]:
    expected: dict[str, Decimal] = defaultdict(Decimal, local.positions)
    terms = {str(order.client_order_id): order.terms for order in orders}
    for event in events:
        if isinstance(event, OrderFilled):
            expected[event.symbol] += terms[event.client_order_id].signed(event.quantity)
    found: list[Action] = []
    for symbol in sorted({*expected, *venue.positions}):
        ours, theirs = expected.get(symbol, ZERO), venue.positions.get(symbol, ZERO)
        if ours == theirs:
            continue
        step = steps.get(symbol)
        if step is not None and abs(ours - theirs) < step:
            found.append(Dust(symbol, str(ours), str(theirs), step))
        else:
            found.append(HaltAccount(VenueDifference.POSITION_DIFFERS, symbol, str(ours), str(theirs)))
    return found


@dataclass(slots=True)
class _Comparison:
    """Compares one order with the venue's version step by step, and collects the actions."""

    order: Order
    theirs: VenueOrder | None
    asked_at: datetime
    settle: timedelta
    may_be_forgotten: bool
    was_missed: bool
    actions: list[Action] = field(default_factory=list)

    def run(self, trades: list[VenueTrade]) -> None:
        if self.theirs is not None and self._is_unheard(self.theirs):
            self._record(OrderAccepted(**self._common(), venue_order_id=self.theirs.venue_order_id))
        for trade in trades:
            self._record(trade.as_fill(self.order))
        if self.theirs is None:
            self._absent()
        elif self.order.state is OrderState.INITIALIZED:
            self._stop(VenueDifference.ORDER_UNKNOWN, "not judged yet", _shown(self.theirs))
        elif self.theirs.filled != self.order.filled:
            self._stop(VenueDifference.TRADES_MISSING, f"{self.order.filled} filled", f"{self.theirs.filled} filled")
        elif not self.order.state.is_closed:
            self._present(self.theirs)
        elif self.theirs.status is VenueStatus.OPEN:
            self.actions.append(CancelStray(self.theirs))

    def _is_unheard(self, theirs: VenueOrder) -> bool:
        return theirs.status is not VenueStatus.REJECTED and self.order.accepted_at is None and self.order.state.may_be_at_venue

    def _absent(self) -> None:
        order = self.order
        if order.state.is_closed or order.state is OrderState.INITIALIZED:
            return
        settled_at = _newest_attempt(order) + self.settle
        if self.asked_at < settled_at:
            self.actions.append(Wait(order.client_order_id, settled_at))
        elif order.accepted_at is None and not order.trades:
            never_sent = order.state is OrderState.RELEASED
            self._record(OrderExpired(**self._common(), reason=NEVER_SENT) if never_sent else OrderLost(**self._common()))
        elif self.may_be_forgotten and not order.trades and (order.pending_cancel is not None or self.was_missed):
            self._record(OrderCanceled(**self._common(), reason=FORGOTTEN))
        else:
            self._stop(VenueDifference.ORDER_VANISHED, order.state, "not known")

    def _present(self, theirs: VenueOrder) -> None:
        update = self.order.pending_update
        is_as_known = _same_terms(theirs, self.order) or (update is not None and _same_terms(theirs, update))
        if theirs.status is not VenueStatus.OPEN and not is_as_known:
            self._end(theirs)  # changed at the venue, then ended: the order is over, and all its fills are known
            return
        if update is not None:
            self._answer_update(theirs, update)
        elif not _same_terms(theirs, self.order):
            self._stop(VenueDifference.ORDER_DIFFERS, _shown(self.order), _shown(theirs))
        if self.order.state.is_closed or (self.actions and _is_final(self.actions[-1])):
            return
        if theirs.status is VenueStatus.OPEN:
            self._answer_cancel()  # a cancel also repeats for an order that was changed at the venue
        else:
            self._end(theirs)

    def _answer_update(self, theirs: VenueOrder, update: PendingUpdate) -> None:
        answer = {**self._common(), "request_id": update.request_id}
        settled_at = update.requested_at + self.settle
        if _same_terms(theirs, update):
            self._record(OrderUpdated(**answer, venue_order_id=theirs.venue_order_id))
            return
        if theirs.status is not VenueStatus.OPEN or self.asked_at >= settled_at:
            self._record(OrderUpdateRejected(**answer, reason=REASON))
        else:
            self.actions.append(Wait(self.order.client_order_id, settled_at))
        if not _same_terms(theirs, self.order):
            self._stop(VenueDifference.ORDER_DIFFERS, _shown(update), _shown(theirs))

    def _answer_cancel(self) -> None:
        cancel = self.order.pending_cancel
        if cancel is None:
            return
        if self.asked_at < cancel.requested_at + self.settle:
            self.actions.append(Wait(self.order.client_order_id, cancel.requested_at + self.settle))
        else:
            self._record(OrderCancelRejected(**self._common(), request_id=cancel.request_id, reason=REASON))

    def _end(self, theirs: VenueOrder) -> None:
        ended = {**self._common(), "reason": REASON, "detail": theirs.detail}
        match theirs.status:
            case VenueStatus.CANCELED:
                self._record(OrderCanceled(**ended))
            case VenueStatus.EXPIRED:
                self._record(OrderExpired(**ended))
            case VenueStatus.REJECTED:
                self._record(OrderRejected(**ended))
            case VenueStatus.FILLED if theirs.filled == theirs.quantity < self.order.quantity:
                self._record(OrderCanceled(**{**ended, "detail": theirs.detail or f"filled with {theirs.filled}"}))
            case VenueStatus.FILLED | VenueStatus.OPEN:  # filled, but not by the ordered quantity
                self._stop(VenueDifference.ORDER_DIFFERS, _shown(self.order), _shown(theirs))

    def _record(self, event: OrderEvent) -> None:
        try:
            after = apply(self.order, event)
        except EventRefusedError as refused:
            self._stop(VenueDifference.EVENT_REFUSED, refused.detail, event.event_id)
            return
        if after is not self.order:
            self.order = after
            self.actions.append(RecordEvent(event))

    def _stop(self, difference: VenueDifference, ledger: str, venue: str) -> None:
        self.actions.append(HaltAccount(difference, self.order.client_order_id, ledger, venue))

    def _common(self) -> dict[str, object]:
        return {"client_order_id": self.order.client_order_id, "at": self.asked_at}


def _newest_attempt(order: Order) -> datetime:
    """Return when the order was last tried, or may still be sent: nothing is sent at or after `send_before`.

    A cancel or an update does not count while the send is unanswered: it cannot make an order appear that never arrived.
    """
    is_heard = order.accepted_at is not None or order.trades or order.unconfirmed_since is None
    pending = [one.requested_at for one in (order.pending_cancel, order.pending_update) if one is not None and is_heard]
    known = [at for at in (order.submitted_at, order.accepted_at, order.unconfirmed_since) if at is not None]
    may_be_on_its_way = order.accepted_at is None and order.unconfirmed_since is None
    return max([*pending, *known, *([order.terms.send_before] if may_be_on_its_way else [])])


def _is_final(action: Action) -> bool:
    """Return whether this action settles the order for this comparison."""
    return isinstance(action, Wait) or (
        isinstance(action, HaltAccount) and action.difference is not VenueDifference.ORDER_DIFFERS
    )


def _same_terms(theirs: VenueOrder, ours: Order | PendingUpdate) -> bool:
    return (theirs.quantity, theirs.limit_price, theirs.stop_price) == (ours.quantity, ours.limit_price, ours.stop_price)


def _shown(order: VenueOrder | Order | PendingUpdate) -> str:
    return f"{order.quantity} limit {order.limit_price} stop {order.stop_price}"
