"""The order events that a venue's status report proves.

Facts are reported as the venue gives them; the ledger decides whether they are plausible.
"""

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
DETAIL_LENGTH: Final = 500  # maximum length of an event's `detail`


def words(detail_text: str) -> str:
    """Return a venue's text, cut to the length of an event's `detail`."""
    return detail_text[:DETAIL_LENGTH]


def fills_of(request: ExecutionRequested, status_report: OrderStatusReport) -> Iterator[OrderFilled]:
    """Return the fills of a status report, oldest first."""
    for trade in sorted(status_report.trades, key=lambda t: (t.executed_at, t.trade_id)):
        yield trade.fill_of(request.client_order_id, request.account)


@exactly
def has_ended(status_report: OrderStatusReport) -> bool:
    """Whether the order has ended and every trade of it is known. Reporting the end earlier would hide trades still to come."""
    shown = sum((trade.quantity for trade in status_report.trades), ZERO)
    return status_report.order.status is not VenueStatus.OPEN and shown == status_report.order.filled


def end_of(request: ExecutionRequested, status_report: OrderStatusReport, at: datetime) -> list[OrderEvent]:
    """Return the event that ends an order, once all trades are known. A complete fill needs none, because its fills end it."""
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
    """Return the request id of a cancel or replace. Raises ValueError if there is none."""
    if request.request_id is None:  # ExecutionRequested's own validation prevents this
        raise ValueError(f"{request.instruction} of {request.client_order_id} has no request_id")
    return request.request_id
