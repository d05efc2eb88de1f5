"""Orders that a person sends, cancels or replaces. Pure.

These pass the pre-trade checks like any order. A repeated request is recognised and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderCancelRequested, OrderUpdateRequested
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import OrderInstruction
from signalbox.orders.order import Order
from signalbox.orders.terms import OrderTerms, OrderType
from signalbox.orders.transitions import OrderState
from signalbox.risk.assess import assess
from signalbox.risk.decision import RiskRefused
from signalbox.risk.order import ProposedOrder
from signalbox.trading.changes import NO_CHANGES, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.errors import CommandError
from signalbox.trading.order_requests import ask, request_cancel
from signalbox.trading.state import AccountState


def submit(state: AccountState, terms: OrderTerms | Sequence[OrderTerms], at: datetime) -> Transition:
    """Send a person's orders. The check of each one counts the orders before it as working.

    An order that exists changes nothing. Raises CommandError for terms of another account and for orders past send_before.
    """
    draft = AccountDraft(state, at)
    wanted = (terms,) if isinstance(terms, OrderTerms) else tuple(terms)
    if all(one.client_order_id in state.orders for one in wanted):
        return state, NO_CHANGES
    for one in wanted:  # check all before sending any
        if one.account != state.account.account:
            raise CommandError(f"the order belongs to account {one.account}, not to {state.account.account}")
        if draft.at >= one.send_before:
            raise CommandError(
                f"too late at {draft.at.isoformat()}: the order had to be sent before {one.send_before.isoformat()}"
            )
    draft.send_in_turn(wanted, draft.at if draft.is_live else draft.stamp(draft.at))
    return draft.done()


def cancel(state: AccountState, key: ClientOrderId, request_id: str, at: datetime) -> Transition:
    """Ask the venue to cancel an order. An order that has ended or is being cancelled stays as it is.

    Raises CommandError for an order that is not in the account state.
    """
    order = _known(state, key)
    asked = OrderCancelRequested(client_order_id=key, at=at, request_id=request_id)
    if order.state.is_closed or order.pending_cancel is not None or asked.event_id in order.seen:
        return state, NO_CHANGES
    draft = AccountDraft(state, at)
    request_cancel(draft, order, request_id, draft.at)
    return draft.done()


def replace(
    state: AccountState,
    key: ClientOrderId,
    request_id: str,
    at: datetime,
    *,
    quantity: Decimal | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> Transition:
    """Ask the venue to change an open order; a None keeps its value.

    The pre-trade checks run on the order as it would be afterwards.

    Raises CommandError for an order that is not in the account state or cannot be changed now.
    """
    order = _known(state, key)
    event = OrderUpdateRequested(
        client_order_id=key, at=at, request_id=request_id, quantity=quantity, limit_price=limit_price, stop_price=stop_price
    )
    if event.event_id in order.seen:
        return state, NO_CHANGES
    total = order.quantity if quantity is None else quantity
    _check_change(order, total, limit_price, stop_price)
    draft = AccountDraft(state, at)
    changed = ProposedOrder(
        order_id=key,
        symbol=Symbol(order.terms.symbol),
        side=order.terms.side,
        quantity=total - order.filled,
        price=limit_price or stop_price or order.limit_price or order.stop_price,
        reduce_only=order.terms.reduce_only,
    )
    decision = assess(changed, draft.snapshot(draft.at, without=key), state.account.limits)
    if isinstance(decision, RiskRefused):
        draft.refused(f"{key}:{request_id}", order, decision, draft.at)
        return draft.done()
    draft.take(event)
    if draft.is_live:
        ask(
            draft,
            OrderInstruction.REPLACE,
            order,
            request_id,
            draft.at,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
    return draft.done()


def _check_change(order: Order, total: Decimal, limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    if order.state not in {OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED}:
        raise CommandError(
            f"{order.client_order_id}: this order is {order.state}; only an open order without a pending request can be changed"
        )
    if total <= order.filled:
        raise CommandError(f"{order.client_order_id}: expected a quantity above the filled {order.filled}, got {total}")
    wrong_limit = limit_price is not None and order.terms.type is not OrderType.LIMIT
    wrong_stop = stop_price is not None and order.terms.type is not OrderType.STOP
    if wrong_limit or wrong_stop:
        raise CommandError(
            f"{order.client_order_id}: a {order.terms.type} order has no {'limit_price' if wrong_limit else 'stop_price'}"
        )


def _known(state: AccountState, key: ClientOrderId) -> Order:
    order = state.orders.get(key)
    if order is None:
        raise CommandError(f"{state.account.account} has no order {key}")
    return order
