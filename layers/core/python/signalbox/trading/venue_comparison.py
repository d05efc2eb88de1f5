"""A live account compared with its venue: when to ask, what to ask, and what an answer changes. Pure.

A view is a photograph with a long exposure: the venue trades while it is read, and shows some things late. So views overlap,
what a view does not show is no fact before it has settled (orders/reconciliation.py), a difference has to be seen twice
before it stops the account (at_venue.py), and what wants an answer is asked about within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    LOOK_AGAIN,
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
COMPARE_HELD: Final = timedelta(seconds=55)  # while something is held: once a minute, whatever a view took to come
ASK_AGAIN: Final = timedelta(seconds=30)  # while something sent has no answer
UNANSWERED: Final = timedelta(seconds=15)  # a view that has not come by then is asked for again
LOOK_BACK: Final = timedelta(days=1)  # of a first comparison
OVERLAP: Final = timedelta(minutes=15)  # of two views: what a venue shows late is in the next one
WHY_LENGTH: Final = 256  # of an event's text
FOLLOWED_FOR: Final = timedelta(minutes=2)  # after this what has no answer is asked about once a minute
_IMMEDIATE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})


def needs_comparison(state: AccountState, at: datetime) -> bool:
    """Whether a live account should be compared with its venue now: never yet, a while ago, or something has no answer.

    Every minute while a position is open: nothing else reveals a stop that somebody cancelled in the venue's own app.
    """
    if state.account.mode is not TradingMode.LIVE:
        return False
    if state.compared_at is None:
        return True
    age = at - state.compared_at
    if age >= COMPARE_EVERY or (age >= COMPARE_HELD and _holds(state)):
        return True
    return age >= ASK_AGAIN and _wants_answer(state) is not None


def _holds(state: AccountState) -> bool:
    return any(position.quantity for position in state.books.positions.values())


def follow_up(state: AccountState, at: datetime, *, came: datetime | None = None) -> Transition:
    """Ask the venue again within seconds while something of a live account has no answer, or a view has to be looked at twice.

    One view at a time is asked for; `came`: when the one that is here was asked, for it may have been too old to compare.
    What stays without an answer for FOLLOWED_FOR is left to `needs_comparison`.
    """
    if state.account.mode is not TradingMode.LIVE or (since := _wants_answer(state)) is None or at - since > FOLLOWED_FOR:
        return state, NO_CHANGES
    asked_at = state.at_venue.asked_at
    answered = asked_at is None or any(one is not None and one >= asked_at for one in (came, state.compared_at))
    if not answered and asked_at is not None and at - asked_at < UNANSWERED:
        after, reviews = with_review(state, at, asked_at + UNANSWERED)
        return after, ChangeSet(events=reviews)
    after, changes = request_view(state, at, not_before=at + LOOK_AGAIN)
    after, reviews = with_review(after, at, at + LOOK_AGAIN + UNANSWERED)  # a view that does not come is asked for again
    return after, changes + ChangeSet(events=reviews)


def _wants_answer(state: AccountState) -> datetime | None:
    """Return since when something wants an answer of the venue soon, the newest of it; None when nothing does.

    A send, cancel or change that got none; an order that trades at once or never, and has not ended; a doubt; an exit that
    failed since the newest view: what refuses it may be that the position is gone.
    """
    found = [doubt.since for doubt in state.at_venue.open_doubts]
    found += [
        at
        for at in (one.failed_at for one in state.leaving)
        if at is not None and (state.compared_at is None or state.compared_at < at)
    ]
    for order in state.orders.values():
        if order.state.is_closed:
            continue
        pending = [one.requested_at for one in (order.pending_cancel, order.pending_update) if one is not None]
        found += pending
        is_immediate = order.terms.type is OrderType.MARKET or order.terms.time_in_force in _IMMEDIATE
        if (order.is_ambiguous or is_immediate) and (at := order.unconfirmed_since or order.accepted_at or order.submitted_at):
            found.append(at)
    return max(found, default=None)


def request_view(state: AccountState, at: datetime, *, not_before: datetime | None = None) -> Transition:
    """Ask the venue what it has of the account; `not_before`: the edge waits until then.

    It reaches back before the newest comparison, for a venue shows some things late, and asks about orders that were
    recorded as over because no view showed them.
    """
    open_orders = [order for order in state.orders.values() if not order.state.is_closed]
    known = state.at_venue
    absent = tuple(one for one in known.absent if at - one.sent_at <= KEPT_ABSENT)
    sent = [order.submitted_at for order in open_orders if order.submitted_at is not None]
    sent += [one.sent_at for one in absent if at - one.sent_at <= 4 * OVERLAP]
    newest = at - LOOK_BACK if state.compared_at is None else state.compared_at - OVERLAP
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
    """Compare the ledger with what the venue has: record what was missed, cancel strays, stop for what nothing explains.

    A view that is older than what is known here compares nothing. The orders its trades name have to be in the account state. A
    difference that a venue in motion explains is doubted first, and stops the account when a later view shows it again.
    Raises RebookNeededError as `report` does, and for a view with transfers, which only the `entries` tell from those that
    are booked; ViewPartsError for a part of a view: only a whole one shows what is not there.
    """
    if viewed.parts != 1:
        raise ViewPartsError(f"expected a whole view, was part {viewed.part} of {viewed.parts}")
    newest = [t.at for o in state.orders.values() for t in o.trades] + [
        o.submitted_at for o in state.orders.values() if o.submitted_at
    ]
    if state.compared_at is not None:  # one that comes late, or the same again
        newest.append(state.compared_at + timedelta.resolution)
    if any(instant > viewed.asked_at for instant in newest):
        return None
    if viewed.transfers and not entries:
        raise RebookNeededError(f"{state.account.account}: expected all entries, to tell which transfers are booked")
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
    _tell_of_others(draft, viewed)
    _book_transfers(draft, viewed, entries)
    draft.keep_compared(viewed.asked_at)
    return draft


def _review(draft: AccountDraft, before: AtVenue, found: Reconciliation, asked_at: datetime) -> None:
    """Doubt what one view shows, stop for what a second one shows too."""
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
    """Record an exit as lost that two views did not show and that was being taken back: the next one may go.

    A fill of it stays legal, and what it then closes too much is closed again.
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
                    f"{action.symbol}:{action.ledger}:{action.venue}",  # the same dust is told once
                    draft.at,
                    "POSITION_DIFFERS",
                    symbol=Symbol(action.symbol),
                    limit=action.ledger,
                    value=action.venue,
                    detail=f"less than the step {action.step}; `signalbox accounts adopt` books it",
                )
            )
        case HaltAccount() | Wait():  # reviewed before; the next comparison tells
            pass
        case _:
            assert_never(action)


def _tell_of_others(draft: AccountDraft, viewed: VenueViewReported) -> None:
    """Tell what others hold in the account at the venue, each time it is another. It is theirs: nothing is done about it.

    Its profit and loss are in the venue's equity, which a firm's limits count, and not in ours.
    """
    before = dict(draft.at_venue.others)
    now = {symbol: quantity for symbol, quantity in sorted(viewed.others.items()) if quantity}
    for symbol in sorted({*before, *now}):
        was, quantity = before.get(symbol, ZERO), now.get(symbol, ZERO)
        if was != quantity:
            key = f"{symbol}:{quantity}:{viewed.asked_at.isoformat()}"
            detail = "not ours and never touched; the venue's equity has it, ours does not"
            draft.record(
                RiskEvent(
                    RiskEventKind.OTHERS_AT_VENUE,
                    key,
                    draft.at,
                    "POSITION",
                    symbol=Symbol(symbol),
                    limit=was,
                    value=quantity,
                    detail=detail if quantity else "it is gone",
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
    """Return the orders that these events end because no view showed them: they are asked about for a while."""
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
    """Book the money that moved at the venue, once, under the venue's own id. What came before the account did is its capital."""
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
