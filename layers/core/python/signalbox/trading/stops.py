"""Keeps a stop for a trade's position at a live venue: sends, resizes, restores it, or gives it up once a bar passed it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.exact import exactly
from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import OrderUpdateRequested
from signalbox.orders.messages import OrderInstruction
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import VenueDifference
from signalbox.orders.replacing import REPLACE_FAILED
from signalbox.orders.terms import Leg
from signalbox.orders.transitions import OrderState
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import StopPassed
from signalbox.trading.exit_attempts import EXIT_WITHIN, send_exit
from signalbox.trading.open_quantity import exits_of, in_the_way, sendable, shown, within_reach
from signalbox.trading.order_requests import ask, keep_cancelling
from signalbox.trading.state import Trade

RESIZE: Final = "resize"  # prefix of cancel ids that make way for a stop of another size
WORKING: Final = frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED})
STOP_TRIES: Final = 3  # stops in a row that the venue refuses; then the trade is closed


def is_failed_stop(order: Order) -> bool:
    """Whether a stop was refused, expired or lost in a change, without a fill. Another stop may be sent."""
    was_refused = order.state in {OrderState.REJECTED, OrderState.EXPIRED, OrderState.DENIED} or order.reason == REPLACE_FAILED
    return order.terms.leg is Leg.STOP_LOSS and was_refused and not order.filled


def is_resized(order: Order) -> bool:
    """Whether a stop was cancelled to make way for one of another size."""
    return order.pending_cancel is not None and order.pending_cancel.request_id.startswith(RESIZE)


def stop_passed(draft: AccountDraft, trade: Trade, at: datetime) -> bool:
    """Return whether a whole bar closed beyond the stop without the stop closing the trade. If so, record and announce it.

    Example: a stop-limit order that the market jumped over stays open. Also true if no stop could be placed before the bar.
    """
    mark = draft.marks.get(trade.symbol)
    if mark is None or (mark.price - trade.stop_loss) * trade.side.sign >= 0:
        return False
    entry = draft.orders[trade.entry]
    stop = open_stop(draft, trade)
    since = entry.trades[0].at if stop is None else stop.accepted_at or stop.terms.send_before - EXIT_WITHIN
    if mark.at - ONE_MINUTE < since:
        return False
    draft.record(
        RiskEvent(
            RiskEventKind.STOP_PASSED,
            trade.entry,
            at,
            Leg.STOP_LOSS,
            symbol=trade.symbol,
            limit=trade.stop_loss,
            value=mark.price,
            detail="a bar closed beyond the stop, which is still open: a market order closes the trade",
        )
    )
    draft.announce(
        StopPassed(
            account=draft.account.account,
            entry=trade.entry,
            symbol=trade.symbol,
            side=trade.side,
            at=at,
            stop_loss=trade.stop_loss,
            price=mark.price,
            decided_at=trade.decided_at,
        )
    )
    return True


def open_stop(draft: AccountDraft, trade: Trade) -> Order | None:
    """Return the open stop of a trade, or None."""
    stops = (o for o in exits_of(draft, trade) if o.terms.leg is Leg.STOP_LOSS and not o.state.is_closed)
    return next(stops, None)


def restore_stop(draft: AccountDraft, trade: Trade, held: Decimal, at: datetime) -> None:
    """Put the stop back until the next exit is due, once after each failed exit."""
    if not draft.is_live or trade.progress.stop_restored or open_stop(draft, trade) is not None:
        return
    quantity = sendable(draft, trade.symbol, held)
    if quantity:
        draft.set_trade(trade.after(progress=trade.progress.after(stop_restored=True)))
        send_exit(draft, draft.trades[trade.symbol], Leg.STOP_LOSS, quantity, at)


def protect(draft: AccountDraft, trade: Trade, held: Decimal, at: datetime) -> bool:
    """Keep a stop at the venue for exactly the held quantity. Return False if a new stop was refused at once."""
    stop = open_stop(draft, trade)
    if stop is None:
        return _place(draft, trade, held, at)
    _fit(draft, trade, stop, held, at)
    return True


def _place(draft: AccountDraft, trade: Trade, held: Decimal, at: datetime) -> bool:
    for order in in_the_way(draft, trade.symbol, trade.side.opposite, held, ()):
        keep_cancelling(draft, order, f"protect-{trade.entry}", at)
    quantity = sendable(draft, trade.symbol, held)
    return not quantity or not send_exit(draft, trade, Leg.STOP_LOSS, quantity, at).state.is_closed


def _fit(draft: AccountDraft, trade: Trade, stop: Order, held: Decimal, at: datetime) -> None:
    """Resize the stop to the held quantity where the venue can; otherwise cancel it, so that a new one takes its place."""
    if _differs(draft, stop):
        keep_cancelling(draft, stop, f"{RESIZE}-differs-{len(stop.trades)}", at)  # a new stop with the right quantity follows
        return
    if stop.state in WORKING and trade.progress.stops_failed:
        draft.set_trade(trade.after(progress=trade.progress.after(stops_failed=0)))
    wanted = shown(draft, trade.symbol, held)
    if wanted > stop.leaves:  # others' reserved quantity keeps the stop from growing, but never shrinks it
        wanted = max(min(wanted, within_reach(draft, trade.symbol)), stop.leaves)
    wanted = _sum(stop.filled, wanted)
    if stop.state not in WORKING or stop.pending_update is not None or stop.quantity == wanted:
        return
    request_id = f"{RESIZE}-{wanted}-{len(stop.trades)}"
    if not wanted:  # the venue has nothing left of the position: somebody closed it there
        keep_cancelling(draft, stop, request_id, at)
        return
    asked = OrderUpdateRequested(client_order_id=stop.client_order_id, at=at, request_id=request_id, quantity=wanted)
    if asked.event_id in stop.seen:  # the venue did not carry out this change
        keep_cancelling(draft, stop, request_id, at)
        return
    draft.take(asked)
    ask(draft, OrderInstruction.REPLACE, stop, request_id, at, quantity=wanted)


def _differs(draft: AccountDraft, order: Order) -> bool:
    """Whether two reads of the venue in a row show a quantity that somebody changed. A changed price is accepted."""
    key = (VenueDifference.ORDER_DIFFERS, order.client_order_id)
    found = (doubt for doubt in draft.at_venue.doubts if doubt.reported and doubt.key == key)
    return any(doubt.ledger.split()[0] != doubt.venue.split()[0] for doubt in found)


@exactly
def _sum(one: Decimal, other: Decimal) -> Decimal:
    return one + other
