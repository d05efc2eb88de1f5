"""Closes positions. After every event, the wanted position is compared with the actual one until the two agree.

A trade is either protected (live: a stop for the whole position rests at the venue) or it is being closed, and then it stays
so until it is flat. A refused, rejected, expired or lost exit order is only a failed attempt: another one follows under a new
id, at once after the first failure, then after 5 to 40 seconds, as long as the position is open. The kill switch, a limit, a
deadline and a stop that ended all lead here. Attempts never stop, and while closing takes long, EXIT_FAILED is raised at
growing intervals.
open_quantity.py decides how much may be closed, exit_attempts.py makes one attempt, stops.py keeps the resting stop, and
remainders.py closes positions without a trade.

A live venue that reserves the coins of a resting order (spot): whatever blocks an exit is cancelled first, even our own stop,
and the exit takes what the confirmed cancels have freed. If the exit fails, the stop is put back until the next exit is due.
A venue that attaches stop and target to the position (MetaTrader): the exit goes first, and the stop ends with the position.
On paper, monitoring.py reads stop, target and deadline from the bars, so no order rests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg
from signalbox.risk.numbers import exact
from signalbox.risk.protections import Exit
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.attribution import attribute, others_of
from signalbox.trading.draft import AccountDraft
from signalbox.trading.events import TradeClosed, TradeOpened
from signalbox.trading.exit_attempts import after_attempt, alert_if_late, hurry, is_over, mode_of, send_exit
from signalbox.trading.kill_switch import cancel_new_risk
from signalbox.trading.open_quantity import exits_of, held_after, in_the_way, keys_of, sendable
from signalbox.trading.order_requests import keep_cancelling
from signalbox.trading.pauses import remember_exit
from signalbox.trading.remainders import close_stray, is_a_persons_reduction, manage_remainder
from signalbox.trading.state import Trade, TradeState
from signalbox.trading.stops import STOP_TRIES, is_failed_stop, is_resized, open_stop, protect, restore_stop, stop_passed


def manage_exits(draft: AccountDraft, at: datetime) -> None:
    """Take the next step for every trade, every position without a trade, and every order that the kill switch cancels."""
    cancel_new_risk(draft, at)
    if draft.halt_level(at) is HaltLevel.FLATTEN:
        for order in draft.open_orders():
            if is_a_persons_reduction(draft, order):
                keep_cancelling(draft, order, f"flatten-{order.client_order_id}", at)
    for trade in _by_symbol(draft.trades):
        _manage_exit(draft, trade, at)
    for symbol in sorted({*draft.held, *draft.closings}):
        manage_remainder(draft, Symbol(symbol), at)


def _by_symbol(trades: Mapping[Symbol, Trade]) -> list[Trade]:
    return [trades[symbol] for symbol in sorted(trades)]


def _manage_exit(draft: AccountDraft, trade: Trade, at: datetime) -> None:
    entry = draft.orders[trade.entry]
    if entry.filled and trade.opened_at is None:
        trade = _opened(draft, trade, entry)
    trade = _settled(draft, trade, at)
    exits = exits_of(draft, trade)
    held = held_after(draft, trade, exits)
    if entry.state.is_closed and not held:
        for order in exits:
            keep_cancelling(draft, order, f"flat-{trade.entry}", at)
        if all(draft.orders[order.client_order_id].state.is_closed for order in exits):
            _ended(draft, trade, entry, exits, at)
        return
    leg = _leg_wanted(draft, trade, held, exits, at)
    if leg is not None:
        _leave(draft, trade, leg, held, at)
    elif draft.is_live and held and not protect(draft, trade, held, at):
        _manage_exit(draft, draft.trades[trade.symbol], at)  # the venue may refuse the next stop too: then the trade is left


def _opened(draft: AccountDraft, trade: Trade, entry: Order) -> Trade:
    first = entry.trades[0]
    trade = trade.after(state=TradeState.OPEN, opened_at=first.at)
    draft.set_trade(trade)
    draft.announce(
        TradeOpened(
            account=draft.account.account,
            mode=mode_of(draft),
            entry=trade.entry,
            symbol=trade.symbol,
            side=trade.side,
            at=first.at,
            quantity=entry.filled,
            price=entry.average_price or first.price,
            stop_loss=trade.stop_loss,
            take_profit=trade.take_profit,
            deadline=trade.deadline,
            decided_at=trade.decided_at,
        )
    )
    return trade


def _settled(draft: AccountDraft, trade: Trade, at: datetime) -> Trade:
    """Return the trade with a finished exit or stop taken into account, as a fill or as a failed attempt."""
    stop = trade.progress.stop
    if stop is not None and is_over(draft, stop):
        failed = stop not in draft.orders or is_failed_stop(draft.orders[stop])
        count = trade.progress.stops_failed + 1 if failed else 0
        trade = trade.after(progress=trade.progress.after(stop=None, stops_failed=count))
        draft.set_trade(trade)
    if trade.exit is None or not is_over(draft, trade.exit):
        return trade
    trade = trade.after(exit=None, progress=after_attempt(draft, trade.progress, trade.exit, at))
    draft.set_trade(trade)
    return trade


def _leg_wanted(draft: AccountDraft, trade: Trade, held: Decimal, exits: Iterable[Order], at: datetime) -> Leg | None:
    """Return why the trade has to be closed now, or None. Once decided, the reason holds until the trade is flat."""
    entry = draft.orders[trade.entry]
    if draft.halt_level(at) is HaltLevel.FLATTEN:
        return Leg.FLATTEN
    if trade.exit_leg is not None:
        return trade.exit_leg
    if at >= trade.deadline and (draft.is_live or not entry.state.is_closed):
        return Leg.TIMEOUT  # on paper the barrier closes what is filled; an entry that never filled is cancelled
    if held and any(_ended_for_good(order, trade) for order in exits):
        return Leg.EXIT  # the stop or an exit ended while a quantity is still open
    if draft.is_live and held and stop_passed(draft, trade, at):
        return Leg.EXIT
    return None


def _ended_for_good(order: Order, trade: Trade) -> bool:
    """Whether an exit ended so that the trade must be closed. Resized stops and the first refused stops do not count."""
    if not order.state.is_closed or is_resized(order):
        return False
    return not is_failed_stop(order) or trade.progress.stops_failed >= STOP_TRIES


def _leave(draft: AccountDraft, trade: Trade, leg: Leg, held: Decimal, at: datetime) -> None:
    """Take the next step towards flat: cancel orders in the way, send an exit, or wait for what is due."""
    progress = trade.progress
    if trade.exit_leg is not leg or progress.since is None:
        progress = progress.after(since=progress.since or at, retry_at=None)  # another reason does not wait
        trade = trade.after(exit_leg=leg, progress=progress)
        draft.set_trade(trade)
    keep_cancelling(draft, draft.orders[trade.entry], f"leave-{leg}", at)
    if not held:
        return
    alert_if_late(draft, trade.symbol, trade.progress, at, leg=leg, quantity=held * trade.side.sign)
    trade = draft.trades[trade.symbol]
    if trade.exit is not None:
        hurry(draft, draft.orders[trade.exit], at)
        return  # one exit at a time
    if progress.retry_at is not None and at < progress.retry_at:
        draft.wait_until(progress.retry_at)
        restore_stop(draft, trade, held, at)
        return
    for order in in_the_way(draft, trade.symbol, trade.side.opposite, held, exits_of(draft, trade)):
        keep_cancelling(draft, order, f"leave-{leg}", at)
    stop = open_stop(draft, trade)
    if stop is not None and draft.holds_coins:
        keep_cancelling(draft, stop, f"leave-{leg}", at)
        return  # wait for the confirmation: if both filled, the second would sell what people hold
    quantity = sendable(draft, trade.symbol, held)
    if not quantity:
        return  # wait until a cancel is confirmed
    order = send_exit(draft, trade, leg if leg is not Leg.STOP_LOSS else Leg.EXIT, quantity, at)
    trade = draft.trades[trade.symbol]
    draft.set_trade(trade.after(state=TradeState.EXITING, exit=order.client_order_id))
    if order.state.is_closed:  # refused at once: it counts as an attempt, and the next one is due
        _manage_exit(draft, draft.trades[trade.symbol], at)


def _ended(draft: AccountDraft, trade: Trade, entry: Order, exits: list[Order], at: datetime) -> None:
    """Close the books on a trade that is flat and has no open order."""
    if not entry.filled:
        draft.set_trade(trade.after(state=TradeState.ABANDONED, closed_at=entry.closed_at or at), is_over=True)
        return
    own = {entry.client_order_id, *keys_of(exits)}
    found = attribute(trade, entry, exits, others_of(trade, own, draft.orders.values()), draft.quantity(trade.symbol))
    last = found.last
    price = found.price or draft.marks[trade.symbol].price
    closed_at = at if last is None else last.at
    leg = last.leg if last is not None and last.order in own else Leg.EXIT  # people's orders close it by hand
    closed = trade.after(
        state=TradeState.CLOSED,
        exit=None if last is None else last.order,
        exit_leg=leg,
        closed_at=closed_at,
        realised=_at_mark(trade, entry, exits, price) if found.realised is None else found.realised,
    )
    draft.set_trade(closed, is_over=True)
    if more := _closed_too_much(trade, entry, exits):
        close_stray(draft, trade.symbol, more, at, entry.client_order_id)
    realised = closed.realised or ZERO
    draft.announce(
        TradeClosed(
            account=draft.account.account,
            mode=mode_of(draft),
            entry=trade.entry,
            symbol=trade.symbol,
            side=trade.side,
            at=closed_at,
            leg=leg,
            price=price,
            realised=realised,
            balance=draft.books.balance,
            decided_at=trade.decided_at,
        )
    )
    remember_exit(draft, Exit(trade.symbol, closed_at, realised, by_stop=leg is Leg.STOP_LOSS))


@exactly
def _closed_too_much(trade: Trade, entry: Order, exits: list[Order]) -> Decimal:
    """Return the signed position that exits opened by closing too much, when their fills crossed on the wire."""
    own = entry.filled - sum((order.filled for order in exits), ZERO)
    return min(own, ZERO) * trade.side.sign


@exactly
def _at_mark(trade: Trade, entry: Order, exits: list[Order], price: Decimal) -> Decimal:
    """Return the profit after fees of a trade that no order closed in full. The missing part is valued at `price`."""
    closed = sum((order.filled for order in exits), ZERO)
    brought = sum((order.filled_value for order in exits), ZERO) + (entry.filled - closed) * price
    fees = entry.fees + sum((order.fees for order in exits), ZERO)
    return exact(trade.side.sign * (brought - entry.filled_value) - fees, "realised")
