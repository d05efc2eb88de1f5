"""Applies what a venue reports about an account: what it did to an order, or a whole view to compare with. Pure.

venue_comparison.py compares and decides when to ask for a view. After either report, the rule monitor observes the fills,
late fills of finished trades are closed, and exits are managed.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderFilled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.orders.order import Order
from signalbox.portfolio.entries import Entry
from signalbox.trading.changes import NO_CHANGES, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.exits import manage_exits
from signalbox.trading.monitoring import observe_reports
from signalbox.trading.remainders import close_stray
from signalbox.trading.state import KILL_SWITCH, AccountState
from signalbox.trading.venue_comparison import compared
from signalbox.trading.venue_events import take_events


def report(
    state: AccountState, reported: ExecutionReported | Sequence[ExecutionReported], entries: Sequence[Entry] = ()
) -> Transition:
    """Apply one or more execution reports, in the given order.

    Their orders must be in the account state, however old; the ledger loads them by id. An event that its order refuses (a
    conflicting trade, an illegal transition) is recorded, halts the account and is not applied. A fill beyond the ordered
    quantity is booked and halts the account. Raises
    RebookNeededError when a fill is older than the newest booked entry: call again with all `entries` of the account.
    """
    reports = (reported,) if isinstance(reported, ExecutionReported) else tuple(reported)
    if not reports:
        return state, NO_CHANGES
    draft = AccountDraft(state, max(one.reported_at for one in reports), entries)
    for one in reports:
        take_events(draft, one.events)
    return _after_reports(draft)


def _after_reports(draft: AccountDraft) -> Transition:
    if not draft.order_events and not draft.risk:
        return draft.state, NO_CHANGES
    _manage(draft)
    return draft.done()


def compare(state: AccountState, viewed: VenueViewReported, entries: Sequence[Entry] = ()) -> Transition:
    """Compare the ledger with a venue's view (trading/venue_comparison.py), then manage exits."""
    draft = compared(state, viewed, entries)
    if draft is None:
        return state, NO_CHANGES
    _manage(draft)  # even without events, because an exit may have waited for this view
    return draft.done()


def _manage(draft: AccountDraft) -> None:
    observe_reports(draft)
    _close_strays(draft)
    manage_exits(draft, draft.at)


def _close_strays(draft: AccountDraft) -> None:
    """Close what our orders filled after their trade was over, because no trade manages that position."""
    for event in draft.order_events:
        if not isinstance(event, OrderFilled):
            continue
        order = draft.orders[ClientOrderId(event.client_order_id)]
        if not _is_stray(draft, order):
            continue
        draft.record(
            RiskEvent(
                RiskEventKind.LATE_FILL,
                event.event_id[:200],
                draft.at,
                order.terms.leg,
                symbol=Symbol(event.symbol),
                value=order.terms.signed(event.quantity),
                detail=f"{order.client_order_id} filled after its trade was over: a market order closes the fill",
            )
        )
        close_stray(draft, Symbol(event.symbol), order.terms.signed(event.quantity), draft.at, order.client_order_id)


def _is_stray(draft: AccountDraft, order: Order) -> bool:
    """Whether an order is ours and its trade or closing is over. Orders that people send are left alone."""
    if order.terms.strategy == KILL_SWITCH:
        closing = draft.closings.get(Symbol(order.terms.symbol))
        return closing is None or closing.order != order.client_order_id
    return order.terms.strategy == draft.account.strategy and not any(t.owns(order) for t in draft.trades.values())
