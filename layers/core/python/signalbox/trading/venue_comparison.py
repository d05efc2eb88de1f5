"""Reconciles a live account with its venue: decides when to request a view and what it must show, and applies it. Pure.

A view is not taken in one instant: the venue trades while it is read, and lists some things late. So views overlap. What a view
does not show counts as missing only after the settling time (orders/reconciliation.py). A difference stops the account only
when a second view confirms it (at_venue.py). Unanswered requests are followed up within seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from signalbox.exact import ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.errors import ViewPartsError
from signalbox.orders.events import OrderCanceled, OrderEvent, OrderExpired, OrderLost
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import OrderInstruction, RestingExit, VenueViewReported, VenueViewRequested
from signalbox.orders.reconciliation import (
    FORGOTTEN,
    NEVER_SENT,
    Action,
    CancelStray,
    Dust,
    HaltAccount,
    Reconciliation,
    RecordEvent,
    VenueDifference,
    Wait,
    reconcile,
)
from signalbox.orders.terms import OrderType, TimeInForce
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_port import SETTLE
from signalbox.orders.venue_view import LocalView
from signalbox.portfolio.entries import Entry, Transfer, venue_key
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingMode
from signalbox.trading.at_venue import (
    KEPT_ABSENT,
    NEXT_VIEW_AFTER,
    AtVenue,
    Doubt,
    VanishedOrder,
    foreign_orders,
    missed,
    review_doubts,
)
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import SIGNALBOX, AccountDraft
from signalbox.trading.errors import RebookNeededError
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.kill_switch import set_halt
from signalbox.trading.order_requests import ask
from signalbox.trading.review import with_review
from signalbox.trading.state import AccountState, Halt
from signalbox.trading.venue_events import take_events

COMPARE_EVERY: Final = timedelta(minutes=5)
COMPARE_HELD: Final = timedelta(seconds=55)  # while a position is held: once a minute, however long a view takes
REQUERY_AFTER: Final = timedelta(seconds=30)  # while something sent is unanswered
UNANSWERED: Final = timedelta(seconds=15)  # after this without a view, ask again
LOOKBACK: Final = timedelta(days=1)  # how far the first comparison looks back
OVERLAP: Final = timedelta(minutes=15)  # of two views, because the next view shows what the venue listed late
WHY_LENGTH: Final = 256  # maximum length of a halt's reason
FOLLOWED_FOR: Final = timedelta(minutes=2)  # after this, unanswered requests are followed up once a minute
_IMMEDIATE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})


def needs_comparison(state: AccountState, at: datetime) -> bool:
    """Return whether a live account is due for a comparison: the last one is too old or missing, or a sent request is unanswered.

    With an open position it is due every minute: only a view reveals that somebody cancelled the stop in the venue's own app.
    """
    if state.account.mode is not TradingMode.LIVE:
        return False
    if state.compared_at is None:
        return True
    age = at - state.compared_at
    if age >= COMPARE_EVERY or (age >= COMPARE_HELD and state.books.held):
        return True
    return age >= REQUERY_AFTER and _wants_answer(state, at) is not None


def follow_up(state: AccountState, at: datetime, *, came: datetime | None = None) -> Transition:
    """Request a view within seconds if a request to the live account's venue is unanswered, or a difference needs a second view.

    Only one view is on its way at a time. came: when the view that just arrived was asked for; it may be too old to compare.
    After FOLLOWED_FOR without an answer, `needs_comparison` takes over.
    """
    if state.account.mode is not TradingMode.LIVE or (since := _wants_answer(state, at)) is None or at - since > FOLLOWED_FOR:
        return state, NO_CHANGES
    asked_at = state.at_venue.asked_at
    answered = asked_at is None or any(one is not None and one >= asked_at for one in (came, state.compared_at))
    if not answered and asked_at is not None and at - asked_at < UNANSWERED:
        after, reviews = with_review(state, at, asked_at + UNANSWERED)
        return after, ChangeSet(events=reviews)
    after, changes = request_view(state, at, not_before=at + NEXT_VIEW_AFTER)
    after, reviews = with_review(after, at, at + NEXT_VIEW_AFTER + UNANSWERED)  # asks again if the view does not arrive
    return after, changes + ChangeSet(events=reviews)


def _wants_answer(state: AccountState, at: datetime) -> datetime | None:
    """Return when the newest thing that needs an answer from the venue began, None if nothing does.

    These are: an unanswered send, cancel or change; an order that must trade at once and has not ended; an open doubt; an exit
    that failed after the newest view, perhaps because the position is gone; a close that has to wait for what a view shows.
    """
    found = [doubt.since for doubt in state.at_venue.open_doubts]
    found += _held_up(state, at)
    found += [
        failed
        for failed in (one.failed_at for one in state.leaving)
        if failed is not None and (state.compared_at is None or state.compared_at < failed)
    ]
    for order in state.orders.values():
        if order.state.is_closed:
            continue
        pending = [one.requested_at for one in (order.pending_cancel, order.pending_update) if one is not None]
        found += pending
        is_immediate = order.terms.type is OrderType.MARKET or order.terms.time_in_force in _IMMEDIATE
        if (order.is_ambiguous or is_immediate) and (began := order.unconfirmed_since or order.accepted_at or order.submitted_at):
            found.append(began)
    return max(found, default=None)


def _held_up(state: AccountState, at: datetime) -> Iterator[datetime]:
    """Yield since when a position that has to be closed has no exit, although one is due.

    The venue shows less than the books hold, or others' orders reserve it: only another view says that an exit can go.
    """
    found = [trade.progress for trade in state.trades.values() if trade.exit is None]
    for closing in state.closings.values():
        is_wanted = (closing.is_flattened or closing.quantity) and state.books.position(closing.symbol).quantity
        if closing.order is None and is_wanted:
            found.append(closing.progress)
    for progress in found:
        if progress.since is not None and (due := progress.retry_at or progress.since) <= at:
            yield due


def request_view(state: AccountState, at: datetime, *, not_before: datetime | None = None) -> Transition:
    """Ask the venue for a view of the account. not_before: the execution function waits until then.

    The view reaches back before the newest comparison, because venues list some things late, and includes orders that were ended
    because no view showed them.
    """
    open_orders = [order for order in state.orders.values() if not order.state.is_closed]
    known = state.at_venue
    absent = tuple(one for one in known.absent if at - one.sent_at <= KEPT_ABSENT)
    sent = [order.submitted_at for order in open_orders if order.submitted_at is not None]
    sent += [one.sent_at for one in absent if at - one.sent_at <= 4 * OVERLAP]
    newest = at - LOOKBACK if state.compared_at is None else state.compared_at - OVERLAP
    request = VenueViewRequested(
        account=state.account.account,
        venue=state.account.venue,
        at=at,
        since=min([*sent, newest]),
        orders=tuple(sorted({*(order.client_order_id for order in open_orders), *(one.client_order_id for one in absent)})),
        symbols=tuple(sorted({*INSTRUMENTS, *state.books.positions, *(o.terms.symbol for o in state.orders.values())})),
        exits=tuple(RestingExit.of(o) for o in open_orders if o.terms.reduce_only and o.terms.type is not OrderType.MARKET),
        not_before=not_before,
    )
    asked = known.after(absent=absent, asked_at=not_before or at)
    return state.after(at_venue=asked), ChangeSet(events=(request,))


def compared(state: AccountState, viewed: VenueViewReported, entries: Sequence[Entry] = ()) -> AccountDraft | None:
    """Compare the ledger with a view: record what was missed, cancel stray orders, halt for differences that stay unexplained.

    Returns None for a view older than the newest fact in the ledger. The orders that its trades name must be in the account
    state. A difference that a trading venue may explain becomes a doubt, and halts the account when a later view confirms it.
    Raises ViewPartsError for a part of a view, because only a whole view shows what is missing; RebookNeededError for late fills,
    and for transfers, because only all `entries` show which transfers are booked.
    """
    if viewed.parts != 1:
        raise ViewPartsError(f"expected a whole view, got part {viewed.part} of {viewed.parts}; join the parts first")
    newest = [t.at for o in state.orders.values() for t in o.trades] + [
        o.submitted_at for o in state.orders.values() if o.submitted_at
    ]
    if state.compared_at is not None:  # so that a late or repeated view is ignored
        newest.append(state.compared_at + timedelta.resolution)
    if any(instant > viewed.asked_at for instant in newest):
        return None
    if viewed.transfers and not entries:
        raise RebookNeededError(f"{state.account.account}: a view with transfers needs all entries, to see which are booked")
    draft = AccountDraft(state, viewed.asked_at, entries)
    before, view = state.at_venue, viewed.as_view()
    if view.instruments:
        draft.keep_at_venue(before.after(instruments=view.instruments))
    positions = {symbol: p.quantity for symbol, p in state.books.positions.items() if p.quantity}
    local = LocalView(state.account.account, tuple(state.orders.values()), positions)
    found = reconcile(local, view, settle=SETTLE, missed=missed(before.doubts, viewed.asked_at), steps=draft.at_venue.steps)
    take_events(draft, found.events)
    _review(draft, before, found, viewed.asked_at)
    ended = _absent(found.events, state)
    others = foreign_orders(view.orders, state.orders.keys())
    draft.keep_at_venue(draft.at_venue.after(absent=(*before.absent, *ended), foreign=others))
    for action in found.actions:
        _act(draft, action, viewed.asked_at)
    _report_others(draft, viewed)
    _book_transfers(draft, viewed, entries)
    draft.keep_compared(viewed.asked_at)
    return draft


def _review(draft: AccountDraft, before: AtVenue, found: Reconciliation, asked_at: datetime) -> None:
    """Turn differences into doubts, and halt the account for each one that a second view confirms."""
    review = review_doubts(before.doubts, [one for one in found.actions if isinstance(one, HaltAccount)], asked_at)
    for doubt in review.new:
        draft.record(_difference(RiskEventKind.DOUBTED, doubt, asked_at, draft.at))
    for stop in review.facts:
        draft.record(_difference(RiskEventKind.DIFFERENCE, stop, asked_at, draft.at))
        why = f"{stop.difference} {stop.subject}: {stop.ledger} in the ledger, {stop.venue} at the venue"
        set_halt(draft, Halt(HaltLevel.HALT, SIGNALBOX, why[:WHY_LENGTH], draft.at))
        if stop.difference is VenueDifference.ORDER_VANISHED:
            _give_up(draft, ClientOrderId(stop.subject), asked_at)
    draft.keep_at_venue(draft.at_venue.after(doubts=review.doubts))


def _give_up(draft: AccountDraft, key: ClientOrderId, at: datetime) -> None:
    """Record an exit as lost that two views did not show while its cancel was pending, so that the next exit can go.

    A fill of it can still be booked; what it then closes too much is closed again.
    """
    order = draft.orders.get(key)
    if order is not None and order.terms.reduce_only and order.state is OrderState.PENDING_CANCEL:
        take_events(draft, [OrderLost(client_order_id=key, at=at)])


def _act(draft: AccountDraft, action: Action, asked_at: datetime) -> None:
    match action:
        case CancelStray():
            stray = draft.orders[ClientOrderId(action.order.client_order_id or "")]
            ask(draft, OrderInstruction.CANCEL, stray, f"stray-{asked_at.isoformat()}", draft.at)
        case RecordEvent():
            event = action.event
            draft.record(RiskEvent(RiskEventKind.RECONCILED, event.event_id, draft.at, event.kind, detail=event.client_order_id))
        case Dust():
            draft.record(
                RiskEvent(
                    RiskEventKind.DUST,
                    f"{action.symbol}:{action.ledger}:{action.venue}",  # so the same dust is recorded once
                    draft.at,
                    "POSITION_DIFFERS",
                    symbol=Symbol(action.symbol),
                    limit=action.ledger,
                    value=action.venue,
                    detail=f"less than the step {action.step}; `signalbox accounts adopt` books it",
                )
            )
        case HaltAccount() | Wait():  # handled before; the next comparison decides
            pass
        case _:
            assert_never(action)


def _report_others(draft: AccountDraft, viewed: VenueViewReported) -> None:
    """Record positions of others at the same venue account whenever they change. We never trade them.

    Their profit and loss are in the venue's equity, which a firm's limits are measured by, but not in ours.
    """
    before = dict(draft.at_venue.others)
    now = {symbol: quantity for symbol, quantity in sorted(viewed.others.items()) if quantity}
    for symbol in sorted({*before, *now}):
        was, quantity = before.get(symbol, ZERO), now.get(symbol, ZERO)
        if was != quantity:
            key = f"{symbol}:{quantity}:{viewed.asked_at.isoformat()}"
            detail = "not ours, never traded by us; counts in the venue's equity, not in ours"
            draft.record(
                RiskEvent(
                    RiskEventKind.OTHERS_AT_VENUE,
                    key,
                    draft.at,
                    "POSITION",
                    symbol=Symbol(symbol),
                    limit=was,
                    value=quantity,
                    detail=detail if quantity else "the position is closed",
                )
            )
    draft.keep_at_venue(draft.at_venue.after(others=tuple(now.items())))


def _difference(kind: RiskEventKind, of: HaltAccount | Doubt, asked_at: datetime, at: datetime) -> RiskEvent:
    return RiskEvent(
        kind,
        f"{of.difference}:{of.subject}:{asked_at.isoformat()}",
        at,
        of.difference,
        limit=of.ledger,
        value=of.venue,
        detail=of.subject,
    )


def _absent(events: Sequence[OrderEvent], state: AccountState) -> list[VanishedOrder]:
    """Return the orders that these events end because no view showed them. Later views keep asking about them for a while."""
    found = []
    for event in events:
        by_absence = isinstance(event, OrderLost) or (
            isinstance(event, (OrderCanceled, OrderExpired)) and event.reason in {FORGOTTEN, NEVER_SENT}
        )
        if by_absence:
            order = state.orders[ClientOrderId(event.client_order_id)]
            found.append(VanishedOrder(order.client_order_id, order.submitted_at or order.terms.decided_at))
    return found


def _book_transfers(draft: AccountDraft, viewed: VenueViewReported, entries: Sequence[Entry]) -> None:
    """Book transfers that the venue reports, once each under the venue's own id. Those before the account's start are capital."""
    known = {entry.entry_id: entry for entry in entries}
    opened_at = min((entry.at for entry in entries), default=viewed.asked_at)
    moved = []
    for one in viewed.transfers:
        transfer = Transfer(account=viewed.account, key=venue_key(one.key), at=one.at, amount=one.amount)
        booked = known.setdefault(transfer.entry_id, transfer)
        if booked is transfer and one.at > opened_at and one.amount:
            moved.append(transfer)
        elif isinstance(booked, Transfer) and booked.amount != one.amount:
            draft.record(
                RiskEvent(
                    RiskEventKind.TRANSFER_DIFFERS,
                    f"{transfer.key}:{one.amount}",
                    draft.at,
                    "AMOUNT",
                    limit=booked.amount,
                    value=one.amount,
                    detail=one.key,
                )
            )
    draft.book_entries(moved)
