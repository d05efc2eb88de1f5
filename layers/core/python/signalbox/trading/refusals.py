"""Records a venue's refusals with the venue's text: a compliance record line for each, and an event that becomes an alert.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderCancelRejected, OrderEvent, OrderRejected, OrderUpdateRejected
from signalbox.orders.identity import ClientOrderId
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.events import VenueRefused
from signalbox.trading.state import AccountState


def refusals(state: AccountState, events: Sequence[OrderEvent]) -> ChangeSet:
    """Return a compliance record line and an event for each venue refusal in a step's events. state: the account after the step.

    A cancel or change that came too late is left out, because the end of the order explains it. When an exit is tried again and
    again, each refusal gets a line but only the first an alert; ExitFailed covers the rest.
    """
    lines, alerts = [], []
    for event in events:
        match event:
            case OrderRejected():
                what = "order"
            case OrderCancelRejected():
                what = "cancel"
            case OrderUpdateRejected():
                what = "change"
            case _:
                continue
        if what != "order" and not event.detail:
            continue
        order = state.orders.get(ClientOrderId(event.client_order_id))
        lines.append(
            RiskEvent(
                RiskEventKind.VENUE_REFUSED,
                event.event_id[:200],
                event.at,
                event.reason[:200],
                symbol=None if order is None else Symbol(order.terms.symbol),
                who=state.account.venue,
                detail=f"{what} {event.client_order_id}: {event.detail or event.reason}",
            )
        )
        if order is not None and not order.terms.attempt:
            alerts.append(
                VenueRefused(
                    account=state.account.account,
                    venue=state.account.venue,
                    client_order_id=event.client_order_id,
                    request=getattr(event, "request_id", None),
                    what=what,
                    symbol=order.terms.symbol,
                    side=order.terms.side,
                    at=event.at,
                    reason=event.reason,
                    detail=event.detail,
                    decided_at=order.terms.decided_at,
                )
            )
    return ChangeSet(risk=tuple(lines), events=tuple(alerts))
