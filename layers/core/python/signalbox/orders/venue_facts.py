"""What a venue's status report of an order proves, as order events. Facts are reported as they are; the ledger judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.events import OrderCanceled, OrderEvent, OrderExpired, OrderFilled
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.venue_port import OrderStatusReport
from signalbox.orders.venue_view import VenueStatus

SEND_TOO_LATE: Final = "SEND_TOO_LATE"
ORDER_DONE: Final = "ORDER_DONE"
ENDED_AT_VENUE: Final = "ENDED_AT_VENUE"
DETAIL_LENGTH: Final = 500  # of an event's `detail`


def words(detail_text: str) -> str:
    """Return a venue's words as an event carries them."""
    return detail_text[:DETAIL_LENGTH]


def fills_of(request: ExecutionRequested, status_report: OrderStatusReport) -> Iterator[OrderFilled]:
    """Return the fills of a status report, oldest first."""
    for trade in sorted(status_report.trades, key=lambda t: (t.executed_at, t.trade_id)):
        yield trade.fill_of(request.client_order_id, request.account)


@exactly
def has_ended(status_report: OrderStatusReport) -> bool:
    """Whether the order is over and every trade of it is there: an end before that would hide trades that are still to come."""
    shown = sum((trade.quantity for trade in status_report.trades), ZERO)
    return status_report.order.status is not VenueStatus.OPEN and shown == status_report.order.filled


def end_of(request: ExecutionRequested, status_report: OrderStatusReport, at: datetime) -> list[OrderEvent]:
    """Return the event that ends an order, once all of its trades are known. A full fill needs none: its fills end it."""
    name, detail_text = request.client_order_id, words(status_report.order.detail)
    reason = status_report.reason or ENDED_AT_VENUE
    if not has_ended(status_report):
        return []
    if status_report.order.status is VenueStatus.CANCELED:
        return [OrderCanceled(client_order_id=name, at=at, reason=reason, detail=detail_text)]
    if status_report.order.status is VenueStatus.EXPIRED:
        return [OrderExpired(client_order_id=name, at=at, reason=reason, detail=detail_text)]
    return []


def request_id_of(request: ExecutionRequested) -> str:
    """Return the id of a cancel or replace."""
    if request.request_id is None:  # the message's own check makes this unreachable for a cancel or replace
        raise ValueError(f"expected a request_id with {request.instruction} of {request.client_order_id}")
    return request.request_id
