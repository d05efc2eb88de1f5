"""Carries out one request at a venue and reports what happened as order events.

The rules: nothing is sent at or after `terms.send_before`. The send log records that a send begins before it does, so a second
delivery of the same request (a crash between send and report, a duplicate in the queue) never sends again: it asks the venue
for the client order id and reports the answer. No answer, or an order that the venue does not know, becomes OrderUnconfirmed,
which only a comparison with the venue resolves. Facts are reported as the venue gives them, even if they contradict each
other; the ledger judges them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.orders.events import (
    OrderAccepted,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderRejected,
    OrderSubmitted,
    OrderUnconfirmed,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.lifecycle import SUBMIT_ATTEMPT
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
    ViewedInstrument,
    ViewedOrder,
    ViewedTrade,
    ViewedTransfer,
)
from signalbox.orders.replacing import addressed, chain_of, folded, replace_by_another, whole
from signalbox.orders.terms import OrderType, TimeInForce
from signalbox.orders.venue_facts import (
    ENDED_AT_VENUE,
    ORDER_DONE,
    SEND_TOO_LATE,
    end_of,
    fills_of,
    has_ended,
    request_id_of,
    words,
)
from signalbox.orders.venue_port import (
    REFUSED,
    ExecutionError,
    OrderStatusReport,
    Relay,
    ReplacementLog,
    SendLog,
    Venue,
    VenueBusyError,
    VenueNoAmendError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueStatus, VenueView

__all__ = [
    "ENDED_AT_VENUE",
    "ORDER_DONE",
    "SEND_TOO_LATE",
    "cancel_facts",
    "execute",
    "facts",
    "forward",
    "query",
    "replace_facts",
    "require_portable",
    "view_report",
]
Clock = Callable[[], datetime]
Pause = Callable[[timedelta], None]
POLLS: Final = tuple(timedelta(milliseconds=n) for n in (200, 400, 800, 1600))  # pause before each further query
CANCEL_REQUESTED: Final = "CANCEL_REQUESTED"
NOT_REPLACED: Final = "NOT_REPLACED"


def execute(
    request: ExecutionRequested,
    venue: Venue,
    log: SendLog,
    clock: Clock,
    *,
    chains: ReplacementLog | None = None,
    pause: Pause | None = None,
) -> ExecutionReported:
    """Carry out the request and return what happened. Raises VenueBusyError: nothing was done, so deliver it again.

    chains: the replacement log, for venues that cannot change an order; None reports their refusal. pause: waits a few seconds
    (POLLS in all) while an order that must trade at once has not ended; None queries the venue once.
    """
    way = _Way(venue, log, clock, chains, pause)
    if request.instruction is OrderInstruction.SUBMIT:
        events = _submit(request, way)
    elif request.instruction is OrderInstruction.CANCEL:
        events = _cancel(request, way)
    else:
        events = _replace(request, way)
    return _report(request, events, clock())


def forward(request: ExecutionRequested, relay: Relay, clock: Clock) -> ExecutionReported | None:
    """Forward the request to a venue that answers later, and return what is known now. An expired submit is not forwarded."""
    now = clock()
    if request.instruction is OrderInstruction.SUBMIT and now >= request.terms.send_before:
        return _report(request, [_expired(request, now)], now)
    relay.forward(request)
    if request.instruction is not OrderInstruction.SUBMIT:
        return None
    return _report(request, [OrderSubmitted(client_order_id=request.client_order_id, at=now)], now)


def query(request: VenueViewRequested, venue: Venue, log: SendLog, *, chains: ReplacementLog | None = None) -> VenueViewReported:
    """Ask the venue for a view of the account. It shows a replacement order under the id of the order that it replaced."""
    if chains is None:
        return view_report(request, replace(venue.view(request), forgets_unfilled=venue.forgets_unfilled))
    links = dict.fromkeys(link for name in request.orders for link in chain_of(request.account, name, log, chains))
    found = replace(venue.view(request.model_copy(update={"orders": tuple(links)})), forgets_unfilled=venue.forgets_unfilled)
    return view_report(request, folded(found, request.account, request.orders, log, chains))


def view_report(request: VenueViewRequested, view: VenueView) -> VenueViewReported:
    """Return the message that carries a view."""
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
        equity=view.equity,
        others={symbol: amount for symbol, amount in view.others.items() if amount},
    )


def require_portable(status_report: OrderStatusReport) -> None:
    """Raise pydantic.ValidationError for a report with a value that does not fit our messages and the ledger."""
    ViewedOrder.of(status_report.order)
    for trade in status_report.trades:
        ViewedTrade.of(trade)


def facts(request: ExecutionRequested, status_report: OrderStatusReport, at: datetime) -> list[OrderEvent]:
    """Return the events that a status report proves: acceptance, each trade, and the end once all trades are known."""
    name = request.client_order_id
    order = status_report.order
    if order.status is VenueStatus.REJECTED and not status_report.trades:
        return [OrderRejected(client_order_id=name, at=at, reason=status_report.reason or REFUSED, detail=words(order.detail))]
    accepted = OrderAccepted(client_order_id=name, at=at, venue_order_id=order.venue_order_id)
    return [accepted, *fills_of(request, status_report), *end_of(request, status_report, at)]


def cancel_facts(request: ExecutionRequested, status_report: OrderStatusReport, at: datetime) -> list[OrderEvent]:
    """Return the events that a status report proves after a cancel was requested."""
    events = facts(request, replace(status_report, reason=status_report.reason or CANCEL_REQUESTED), at)
    name, request_id = request.client_order_id, request_id_of(request)
    if status_report.order.status is VenueStatus.OPEN:
        events.append(OrderUnconfirmed(client_order_id=name, at=at, attempt=request_id))
    elif status_report.order.status is not VenueStatus.CANCELED:
        events.append(OrderCancelRejected(client_order_id=name, at=at, request_id=request_id, reason=ORDER_DONE))
    return events


def replace_facts(request: ExecutionRequested, status_report: OrderStatusReport, at: datetime) -> list[OrderEvent]:
    """Return the events that a status report proves after a replace was requested."""
    name, request_id, order = request.client_order_id, request_id_of(request), status_report.order
    wanted: list[tuple[Decimal | None, Decimal | None]] = [
        (request.quantity, order.quantity),
        (request.limit_price, order.limit_price),
        (request.stop_price, order.stop_price),
    ]
    events: list[OrderEvent] = list(fills_of(request, status_report))
    if all(asked is None or asked == found for asked, found in wanted):
        events.append(OrderUpdated(client_order_id=name, at=at, request_id=request_id, venue_order_id=order.venue_order_id))
    else:
        events.append(OrderUpdateRejected(client_order_id=name, at=at, request_id=request_id, reason=NOT_REPLACED))
    return events


@dataclass(frozen=True, slots=True)
class _Way:
    """What the functions here share: the venue, the logs, the clock, and how to wait."""

    venue: Venue
    log: SendLog
    clock: Clock
    chains: ReplacementLog | None
    pause: Pause | None


def _submit(request: ExecutionRequested, way: _Way) -> list[OrderEvent]:
    written = way.log.read(request.account, request.client_order_id)
    if written is not None:
        submitted = OrderSubmitted(client_order_id=request.client_order_id, at=written.begun_at)
        return [submitted, *_asked(request, way)]
    end = _prepared(request, way)
    return [end] if end is not None else _send(request, way)


def _prepared(request: ExecutionRequested, way: _Way) -> OrderEvent | None:
    """Return the event that ends the order without a send, or None if it may be sent."""
    if way.clock() >= request.terms.send_before:
        return _expired(request, way.clock())
    try:
        way.venue.prepare(request)
    except VenueRefusedError as error:
        return _rejected(request, error, way.clock())
    return None


def _send(request: ExecutionRequested, way: _Way) -> list[OrderEvent]:
    account, name, now = request.account, request.client_order_id, way.clock()
    if now >= request.terms.send_before:  # the preparation took too long
        return [_expired(request, now)]
    submitted = OrderSubmitted(client_order_id=name, at=now)
    if not way.log.begin(account, name, now):  # another worker began first
        return [submitted, *_asked(request, way)]
    try:
        status_report = way.venue.submit(request)
    except VenueRefusedError as error:
        return [submitted, _rejected(request, error, way.clock())]
    except VenueBusyError:
        way.log.forget(account, name)  # certainly not accepted, so the next delivery may send
        raise
    except VenueSilentError as error:
        return [submitted, *_asked(request, way, str(error))]
    _remember(way, account, name, status_report)
    if _has_to_end(request):
        status_report = _until_ended(request, way, status_report) or status_report
    return [submitted, *facts(request, status_report, way.clock())]


def _asked(request: ExecutionRequested, way: _Way, silence: str = "") -> list[OrderEvent]:
    """Query the venue about an order that may be there, and return the events. The order is not sent, whatever the answer.

    An unknown order is no answer either: the venue may not show it yet.
    """
    status_report, error = _found(request, way)
    if not isinstance(error, VenueRefusedError) and (status_report is None or _has_to_end(request)):
        status_report = _until_ended(request, way, status_report)
    if status_report is None:
        detail_text = words("; ".join(filter(None, (silence, str(error or "")))))
        return [
            OrderUnconfirmed(client_order_id=request.client_order_id, at=way.clock(), attempt=SUBMIT_ATTEMPT, detail=detail_text)
        ]
    return facts(request, status_report, way.clock())


def _found(request: ExecutionRequested, way: _Way) -> tuple[OrderStatusReport | None, ExecutionError | None]:
    """Return the order as the venue shows it, with all links of its chain joined, or the error that prevented that."""
    names = chain_of(request.account, request.client_order_id, way.log, way.chains)
    try:
        newest = way.venue.find(addressed(request, names[-1], way.log))
        _remember(way, request.account, names[-1], newest)
        return (newest if len(names) == 1 else whole(request, way.venue, way.log, names, newest)), None
    except (VenueSilentError, VenueUnknownOrderError, VenueRefusedError, VenueBusyError) as error:
        return None, error


def _has_to_end(request: ExecutionRequested) -> bool:
    """Return whether the order must fill at once or never. For such an order "accepted, nothing filled" is not the end yet."""
    terms = request.terms
    return terms.type is OrderType.MARKET or terms.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}


def _until_ended(request: ExecutionRequested, way: _Way, status_report: OrderStatusReport | None) -> OrderStatusReport | None:
    """Query for a few seconds until the venue shows the order, and its end if it must end; return the newest report."""
    for wait in POLLS:
        if way.pause is None or (status_report is not None and (has_ended(status_report) or not _has_to_end(request))):
            return status_report
        way.pause(wait)
        status_report = _found(request, way)[0] or status_report
    return status_report


def _cancel(request: ExecutionRequested, way: _Way) -> list[OrderEvent]:
    name, request_id = request.client_order_id, request_id_of(request)
    names = chain_of(request.account, name, way.log, way.chains)
    try:
        newest = way.venue.cancel(addressed(request, names[-1], way.log))
        status_report = newest if len(names) == 1 else whole(request, way.venue, way.log, names, newest)
        return cancel_facts(request, status_report, way.clock())
    except (VenueUnknownOrderError, VenueSilentError) as error:
        # unknown is not cancelled: the venue may not show the order yet. A view decides after the settling time
        return [OrderUnconfirmed(client_order_id=name, at=way.clock(), attempt=request_id, detail=words(str(error)))]
    except VenueRefusedError as error:
        at, detail_text = way.clock(), words(error.detail)
        return [OrderCancelRejected(client_order_id=name, at=at, request_id=request_id, reason=error.code, detail=detail_text)]


def _replace(request: ExecutionRequested, way: _Way) -> list[OrderEvent]:
    name, request_id = request.client_order_id, request_id_of(request)
    try:
        return replace_facts(request, way.venue.replace(request), way.clock())
    except (VenueSilentError, VenueUnknownOrderError) as error:
        return [OrderUnconfirmed(client_order_id=name, at=way.clock(), attempt=request_id, detail=words(str(error)))]
    except VenueRefusedError as error:
        if isinstance(error, VenueNoAmendError) and way.chains is not None:
            return replace_by_another(request, way.venue, way.log, way.chains, way.clock)
        at, detail_text = way.clock(), words(error.detail)
        return [OrderUpdateRejected(client_order_id=name, at=at, request_id=request_id, reason=error.code, detail=detail_text)]


def _remember(way: _Way, account: str, name: str, status_report: OrderStatusReport) -> None:
    if status_report.order.status is not VenueStatus.REJECTED:
        way.log.accept(account, name, status_report.order)


def _expired(request: ExecutionRequested, at: datetime) -> OrderExpired:
    return OrderExpired(client_order_id=request.client_order_id, at=at, reason=SEND_TOO_LATE)


def _rejected(request: ExecutionRequested, error: VenueRefusedError, at: datetime) -> OrderRejected:
    return OrderRejected(client_order_id=request.client_order_id, at=at, reason=error.code, detail=words(error.detail))


def _report(request: ExecutionRequested, events: list[OrderEvent], at: datetime) -> ExecutionReported:
    return ExecutionReported(
        account=request.account,
        client_order_id=request.client_order_id,
        reported_at=at,
        events=tuple(events),
        decided_at=request.terms.decided_at,
    )
