"""One attempt to close: an exit order sent, how it ended, the pause before the next, and the alarm while it takes long.

A trade (exits.py) and a position of no trade (remainders.py) are closed by the same attempts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import ExitFailed
from signalbox.trading.order_requests import keep_cancelling, pause_after
from signalbox.trading.state import ExitProgress, Trade

EXIT_WITHIN: Final = timedelta(minutes=2)  # nobody sends an exit later: the next attempt is nearer
PATIENCE: Final = timedelta(seconds=20)  # with an exit at the market that the venue took and has not filled whole
_ALARMS: Final = tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 20, 40, 60))  # after it was to be closed; then every hour


def is_over(draft: AccountDraft, key: ClientOrderId) -> bool:
    """Whether an order has ended, or has left the account state."""
    order = draft.orders.get(key)
    return order is None or order.state.is_closed


def after_attempt(draft: AccountDraft, progress: ExitProgress, key: ClientOrderId, at: datetime) -> ExitProgress:
    """Return the progress after an attempt ended. A fill begins the pauses anew; anything else is one failure more."""
    order = draft.orders.get(key)
    if order is not None and order.filled:
        return progress.after(failures=0, retry_at=None, failed_at=None, reason="")
    failures, failed_at = progress.failures + 1, at
    pause = pause_after(failures)
    if draft.is_live and order is not None:
        at = order.terms.send_before - EXIT_WITHIN  # since it was sent: what was without an answer has waited already
    elif pause:
        pause = max(pause, ONE_MINUTE)  # on paper time passes by bars
    reason = "no answer" if order is None else f"{order.reason}: {order.detail}" if order.detail else f"{order.reason}"
    retry_at = at + pause if pause else None
    return progress.after(failures=failures, retry_at=retry_at, stop_restored=False, failed_at=failed_at, reason=reason)


def hurry(draft: AccountDraft, order: Order, at: datetime) -> None:
    """Take back an exit at the market that is still open after a while: what is left of it is sent anew."""
    if not draft.is_live or order.accepted_at is None or order.terms.type is not OrderType.MARKET:
        return
    if at < order.accepted_at + PATIENCE:
        draft.wait_until(order.accepted_at + PATIENCE)
    else:
        keep_cancelling(draft, order, f"hurry-{order.client_order_id}", at)


def send_exit(draft: AccountDraft, trade: Trade, leg: Leg, quantity: Decimal, at: datetime) -> Order:
    """Send the next exit of a trade by a leg: a stop, a resting target, or a market order for the others."""
    kinds = {Leg.STOP_LOSS: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.LIMIT}
    progress = trade.progress
    terms = OrderTerms(
        account=draft.account.account,
        strategy=draft.account.strategy,
        symbol=trade.symbol,
        decided_at=trade.decided_at,
        leg=leg,
        attempt=progress.attempts,
        side=trade.side.opposite,
        type=kinds.get(leg, OrderType.MARKET),
        quantity=quantity,
        limit_price=trade.take_profit if leg is Leg.TAKE_PROFIT else None,
        stop_price=trade.stop_loss if leg is Leg.STOP_LOSS else None,
        reduce_only=True,
        send_before=at + EXIT_WITHIN,
    )
    stop = terms.client_order_id if leg is Leg.STOP_LOSS else progress.stop
    draft.set_trade(trade.after(progress=progress.after(attempts=progress.attempts + 1, stop=stop)))
    return draft.send(terms, at, entry=trade.entry, is_exit=True)


def alert_if_late(
    draft: AccountDraft, symbol: Symbol, progress: ExitProgress, at: datetime, *, leg: Leg, quantity: Decimal
) -> None:
    """Raise EXIT_FAILED while a position that has to be closed is still open, again after growing pauses.

    leg: why it has to be closed. quantity: signed, what is still open.
    """
    if progress.since is None or at < progress.since + _alarm_after(progress.alarms):
        return
    number = progress.alarms + 1
    waiting = ", ".join(f"{o.terms.leg} {o.state}" for o in draft.open_orders(symbol))
    reason = progress.reason or (f"waiting for {waiting}" if waiting else "no answer is known")
    draft.record(
        RiskEvent(
            RiskEventKind.EXIT_FAILED,
            f"{symbol}:{progress.since.isoformat()}:{number}",
            at,
            leg,
            symbol=symbol,
            value=quantity,
            detail=f"not closed since {progress.since.isoformat()}; {progress.attempts} orders were sent: {reason}"[:500],
        )
    )
    draft.announce(
        ExitFailed(
            account=draft.account.account,
            mode=mode_of(draft),
            symbol=symbol,
            leg=leg,
            quantity=quantity,
            since=progress.since,
            at=at,
            number=number,
            attempts=progress.attempts,
            reason=reason,
            retry_at=progress.retry_at,
        )
    )
    alarmed = progress.after(alarms=number)
    trade, closing = draft.trades.get(symbol), draft.closings.get(symbol)
    if trade is not None and trade.progress is progress:
        draft.set_trade(trade.after(progress=alarmed))
    elif closing is not None:
        draft.keep_closing(closing.after(progress=alarmed))


def _alarm_after(alarms: int) -> timedelta:
    """Return how long after it was to be closed the next alarm is due."""
    if alarms < len(_ALARMS):
        return _ALARMS[alarms]
    return _ALARMS[-1] * (alarms - len(_ALARMS) + 2)


def mode_of(draft: AccountDraft) -> Literal["paper", "live"]:
    """Return the mode that an event of a trade names."""
    return "live" if draft.is_live else "paper"
