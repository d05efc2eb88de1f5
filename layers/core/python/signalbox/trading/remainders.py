"""Closes positions that belong to no open trade: late fills of a closed trade, and everything that FLATTEN has to close."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.draft import AccountDraft
from signalbox.trading.exit_attempts import EXIT_WITHIN, after_attempt, alert_if_late, hurry, is_over
from signalbox.trading.open_quantity import exits_of, held_by, in_the_way, keys_of, sendable
from signalbox.trading.order_requests import keep_cancelling
from signalbox.trading.state import KILL_SWITCH, Closing, ExitProgress


@exactly
def close_stray(draft: AccountDraft, symbol: Symbol, quantity: Decimal, at: datetime, entry: ClientOrderId | None) -> None:
    """Mark a signed quantity of no open trade for closing, such as a fill that came after its trade was over."""
    known = draft.closings.get(symbol) or Closing(symbol, ZERO, ExitProgress(since=at), entry)
    draft.keep_closing(known.after(quantity=known.quantity + quantity, entry=known.entry or entry))


@exactly
def _rest(draft: AccountDraft, symbol: Symbol) -> Decimal:
    """Return the signed part of a position that belongs to no open trade."""
    quantity, trade = draft.quantity(symbol), draft.trades.get(symbol)
    if trade is None:
        return quantity
    return quantity - held_by(draft, trade) * trade.side.sign


@exactly
def _to_close(draft: AccountDraft, closing: Closing) -> Decimal:
    """Return the signed quantity still to be closed: at most what belongs to no trade, and never a reversal."""
    rest = _rest(draft, closing.symbol)
    if closing.is_flattened:
        return rest
    if rest * closing.quantity <= 0:
        return ZERO
    return min(rest, closing.quantity, key=abs)


def manage_remainder(draft: AccountDraft, symbol: Symbol, at: datetime) -> None:
    """Take the next step towards closing the part of a position that belongs to no open trade."""
    closing, is_flattened = draft.closings.get(symbol), draft.halt_level(at) is HaltLevel.FLATTEN
    if is_flattened and closing is None and _rest(draft, symbol):
        closing = Closing(symbol, ZERO, ExitProgress(since=at))
    if closing is None:
        return
    if closing.is_flattened is not is_flattened:
        closing = closing.after(is_flattened=is_flattened, progress=closing.progress.after(retry_at=None))
    if closing.order is not None and is_over(draft, closing.order):
        closing = _closing_after(draft, closing, at)
    wanted = _to_close(draft, closing)
    if closing.order is None and not wanted:
        if closing.progress.since is not None and closing.progress.since < at:
            draft.end_closing(symbol)
        else:
            draft.keep_closing(closing.after(quantity=ZERO))
        return
    draft.keep_closing(closing)
    _close(draft, closing, wanted, at)


def is_a_persons_reduction(draft: AccountDraft, order: Order) -> bool:
    """Whether this is a person's reducing order, which FLATTEN must cancel so that the position is not closed twice."""
    if not order.terms.reduce_only or order.terms.strategy == KILL_SWITCH:
        return False
    trade = draft.trades.get(Symbol(order.terms.symbol))
    return trade is None or order.client_order_id not in keys_of(exits_of(draft, trade))


@exactly
def _closing_after(draft: AccountDraft, closing: Closing, at: datetime) -> Closing:
    """Return the closing after its newest attempt has ended."""
    key = closing.order
    if key is None:
        return closing
    order, left = draft.orders.get(key), closing.quantity
    if order is not None:
        left += order.terms.signed(order.filled)  # the order trades against the position, so adding it reduces what is left
        left = left if left * closing.quantity > 0 else ZERO
    return closing.after(order=None, quantity=left, progress=after_attempt(draft, closing.progress, key, at))


def _leg_of(closing: Closing) -> Leg:
    return Leg.FLATTEN if closing.is_flattened else Leg.EXIT


def _close(draft: AccountDraft, closing: Closing, wanted: Decimal, at: datetime) -> None:
    symbol, progress = closing.symbol, closing.progress
    if wanted:
        alert_if_late(draft, symbol, progress, at, leg=_leg_of(closing), quantity=wanted)
        closing = draft.closings[symbol]
    if closing.order is not None:
        hurry(draft, draft.orders[closing.order], at)
        return
    if not wanted:
        return
    if progress.retry_at is not None and at < progress.retry_at:
        draft.wait_until(progress.retry_at)
        return
    side = Side.SELL if wanted > 0 else Side.BUY
    for order in in_the_way(draft, symbol, side, abs(wanted), ()):
        keep_cancelling(draft, order, f"close-{order.client_order_id}", at)
    quantity = sendable(draft, symbol, abs(wanted))
    if not quantity:
        return
    closing = draft.closings[symbol]
    since = closing.progress.since or at
    order = draft.send(
        OrderTerms.trusted(
            account=draft.account.account,
            strategy=KILL_SWITCH,
            symbol=symbol,
            decided_at=since,
            leg=_leg_of(closing),
            attempt=closing.progress.attempts,
            side=side,
            type=OrderType.MARKET,
            quantity=quantity,
            reduce_only=True,
            send_before=at + EXIT_WITHIN,
        ),
        at,
        entry=closing.entry,
        is_exit=True,
    )
    progress = closing.progress.after(attempts=closing.progress.attempts + 1)
    draft.keep_closing(closing.after(order=order.client_order_id, progress=progress))
    if order.state.is_closed:
        manage_remainder(draft, symbol, at)
