"""One attempt to close a position: send an exit order, see how it ended, pause before the next, raise an alarm if it takes long.

Trades (exits.py) and positions without a trade (remainders.py) use the same attempts.
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

EXIT_WITHIN: Final = timedelta(minutes=2)  # validity of an exit order; after that the next attempt replaces it
PATIENCE: Final = timedelta(seconds=20)  # how long an accepted market exit may stay unfilled or partly filled
_ALARMS: Final = tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 20, 40, 60))  # after the close became due; then every hour


def is_over(draft: AccountDraft, key: ClientOrderId) -> bool:
    """Whether an order has ended or is no longer part of the account state."""
    order = draft.orders.get(key)
    return order is None or order.state.is_closed


def after_attempt(draft: AccountDraft, progress: ExitProgress, key: ClientOrderId, at: datetime) -> ExitProgress:
    """Return the progress after an attempt ended. After a fill the pauses start anew; any other end is one more failure."""
    order = draft.orders.get(key)
    if order is not None and order.filled:
        return progress.after(failures=0, retry_at=None, failed_at=None, reason="")
    failures, failed_at = progress.failures + 1, at
    pause = pause_after(failures)
    if draft.is_live and order is not None:
        at = order.terms.send_before - EXIT_WITHIN  # an unanswered exit has waited already, so count from when it was sent
    elif pause:
        pause = max(pause, ONE_MINUTE)  # on paper, time moves in bars of a minute
    reason = "no answer" if order is None else f"{order.reason}: {order.detail}" if order.detail else f"{order.reason}"
    retry_at = at + pause if pause else None
    return progress.after(failures=failures, retry_at=retry_at, stop_restored=False, failed_at=failed_at, reason=reason)


def hurry(draft: AccountDraft, order: Order, at: datetime) -> None:
    """Cancel a live market exit that is still open after PATIENCE, so that the rest of it can be sent again."""
    if not draft.is_live or order.accepted_at is None or order.terms.type is not OrderType.MARKET:
        return
    if at < order.accepted_at + PATIENCE:
        draft.wait_until(order.accepted_at + PATIENCE)
    else:
        keep_cancelling(draft, order, f"hurry-{order.client_order_id}", at)


def send_exit(draft: AccountDraft, trade: Trade, leg: Leg, quantity: Decimal, at: datetime) -> Order:
    """Send the next exit of a trade: a stop order, a resting limit order for the take profit, or a market order."""
    kinds = {Leg.STOP_LOSS: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.LIMIT}
    progress = trade.progress
    terms = OrderTerms.trusted(
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
    """Record and announce EXIT_FAILED while a position that has to be closed is still open, at growing intervals.

    leg: why the position has to be closed. quantity: open quantity, signed.
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
            detail=f"not closed since {progress.since.isoformat()}; {progress.attempts} orders sent: {reason}"[:500],
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
    """Return the time from when the position had to be closed until the next alarm."""
    if alarms < len(_ALARMS):
        return _ALARMS[alarms]
    return _ALARMS[-1] * (alarms - len(_ALARMS) + 2)


def mode_of(draft: AccountDraft) -> Literal["paper", "live"]:
    """Return the mode to put into an event."""
    return "live" if draft.is_live else "paper"
