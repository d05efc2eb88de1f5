"""What a venue refused, told in its own words: a line in the compliance record, and an event that people are alerted to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderCancelRejected, OrderEvent, OrderRejected, OrderUpdateRejected
from signalbox.orders.identity import ClientOrderId
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.events import VenueRefused
from signalbox.trading.state import AccountState


def refusals(state: AccountState, events: Sequence[OrderEvent]) -> ChangeSet:
    """Return what is told of the refusals among a step's events; `state` is the account after it.

    A cancel or change that came too late is told by nothing: the order's end says it. Of an exit that is tried again and
    again the first refusal is alerted to, and each has its line; the alarm about an exit that fails is that of the exits.
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
