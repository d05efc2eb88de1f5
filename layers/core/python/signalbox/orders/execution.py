"""Carry out one request at a venue and say what happened, as order events.

The rules: nothing is sent at or after `terms.send_before`. Before a send it is written down that it begins, so a second
delivery of the same request (a crash between send and report, a duplicate of the queue) never sends again: it asks the
venue for the client order id and reports what is there. No answer is OrderUnconfirmed, which only a comparison with the
venue resolves. Facts of the venue are reported as they are, also when they contradict each other; the ledger judges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.application import SUBMIT_ATTEMPT
from signalbox.orders.events import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    Instruction,
    VenueViewReported,
    VenueViewRequested,
    ViewedInstrument,
    ViewedOrder,
    ViewedTrade,
    ViewedTransfer,
)
from signalbox.orders.venue_port import (
    REFUSED,
    Relay,
    SendLog,
    Standing,
    Venue,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade, VenueView

Clock = Callable[[], datetime]
SEND_TOO_LATE: Final = "SEND_TOO_LATE"
ORDER_DONE: Final = "ORDER_DONE"
CANCEL_REQUESTED: Final = "CANCEL_REQUESTED"
ENDED_AT_VENUE: Final = "ENDED_AT_VENUE"
NOT_REPLACED: Final = "NOT_REPLACED"


def execute(request: ExecutionRequested, venue: Venue, log: SendLog, clock: Clock) -> ExecutionReported:
    """Carry out the request; return what happened. Raises VenueBusyError: nothing was done, deliver it again."""
    if request.instruction is Instruction.SUBMIT:
        events = _submit(request, venue, log, clock)
    elif request.instruction is Instruction.CANCEL:
        events = _cancel(request, venue, log, clock)
    else:
        events = _replace(request, venue, clock)
    return _report(request, events, clock())


def hand_on(request: ExecutionRequested, relay: Relay, clock: Clock) -> ExecutionReported | None:
    """Give the request to a venue that answers later; return what is known now. A late submit is not handed on."""
    now = clock()
    if request.instruction is Instruction.SUBMIT and now >= request.terms.send_before:
        return _report(request, [_expired(request, now)], now)
    relay.hand_on(request)
    if request.instruction is not Instruction.SUBMIT:
        return None
    return _report(request, [OrderSubmitted(client_order_id=request.client_order_id, at=now)], now)


def look(request: VenueViewRequested, venue: Venue, log: SendLog) -> VenueViewReported:
    """Ask the venue about the account. Orders that it forgot after an unfilled cancel are told from what it had accepted."""
    found = venue.view(request)
    if venue.forgets_unfilled:
        shown = {order.client_order_id for order in found.orders}
        found = replace(found, orders=(*found.orders, *_forgotten(request, log, shown)))
    return view_report(request, found)


def view_report(request: VenueViewRequested, view: VenueView) -> VenueViewReported:
    """Return the view on the wire."""
    return VenueViewReported(
        account=request.account,
        requested_at=request.at,
        asked_at=view.asked_at,
        orders=tuple(ViewedOrder.of(order) for order in view.orders),
        trades=tuple(ViewedTrade.of(trade) for trade in view.trades),
        positions={symbol: amount for symbol, amount in view.positions.items() if amount},
        instruments=tuple(ViewedInstrument.of(one) for one in view.instruments),
        transfers=tuple(ViewedTransfer.of(one) for one in view.transfers),
        forgets_unfilled=view.forgets_unfilled,
    )


@exactly
def facts(request: ExecutionRequested, standing: Standing, at: datetime) -> list[OrderEvent]:
    """Return the events that a standing proves: acceptance, each trade, and the end once its trades are all there."""
    name = request.client_order_id
    order = standing.order
    if order.status is VenueStatus.REJECTED and not standing.trades:
        return [OrderRejected(client_order_id=name, at=at, reason=standing.reason or REFUSED)]
    events: list[OrderEvent] = [OrderAccepted(client_order_id=name, at=at, venue_order_id=order.venue_order_id)]
    events += [_fill(request, trade) for trade in sorted(standing.trades, key=lambda t: (t.executed_at, t.trade_id))]
    if sum((trade.quantity for trade in standing.trades), ZERO) != order.filled:
        return events  # an end now would hide trades that are still to come
    if order.status is VenueStatus.CANCELED:
        events.append(OrderCanceled(client_order_id=name, at=at, reason=standing.reason or ENDED_AT_VENUE))
    elif order.status is VenueStatus.EXPIRED:
        events.append(OrderExpired(client_order_id=name, at=at, reason=standing.reason or ENDED_AT_VENUE))
    return events


def cancel_facts(request: ExecutionRequested, standing: Standing, at: datetime) -> list[OrderEvent]:
    """Return the events of an order as it is after a cancel was asked for."""
    events = facts(request, replace(standing, reason=standing.reason or CANCEL_REQUESTED), at)
    name, request_id = request.client_order_id, _request_id(request)
    if standing.order.status is VenueStatus.OPEN:
        events.append(OrderUnconfirmed(client_order_id=name, at=at, attempt=request_id))
    elif standing.order.status is not VenueStatus.CANCELED:
        events.append(OrderCancelRejected(client_order_id=name, at=at, request_id=request_id, reason=ORDER_DONE))
    return events


def replace_facts(request: ExecutionRequested, standing: Standing, at: datetime) -> list[OrderEvent]:
    """Return the events of an order as it is after a replace was asked for."""
    name, request_id, order = request.client_order_id, _request_id(request), standing.order
    wanted: list[tuple[Decimal | None, Decimal | None]] = [
        (request.quantity, order.quantity),
        (request.limit_price, order.limit_price),
        (request.stop_price, order.stop_price),
    ]
    events: list[OrderEvent] = [_fill(request, trade) for trade in standing.trades]
    if all(asked is None or asked == found for asked, found in wanted):
        events.append(OrderUpdated(client_order_id=name, at=at, request_id=request_id, venue_order_id=order.venue_order_id))
    else:
        events.append(OrderUpdateRejected(client_order_id=name, at=at, request_id=request_id, reason=NOT_REPLACED))
    return events


def _submit(request: ExecutionRequested, venue: Venue, log: SendLog, clock: Clock) -> list[OrderEvent]:
    written = log.read(request.account, request.client_order_id)
    if written is not None:
        submitted = OrderSubmitted(client_order_id=request.client_order_id, at=written.begun_at)
        return [submitted, *_asked(request, venue, log, clock)]
    end = _prepared(request, venue, clock)
    return [end] if end is not None else _send(request, venue, log, clock)


def _prepared(request: ExecutionRequested, venue: Venue, clock: Clock) -> OrderEvent | None:
    """Return why it will not be sent; None when it may be."""
    if clock() >= request.terms.send_before:
        return _expired(request, clock())
    try:
        venue.prepare(request)
    except VenueRefusedError as error:
        return OrderRejected(client_order_id=request.client_order_id, at=clock(), reason=error.code)
    return None


def _send(request: ExecutionRequested, venue: Venue, log: SendLog, clock: Clock) -> list[OrderEvent]:
    account, name, now = request.account, request.client_order_id, clock()
    if now >= request.terms.send_before:  # the preparation took too long
        return [_expired(request, now)]
    submitted = OrderSubmitted(client_order_id=name, at=now)
    if not log.begin(account, name, now):  # another worker was faster
        return [submitted, *_asked(request, venue, log, clock)]
    try:
        standing = venue.submit(request)
    except VenueRefusedError as error:
        return [submitted, OrderRejected(client_order_id=name, at=clock(), reason=error.code)]
    except VenueBusyError:
        log.forget(account, name)  # certainly not taken: the next delivery may send
        raise
    except VenueSilentError:
        return [submitted, *_asked(request, venue, log, clock)]
    _remember(request, standing, log)
    return [submitted, *facts(request, standing, clock())]


def _asked(request: ExecutionRequested, venue: Venue, log: SendLog, clock: Clock) -> list[OrderEvent]:
    """Return what the venue says of an order that may be there. It is not sent, whatever the answer."""
    try:
        standing = venue.find(request)
    except (VenueSilentError, VenueUnknownOrderError, VenueRefusedError, VenueBusyError):
        return [OrderUnconfirmed(client_order_id=request.client_order_id, at=clock(), attempt=SUBMIT_ATTEMPT)]
    _remember(request, standing, log)
    return facts(request, standing, clock())


def _cancel(request: ExecutionRequested, venue: Venue, log: SendLog, clock: Clock) -> list[OrderEvent]:
    name, request_id = request.client_order_id, _request_id(request)
    try:
        return cancel_facts(request, venue.cancel(request), clock())
    except VenueUnknownOrderError:
        written = log.read(request.account, name)
        if venue.forgets_unfilled and written is not None and written.accepted is not None:
            return [OrderCanceled(client_order_id=name, at=clock(), reason=CANCEL_REQUESTED)]
        return [OrderUnconfirmed(client_order_id=name, at=clock(), attempt=request_id)]
    except VenueSilentError:
        return [OrderUnconfirmed(client_order_id=name, at=clock(), attempt=request_id)]
    except VenueRefusedError as error:
        return [OrderCancelRejected(client_order_id=name, at=clock(), request_id=request_id, reason=error.code)]


def _replace(request: ExecutionRequested, venue: Venue, clock: Clock) -> list[OrderEvent]:
    name, request_id = request.client_order_id, _request_id(request)
    try:
        return replace_facts(request, venue.replace(request), clock())
    except (VenueSilentError, VenueUnknownOrderError):
        return [OrderUnconfirmed(client_order_id=name, at=clock(), attempt=request_id)]
    except VenueRefusedError as error:
        return [OrderUpdateRejected(client_order_id=name, at=clock(), request_id=request_id, reason=error.code)]


def _remember(request: ExecutionRequested, standing: Standing, log: SendLog) -> None:
    if standing.order.status is not VenueStatus.REJECTED:
        log.accept(request.account, request.client_order_id, standing.order)


def _forgotten(request: VenueViewRequested, log: SendLog, shown: set[str | None]) -> list[VenueOrder]:
    """Return the asked orders that the venue had accepted and does not know: cancelled, and never filled."""
    found: list[VenueOrder] = []
    for name in request.orders:
        written = None if name in shown else log.read(request.account, name)
        if written is not None and written.accepted is not None:
            found.append(replace(written.accepted, status=VenueStatus.CANCELED, filled=ZERO))
    return found


def _expired(request: ExecutionRequested, at: datetime) -> OrderExpired:
    return OrderExpired(client_order_id=request.client_order_id, at=at, reason=SEND_TOO_LATE)


def _request_id(request: ExecutionRequested) -> str:
    if request.request_id is None:  # the message's own check makes this unreachable for a cancel or replace
        raise ValueError(f"expected a request_id with {request.instruction} of {request.client_order_id}")
    return request.request_id


def _fill(request: ExecutionRequested, trade: VenueTrade) -> OrderFilled:
    return trade.fill_of(request.client_order_id, request.account)


def _report(request: ExecutionRequested, events: list[OrderEvent], at: datetime) -> ExecutionReported:
    return ExecutionReported(
        account=request.account, client_order_id=request.client_order_id, reported_at=at, events=tuple(events)
    )
