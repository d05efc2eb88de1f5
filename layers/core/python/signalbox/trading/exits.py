"""How a trade ends. One state-driven look at it, taken after everything that happens: what is missing is done, once.

At most one order may close a trade at a time. Live, a protective stop rests at the venue from the first fill on. At the
deadline, or when the kill switch says so, the entry and then the stop are cancelled, and only when the venue has confirmed
both is what is still held sent to the market: a stop that fills meanwhile leaves less, or nothing, to send. An exit that
ends without closing the trade is followed by the next leg of FALLBACK, and in the end by a halt. On paper the stop, the
target and the deadline are read from the bars (watching.py), so nothing rests.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderUpdateRequested
from signalbox.orders.messages import Instruction
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.orders.transitions import OrderState
from signalbox.risk.numbers import exact
from signalbox.risk.protections import Exit
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import SEND_WITHIN
from signalbox.trading.events import TradeClosed, TradeOpened
from signalbox.trading.pauses import remember_exit
from signalbox.trading.sheet import SIGNALBOX, Sheet
from signalbox.trading.state import EXIT_LEGS, Halt, Trade, TradeState, exit_id

FALLBACK: Final = (Leg.TIMEOUT, Leg.EXIT, Leg.FLATTEN)
KILL_SWITCH: Final = "kill-switch"  # the strategy of orders that close what belongs to no trade
EXIT_FAILED: Final = "EXIT_FAILED"
FLATTENING: Final = "FLATTENING"  # a warning that begins with it says when the kill switch tried to close a symbol last


def tend(sheet: Sheet, at: datetime) -> None:
    """Look at every trade, and at what the kill switch has to close."""
    if sheet.halt_level(at) is HaltLevel.FLATTEN:
        _clear_the_way(sheet, at)
    for trade in sorted(sheet.trades.values(), key=lambda t: t.symbol):
        _tend(sheet, trade, at)
    if sheet.halt_level(at) is HaltLevel.FLATTEN:
        _close_rest(sheet, at)


def exits_of(sheet: Sheet, trade: Trade) -> list[Order]:
    """Return the exit orders a trade has had so far."""
    keys = (exit_id(sheet.account, trade, leg) for leg in EXIT_LEGS)
    return [sheet.orders[key] for key in keys if key in sheet.orders]


@exactly
def held_by(sheet: Sheet, trade: Trade) -> Decimal:
    """Return what is still open of a trade: filled, less what its exits closed, and never more than the position."""
    entry = sheet.orders[trade.entry]
    own = entry.filled - sum((order.filled for order in exits_of(sheet, trade)), ZERO)
    return max(min(own, sheet.quantity(trade.symbol) * trade.side.sign), ZERO)


def _tend(sheet: Sheet, trade: Trade, at: datetime) -> None:
    entry = sheet.orders[trade.entry]
    if entry.filled and trade.opened_at is None:
        trade = _opened(sheet, trade, entry)
    held, exits = held_by(sheet, trade), exits_of(sheet, trade)
    if entry.state.is_closed and not held:
        for order in exits:
            sheet.cancel(order, f"flat-{trade.entry}", at)
        if all(sheet.orders[order.client_order_id].state.is_closed for order in exits):
            _ended(sheet, trade, entry, exits, at)
        return
    leg = _leg_wanted(sheet, trade, at)
    if leg is not None:
        _leave(sheet, trade, leg, at)
    elif sheet.is_live and held:
        _protect(sheet, trade, entry, at)


def _opened(sheet: Sheet, trade: Trade, entry: Order) -> Trade:
    first = entry.trades[0]
    trade = replace(trade, state=TradeState.OPEN, opened_at=first.at)
    sheet.set_trade(trade)
    sheet.events.append(
        TradeOpened(
            account=sheet.account.account,
            mode="live" if sheet.is_live else "paper",
            entry=trade.entry,
            symbol=trade.symbol,
            side=trade.side,
            at=first.at,
            quantity=entry.filled,
            price=entry.average_price or first.price,
            stop_loss=trade.stop_loss,
            take_profit=trade.take_profit,
            deadline=trade.deadline,
        )
    )
    return trade


def _leg_wanted(sheet: Sheet, trade: Trade, at: datetime) -> Leg | None:
    """Return why the trade has to be left now, None while it may stay."""
    entry, exits, held = sheet.orders[trade.entry], exits_of(sheet, trade), held_by(sheet, trade)
    if sheet.halt_level(at) is HaltLevel.FLATTEN:
        return Leg.FLATTEN
    if trade.exit_leg is not None and trade.exit_leg in FALLBACK:
        return trade.exit_leg  # it was decided before
    if sheet.is_live and at >= trade.deadline:
        return Leg.TIMEOUT
    if held and any(order.state.is_closed for order in exits):
        return Leg.EXIT  # the stop or an exit ended, and something is still open
    if not sheet.is_live and not entry.state.is_closed and at >= trade.deadline:
        return Leg.TIMEOUT  # the venue never filled it
    return None


def _leave(sheet: Sheet, trade: Trade, leg: Leg, at: datetime) -> None:
    entry, exits = sheet.orders[trade.entry], exits_of(sheet, trade)
    if trade.exit_leg is not leg and trade.exit is None:
        trade = replace(trade, exit_leg=leg)
        sheet.set_trade(trade)
    sheet.cancel(entry, f"leave-{leg}", at)
    stop_id = exit_id(sheet.account, trade, Leg.STOP_LOSS)
    for order in exits:
        if order.client_order_id == stop_id:
            sheet.cancel(order, f"leave-{leg}", at)
    still_open = [o for o in (entry, *exits) if not sheet.orders[o.client_order_id].state.is_closed]
    held = held_by(sheet, trade)
    if still_open or not held or (leg is Leg.FLATTEN and _free(sheet, trade.symbol) < held):
        return
    used = {order.terms.leg for order in exits}
    free = [candidate for candidate in (leg, *FALLBACK) if candidate not in used]
    if not free:
        sheet.set_halt(Halt(HaltLevel.HALT, SIGNALBOX, EXIT_FAILED, at))
        return
    order = send_exit(sheet, trade, free[0], held, at)
    if not order.state.is_closed:
        sheet.set_trade(replace(trade, state=TradeState.EXITING, exit=order.client_order_id, exit_leg=order.terms.leg))


def send_exit(sheet: Sheet, trade: Trade, leg: Leg, quantity: Decimal, at: datetime) -> Order:
    """Send the exit of a trade by a leg: a stop, a resting target, or a market order for the others."""
    kinds = {Leg.STOP_LOSS: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.LIMIT}
    return sheet.send(
        OrderTerms(
            account=sheet.account.account,
            strategy=sheet.account.strategy,
            symbol=trade.symbol,
            decided_at=trade.decided_at,
            leg=leg,
            side=trade.side.opposite,
            type=kinds.get(leg, OrderType.MARKET),
            quantity=quantity,
            limit_price=trade.take_profit if leg is Leg.TAKE_PROFIT else None,
            stop_price=trade.stop_loss if leg is Leg.STOP_LOSS else None,
            reduce_only=True,
            send_before=at + SEND_WITHIN,
        ),
        at,
    )


def _protect(sheet: Sheet, trade: Trade, entry: Order, at: datetime) -> None:
    """Keep a stop at the venue for all that the entry has filled."""
    stop = sheet.orders.get(exit_id(sheet.account, trade, Leg.STOP_LOSS))
    if stop is None:
        send_exit(sheet, trade, Leg.STOP_LOSS, held_by(sheet, trade), at)
        return
    is_standing = stop.state in {OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED}
    if is_standing and stop.pending_update is None and stop.quantity < entry.filled:
        request_id = f"grow-{entry.filled}"
        event = OrderUpdateRequested(client_order_id=stop.client_order_id, at=at, request_id=request_id, quantity=entry.filled)
        if event.event_id not in stop.seen:
            sheet.take(event)
            sheet.ask(Instruction.REPLACE, stop, request_id, at, quantity=entry.filled)
        elif entry.state.is_closed:  # the venue would not: a stop for a part is no stop
            sheet.set_trade(replace(trade, exit_leg=Leg.EXIT))
            _leave(sheet, sheet.trades[trade.symbol], Leg.EXIT, at)


def _ended(sheet: Sheet, trade: Trade, entry: Order, exits: list[Order], at: datetime) -> None:
    if not entry.filled:
        sheet.set_trade(replace(trade, state=TradeState.ABANDONED, closed_at=entry.closed_at or at), is_over=True)
        return
    filled = [order for order in exits if order.trades]
    last = max(filled, key=lambda o: max(t.at for t in o.trades), default=None)
    price = (last.average_price if last is not None else None) or sheet.marks[trade.symbol].price
    closed_at = max(t.at for t in last.trades) if last is not None else at
    leg = last.terms.leg if last is not None else Leg.EXIT
    closed = replace(
        trade,
        state=TradeState.CLOSED,
        exit=None if last is None else last.client_order_id,
        exit_leg=leg,
        closed_at=closed_at,
        realised=_realised(trade, entry, exits, price),
    )
    sheet.set_trade(closed, is_over=True)
    realised = closed.realised or ZERO
    sheet.events.append(
        TradeClosed(
            account=sheet.account.account,
            mode="live" if sheet.is_live else "paper",
            entry=trade.entry,
            symbol=trade.symbol,
            side=trade.side,
            at=closed_at,
            leg=leg,
            price=price,
            realised=realised,
            balance=sheet.books.balance,
        )
    )
    remember_exit(sheet, Exit(trade.symbol, closed_at, realised, by_stop=leg is Leg.STOP_LOSS))


@exactly
def _realised(trade: Trade, entry: Order, exits: list[Order], price: Decimal) -> Decimal:
    """Return what the trade earned after fees; what somebody else closed of it is valued at `price`."""
    closed = sum((order.filled for order in exits), ZERO)
    brought = sum((order.filled_value for order in exits), ZERO) + (entry.filled - closed) * price
    fees = entry.fees + sum((order.fees for order in exits), ZERO)
    return exact(trade.side.sign * (brought - entry.filled_value) - fees, "realised")


def _clear_the_way(sheet: Sheet, at: datetime) -> None:
    """Cancel what people have resting to reduce a position: the kill switch closes all of it, and may not close it twice."""
    traded = {order.client_order_id for trade in sheet.trades.values() for order in exits_of(sheet, trade)}
    for order in sheet.open_orders():
        if order.terms.reduce_only and order.terms.strategy != KILL_SWITCH and order.client_order_id not in traded:
            sheet.cancel(order, f"flatten-{order.client_order_id}", at)


@exactly
def _free(sheet: Sheet, symbol: str) -> Decimal:
    """Return how much of a position nothing works to close."""
    quantity = sheet.quantity(symbol)
    closing = Side.SELL if quantity > 0 else Side.BUY
    against = (order.fillable - order.filled for order in sheet.open_orders(symbol) if order.terms.side is closing)
    return max(abs(quantity) - sum(against, ZERO), ZERO)


def _close_rest(sheet: Sheet, at: datetime) -> None:
    """Close what belongs to no trade: the kill switch takes all of it. What did not close it is followed by another try.

    One try a minute and symbol, and none while one is open. That it was made stands with the warnings: an order that ended
    is not on a desk that was loaded anew, and would be sent again under its name.
    """
    traded = {str(trade.symbol) for trade in sheet.trades.values()}
    minute = at.replace(second=0, microsecond=0)
    for symbol in sheet.held:
        is_on_its_way = any(order.terms.strategy == KILL_SWITCH for order in sheet.open_orders(symbol))
        tries, tried = f"{FLATTENING}:{symbol}:", f"{FLATTENING}:{symbol}:{minute.isoformat()}"
        if symbol in traded or is_on_its_way or tried in sheet.warned or not _free(sheet, symbol):
            continue
        sheet.warned = frozenset(key for key in sheet.warned if not key.startswith(tries)) | {tried}
        sheet.send(_rest(sheet, Symbol(symbol), minute, at), at)


def _rest(sheet: Sheet, symbol: Symbol, minute: datetime, at: datetime) -> OrderTerms:
    return OrderTerms(
        account=sheet.account.account,
        strategy=KILL_SWITCH,
        symbol=symbol,
        decided_at=minute,
        leg=Leg.FLATTEN,
        side=Side.SELL if sheet.quantity(symbol) > 0 else Side.BUY,
        type=OrderType.MARKET,
        quantity=_free(sheet, symbol),
        reduce_only=True,
        send_before=at + SEND_WITHIN,
    )
