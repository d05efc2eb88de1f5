"""Applies order events that a venue reports to an account.

An event that cannot be applied to an order is recorded and halts the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from signalbox.exact import plain
from signalbox.market.candles import Symbol
from signalbox.orders.errors import EventRefusedError
from signalbox.orders.events import OrderEvent
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.portfolio.errors import EntryConflictError
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import SIGNALBOX, AccountDraft
from signalbox.trading.kill_switch import set_halt
from signalbox.trading.state import Halt


def take_events(draft: AccountDraft, events: Sequence[OrderEvent]) -> None:
    """Apply the order events of a venue, and book the fills.

    An event that its order refuses is recorded, halts the account and is not applied. A fill beyond the order is booked,
    because the money moved, and halts the account too.
    """
    for event in events:
        order = draft.orders.get(ClientOrderId(event.client_order_id))
        if order is None:
            _refuse(draft, event, f"{event.client_order_id}: the account has no such order")
            continue
        try:
            after = draft.take_reported(event)
        except (EventRefusedError, EntryConflictError) as refused:
            _refuse(draft, event, str(refused))
            continue
        if (more := after.overfilled) > order.overfilled:
            _overfilled(draft, after, event, more)
    draft.book()  # all at once, so that late fills cost one rebooking instead of one each


def _overfilled(draft: AccountDraft, order: Order, event: OrderEvent, more: Decimal) -> None:
    """Record that a venue filled more than was ordered, and halt the account: somebody changed the order there, or it erred."""
    draft.record(
        RiskEvent(
            RiskEventKind.OVERFILL,
            event.event_id[:200],
            draft.at,
            order.terms.leg,
            symbol=Symbol(order.terms.symbol),
            value=order.terms.signed(more),
            who=SIGNALBOX,
            detail=f"{order.client_order_id}: ordered {plain(order.quantity)}, filled {plain(order.filled)}; the fill is booked",
        )
    )
    set_halt(draft, Halt(HaltLevel.HALT, SIGNALBOX, RiskEventKind.OVERFILL, draft.at))


def _refuse(draft: AccountDraft, event: OrderEvent, why: str) -> None:
    """Record an event that fits no order, and halt the account."""
    draft.record(
        RiskEvent(RiskEventKind.EVENT_REFUSED, event.event_id[:200], draft.at, event.kind, who=SIGNALBOX, detail=why[:500])
    )
    set_halt(draft, Halt(HaltLevel.HALT, SIGNALBOX, "EVENT_REFUSED", draft.at))
