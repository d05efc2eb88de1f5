"""Requests to a venue to cancel or change an order, and the pauses before a request is repeated."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.orders.events import OrderCancelRequested
from signalbox.orders.messages import ExecutionRequested, OrderInstruction
from signalbox.orders.order import Order
from signalbox.trading.draft import AccountDraft

_PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (0, 5, 10, 20, 40))


def pause_after(failures: int) -> timedelta:
    """Return the pause after a number of failures in a row: none after the first, then 5, 10, 20 and at most 40 seconds."""
    return _PAUSES[min(max(failures - 1, 0), len(_PAUSES) - 1)]


def request_cancel(draft: AccountDraft, order: Order, request_id: str, at: datetime) -> None:
    """Ask the venue to cancel an order, unless it has ended, is being cancelled, or cannot be at the venue."""
    if order.state.is_closed or order.pending_cancel is not None or not order.state.may_be_at_venue:
        return
    key = order.client_order_id
    asked = OrderCancelRequested(client_order_id=key, at=at, request_id=request_id)
    if asked.event_id in order.seen:  # a repeated request id would not be sent
        request_id = f"{request_id}-{order.cancels}"
        asked = OrderCancelRequested(client_order_id=key, at=at, request_id=request_id)
    draft.take(asked)
    if draft.is_live:
        ask(draft, OrderInstruction.CANCEL, order, request_id, at)


def keep_cancelling(draft: AccountDraft, order: Order, request_id: str, at: datetime) -> None:
    """Request a cancel. After a refusal, request it again with growing pauses until the order ends."""
    if order.state.is_closed or order.pending_cancel is not None:
        return
    due = at if order.cancel_asked_at is None else order.cancel_asked_at + pause_after(order.cancels)
    if at < due:
        draft.wait_until(due)
    else:
        request_cancel(draft, order, request_id, at)


def ask(
    draft: AccountDraft,
    instruction: OrderInstruction,
    order: Order,
    request_id: str,
    at: datetime,
    *,
    quantity: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> None:
    """Announce a cancel or replace request, which the execution function sends to the venue."""
    draft.announce(
        ExecutionRequested(
            account=draft.account.account,
            venue=draft.account.venue,
            instruction=instruction,
            client_order_id=order.client_order_id,
            terms=order.terms,
            at=at,
            venue_order_id=order.venue_order_id,
            request_id=request_id,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
    )
