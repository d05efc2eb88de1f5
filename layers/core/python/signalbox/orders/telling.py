"""What an order's standing at a venue proves, as order events. Facts are told as they are; the ledger judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.events import OrderCanceled, OrderEvent, OrderExpired, OrderFilled
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.venue_port import Standing
from signalbox.orders.venue_view import VenueStatus

SEND_TOO_LATE: Final = "SEND_TOO_LATE"
ORDER_DONE: Final = "ORDER_DONE"
ENDED_AT_VENUE: Final = "ENDED_AT_VENUE"
DETAIL_LENGTH: Final = 500  # of an event's `detail`


def words(said: str) -> str:
    """Return a venue's words as an event carries them."""
    return said[:DETAIL_LENGTH]


def fills_of(request: ExecutionRequested, standing: Standing) -> Iterator[OrderFilled]:
    """Return the trades of a standing, oldest first."""
    for trade in sorted(standing.trades, key=lambda t: (t.executed_at, t.trade_id)):
        yield trade.fill_of(request.client_order_id, request.account)


@exactly
def has_ended(standing: Standing) -> bool:
    """Whether the order is over and every trade of it is there: an end before that would hide trades that are still to come."""
    shown = sum((trade.quantity for trade in standing.trades), ZERO)
    return standing.order.status is not VenueStatus.OPEN and shown == standing.order.filled


def end_of(request: ExecutionRequested, standing: Standing, at: datetime) -> list[OrderEvent]:
    """Return the end of an order, once its trades are all there. A fill in full is told by the fills themselves."""
    name, said = request.client_order_id, words(standing.order.detail)
    reason = standing.reason or ENDED_AT_VENUE
    if not has_ended(standing):
        return []
    if standing.order.status is VenueStatus.CANCELED:
        return [OrderCanceled(client_order_id=name, at=at, reason=reason, detail=said)]
    if standing.order.status is VenueStatus.EXPIRED:
        return [OrderExpired(client_order_id=name, at=at, reason=reason, detail=said)]
    return []


def request_id_of(request: ExecutionRequested) -> str:
    """Return the id of a cancel or replace."""
    if request.request_id is None:  # the message's own check makes this unreachable for a cancel or replace
        raise ValueError(f"expected a request_id with {request.instruction} of {request.client_order_id}")
    return request.request_id
