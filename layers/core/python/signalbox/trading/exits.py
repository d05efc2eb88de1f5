"""How a position is left. What is wanted is compared with what is there, after everything that happens, until they agree.

A trade is either protected (live: a stop rests at the venue for all that is held) or it is being left, and then it stays
being left until it is flat. An order that was refused, rejected, expired or lost is an attempt and no result: another follows
under an id of its own, at once after the first failure, then after seconds, 40 at most, for as long as the position is there.
The kill switch, a limit, a deadline and a stop that ended all set the same goal. Nothing here gives up; what takes long is
told again and again (EXIT_FAILED), with growing pauses.

Live, at a venue that holds the coins of a resting order (spot), whatever rests in the way of an exit is cancelled first, our
own stop too, and the exit takes what the confirmed cancels have freed; an exit that does not go through has the stop put back
until the next one is due. Where stop and target are the position's own (MetaTrader), the exit goes first and the stop ends with
the position. On paper the stop, the target and the deadline are read from the bars (monitoring.py), so nothing rests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.orders.events import OrderUpdateRequested
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.messages import OrderInstruction
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import VenueDifference
from signalbox.orders.replacing import REPLACE_FAILED
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.orders.transitions import OrderState
from signalbox.risk.numbers import exact
from signalbox.risk.protections import Exit
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.attribution import attribute, others_of
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.draft import AccountDraft, pause_after
from signalbox.trading.events import ExitFailed, StopPassed, TradeClosed, TradeOpened
from signalbox.trading.pauses import remember_exit
from signalbox.trading.state import EXIT_LEGS, Closing, ExitProgress, Trade, TradeState

KILL_SWITCH: Final = "kill-switch"  # the strategy of orders that close what belongs to no open trade
RESIZE: Final = "resize"  # a cancel that begins with it takes a stop out to send one of another size
STANDING: Final = frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED})
STOP_TRIES: Final = 3  # stops in a row that the venue refuses: then the trade is left
EXIT_WITHIN: Final = timedelta(minutes=2)  # nobody sends an exit later: the next attempt is nearer
PATIENCE: Final = timedelta(seconds=20)  # with an exit at the market that the venue took and has not filled whole
_ALARMS: Final = tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 20, 40, 60))  # after it was to be closed; then every hour


def manage_exits(draft: AccountDraft, at: datetime) -> None:
    """Look at every trade, at every position that belongs to none, and at what the kill switch has to cancel."""
    draft.cancel_new_risk(at)
    if draft.halt_level(at) is HaltLevel.FLATTEN:
        for order in draft.open_orders():
            if _is_a_persons_reduction(draft, order):
                draft.keep_cancelling(order, f"flatten-{order.client_order_id}", at)
    for trade in sorted(draft.trades.values(), key=lambda t: t.symbol):
        _manage_exit(draft, trade, at)
    for symbol in sorted({*draft.held, *draft.closings}):
        _manage_remainder(draft, Symbol(symbol), at)


# What is there


def exits_of(draft: AccountDraft, trade: Trade) -> list[Order]:
    """Return the exit orders of a trade that count: open ones, and those that closed some of it."""
    strategy = draft.account.strategy
    found = [o for o in draft.orders.values() if o.terms.leg in EXIT_LEGS and trade.owns(o) and o.terms.strategy == strategy]
    if len(found) > 1:
        found.sort(key=lambda order: order.terms.attempt)
    return found


@exactly
def held_by(draft: AccountDraft, trade: Trade) -> Decimal:
    """Return what is still open of a trade: filled, less what closed it, and never more than the position.

    What people's orders closed of it is gone, also when they have bought beside it since (attribution.py).
    """
    entry, exits = draft.orders[trade.entry], exits_of(draft, trade)
    own, position = entry.filled - sum((order.filled for order in exits), ZERO), draft.quantity(trade.symbol)
    if others := others_of(trade, {trade.entry, *_keys(exits)}, draft.orders.values()):
        own = min(own, attribute(trade, entry, exits, others, position).left)
    return max(min(own, position * trade.side.sign), ZERO)


@exactly
def _against(draft: AccountDraft, symbol: str, closing: Side) -> Decimal:
    """Return how much of a position works to be closed already."""
    working = (order.fillable - order.filled for order in draft.open_orders(symbol) if order.terms.side is closing)
    return sum(working, ZERO)


def _free(draft: AccountDraft, symbol: str) -> Decimal:
    """Return how much of a position an order may close now: where a venue holds coins, what no resting order has."""
    return _left_beside(draft, symbol, ()) if draft.holds_coins else abs(draft.quantity(symbol))


@exactly
def _left_beside(draft: AccountDraft, symbol: str, own: Iterable[Order]) -> Decimal:
    """Return how much of a position no other order works to close. own: orders that do not count."""
    quantity = draft.quantity(symbol)
    closing = Side.SELL if quantity > 0 else Side.BUY
    mine = (o.fillable - o.filled for o in own if o.terms.side is closing and not o.state.is_closed)
    return max(_within_reach(draft, symbol) - _against(draft, symbol, closing) + sum(mine, ZERO), ZERO)


@exactly
def _within_reach(draft: AccountDraft, symbol: str) -> Decimal:
    """Return how much of a position orders of ours can close: where a venue holds coins, not what it holds for others.

    Others' orders are those of its newest view that nobody here has sent.
    """
    quantity = draft.quantity(symbol)
    if not draft.holds_coins:
        return abs(quantity)
    others = draft.at_venue.held_by_others(symbol, Side.SELL if quantity > 0 else Side.BUY)
    return min(abs(quantity), max(_at_venue(draft, symbol) - others, ZERO))


def _in_the_way(draft: AccountDraft, symbol: Symbol, closing: Side, wanted: Decimal, own: Iterable[Order]) -> list[Order]:
    """Return the orders of people that rest where this much has to be closed; none while the rest of the position is enough.

    own: the orders of what is to be closed.
    """
    if _left_beside(draft, symbol, own) >= wanted:
        return []
    ours = {key for trade in draft.trades.values() for key in _keys(exits_of(draft, trade))}
    return [
        order
        for order in draft.open_orders(symbol)
        if order.terms.side is closing and order.client_order_id not in ours and order.terms.strategy != KILL_SWITCH
    ]


def _shown(draft: AccountDraft, symbol: str, wanted: Decimal) -> Decimal:
    """Return at most what the venue has of a position: more than that it would refuse, and what it does have would stay open."""
    return min(wanted, _at_venue(draft, symbol))


@exactly
def _at_venue(draft: AccountDraft, symbol: str) -> Decimal:
    """Return how much the venue has of a position, in its direction: as the books say, until two views differed from them."""
    quantity = draft.quantity(symbol)
    for doubt in draft.at_venue.doubts:
        if doubt.told and doubt.difference is VenueDifference.POSITION_DIFFERS and doubt.subject == symbol:
            return max(Decimal(doubt.venue) * (1 if quantity > 0 else -1), ZERO)
    return abs(quantity)


@exactly
def _sum(one: Decimal, other: Decimal) -> Decimal:
    return one + other


def _keys(orders: Iterable[Order]) -> set[ClientOrderId]:
    return {order.client_order_id for order in orders}


# A trade


def _manage_exit(draft: AccountDraft, trade: Trade, at: datetime) -> None:
    entry = draft.orders[trade.entry]
    if entry.filled and trade.opened_at is None:
        trade = _opened(draft, trade, entry)
    trade = _settled(draft, trade, at)
    held, exits = held_by(draft, trade), exits_of(draft, trade)
    if entry.state.is_closed and not held:
        for order in exits:
            draft.keep_cancelling(order, f"flat-{trade.entry}", at)
        if all(draft.orders[order.client_order_id].state.is_closed for order in exits):
            _ended(draft, trade, entry, exits, at)
        return
    leg = _leg_wanted(draft, trade, held, exits, at)
    if leg is not None:
        _leave(draft, trade, leg, held, at)
    elif draft.is_live and held:
        _protect(draft, trade, held, at)


def _opened(draft: AccountDraft, trade: Trade, entry: Order) -> Trade:
    first = entry.trades[0]
    trade = replace(trade, state=TradeState.OPEN, opened_at=first.at)
    draft.set_trade(trade)
    draft.announce(
        TradeOpened(
            account=draft.account.account,
            mode=_mode(draft),
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
    """Return the trade once the exit that was on its way has ended: with a fill, or as an attempt that failed."""
    stop = trade.progress.stop
    if stop is not None and _is_over(draft, stop):
        failed = stop not in draft.orders or _is_failed_stop(draft.orders[stop])
        count = trade.progress.stops_failed + 1 if failed else 0
        trade = replace(trade, progress=replace(trade.progress, stop=None, stops_failed=count))
        draft.set_trade(trade)
    if trade.exit is None or not _is_over(draft, trade.exit):
        return trade
    trade = replace(trade, exit=None, progress=_after(draft, trade.progress, trade.exit, at))
    draft.set_trade(trade)
    return trade


def _is_over(draft: AccountDraft, key: ClientOrderId) -> bool:
    order = draft.orders.get(key)
    return order is None or order.state.is_closed


def _after(draft: AccountDraft, progress: ExitProgress, key: ClientOrderId, at: datetime) -> ExitProgress:
    """Return the progress after an attempt ended. A fill begins the pauses anew; anything else is one failure more."""
    order = draft.orders.get(key)
    if order is not None and order.filled:
        return replace(progress, failures=0, retry_at=None, failed_at=None, reason="")
    failures, failed_at = progress.failures + 1, at
    pause = pause_after(failures)
    if draft.is_live and order is not None:
        at = order.terms.send_before - EXIT_WITHIN  # since it was sent: what was without an answer has waited already
    elif pause:
        pause = max(pause, ONE_MINUTE)  # on paper time passes by bars
    reason = "no answer" if order is None else f"{order.reason}: {order.detail}" if order.detail else f"{order.reason}"
    retry_at = at + pause if pause else None
    return replace(progress, failures=failures, retry_at=retry_at, stop_restored=False, failed_at=failed_at, reason=reason)


def _leg_wanted(draft: AccountDraft, trade: Trade, held: Decimal, exits: Iterable[Order], at: datetime) -> Leg | None:
    """Return why the trade has to be left now, None while it may stay. What was decided before holds until it is flat."""
    entry = draft.orders[trade.entry]
    if draft.halt_level(at) is HaltLevel.FLATTEN:
        return Leg.FLATTEN
    if trade.exit_leg is not None:
        return trade.exit_leg
    if at >= trade.deadline and (draft.is_live or not entry.state.is_closed):
        return Leg.TIMEOUT  # on paper the barrier closes what is filled; an entry that the venue never filled is taken back
    if held and any(_ended_for_good(order, trade) for order in exits):
        return Leg.EXIT  # the stop or an exit ended, and something is still open
    if draft.is_live and held and _stop_passed(draft, trade, at):
        return Leg.EXIT
    return None


def _ended_for_good(order: Order, trade: Trade) -> bool:
    """Whether an exit ended such that the trade has to be left: not one that makes way for another, nor an attempt of a stop."""
    if not order.state.is_closed or _is_resized(order):
        return False
    return not _is_failed_stop(order) or trade.progress.stops_failed >= STOP_TRIES


def _is_failed_stop(order: Order) -> bool:
    """Whether a stop never stood at the venue, or was lost when it was changed: another one may."""
    was_refused = order.state in {OrderState.REJECTED, OrderState.EXPIRED, OrderState.DENIED} or order.reason == REPLACE_FAILED
    return order.terms.leg is Leg.STOP_LOSS and was_refused and not order.filled


def _is_resized(order: Order) -> bool:
    return order.pending_cancel is not None and order.pending_cancel.request_id.startswith(RESIZE)


def _stop_passed(draft: AccountDraft, trade: Trade, at: datetime) -> bool:
    """Whether a bar closed beyond the stop and the stop, at the venue since before that bar, has not closed the trade.

    A stop-limit that the market jumped stays open. Without a stop at the venue yet, one is not sent beyond the market.
    """
    mark = draft.marks.get(trade.symbol)
    if mark is None or (mark.price - trade.stop_loss) * trade.side.sign >= 0:
        return False
    entry = draft.orders[trade.entry]
    stop = _open_stop(draft, trade)
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
            detail="a bar closed beyond the stop, which is still open: closed at the market",
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


def _open_stop(draft: AccountDraft, trade: Trade) -> Order | None:
    stops = (o for o in exits_of(draft, trade) if o.terms.leg is Leg.STOP_LOSS and not o.state.is_closed)
    return next(stops, None)


def _leave(draft: AccountDraft, trade: Trade, leg: Leg, held: Decimal, at: datetime) -> None:
    """Take the next step towards flat: cancel what is in the way, send what is free to be sent, or wait for what is due."""
    progress = trade.progress
    if trade.exit_leg is not leg or progress.since is None:
        progress = replace(progress, since=progress.since or at, retry_at=None)  # another reason does not wait
        trade = replace(trade, exit_leg=leg, progress=progress)
        draft.set_trade(trade)
    draft.keep_cancelling(draft.orders[trade.entry], f"leave-{leg}", at)
    if not held:
        return
    _alert_if_late(draft, trade.symbol, trade.progress, at, leg=leg, quantity=held * trade.side.sign)
    trade = draft.trades[trade.symbol]
    if trade.exit is not None:
        _hurry(draft, draft.orders[trade.exit], at)
        return  # one exit at a time
    if progress.retry_at is not None and at < progress.retry_at:
        draft.wait_until(progress.retry_at)
        _restore_stop(draft, trade, held, at)
        return
    for order in _in_the_way(draft, trade.symbol, trade.side.opposite, held, exits_of(draft, trade)):
        draft.keep_cancelling(order, f"leave-{leg}", at)
    stop = _open_stop(draft, trade)
    if stop is not None and draft.holds_coins:
        draft.keep_cancelling(stop, f"leave-{leg}", at)
        return  # until that is confirmed: both could fill, and the second would sell what people hold beside the trade
    quantity = _sendable(draft, trade.symbol, held)
    if not quantity:
        return  # until a cancel is confirmed
    order = send_exit(draft, trade, leg if leg is not Leg.STOP_LOSS else Leg.EXIT, quantity, at)
    trade = draft.trades[trade.symbol]
    draft.set_trade(replace(trade, state=TradeState.EXITING, exit=order.client_order_id))
    if order.state.is_closed:  # refused at once: it counts as an attempt, and the next one is due
        _manage_exit(draft, draft.trades[trade.symbol], at)


def _hurry(draft: AccountDraft, order: Order, at: datetime) -> None:
    """Take back an exit at the market that is still open after a while: what is left of it is sent anew."""
    if not draft.is_live or order.accepted_at is None or order.terms.type is not OrderType.MARKET:
        return
    if at < order.accepted_at + PATIENCE:
        draft.wait_until(order.accepted_at + PATIENCE)
    else:
        draft.keep_cancelling(order, f"hurry-{order.client_order_id}", at)


@exactly
def _sendable(draft: AccountDraft, symbol: Symbol, wanted: Decimal) -> Decimal:
    """Return how much of what is wanted one order can close now; 0: nothing, or less than the venue takes, so wait."""
    wanted = _shown(draft, symbol, wanted)
    quantity, rules = min(wanted, _free(draft, symbol)), draft.state.instruments.get(symbol)
    if rules is None:
        return quantity
    if quantity < wanted and quantity < rules.min_quantity:
        return ZERO
    return min(quantity, rules.max_quantity)


def _restore_stop(draft: AccountDraft, trade: Trade, held: Decimal, at: datetime) -> None:
    """Put the stop back while the next exit is not due: once after each exit that did not go through."""
    if not draft.is_live or trade.progress.stop_restored or _open_stop(draft, trade) is not None:
        return
    quantity = _sendable(draft, trade.symbol, held)
    if quantity:
        draft.set_trade(replace(trade, progress=replace(trade.progress, stop_restored=True)))
        send_exit(draft, draft.trades[trade.symbol], Leg.STOP_LOSS, quantity, at)


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
    draft.set_trade(replace(trade, progress=replace(progress, attempts=progress.attempts + 1, stop=stop)))
    return draft.send(terms, at, entry=trade.entry, is_exit=True)


def _protect(draft: AccountDraft, trade: Trade, held: Decimal, at: datetime) -> None:
    """Keep a stop at the venue for just what is held: send it, and change it where the venue can, else send another."""
    stop = _open_stop(draft, trade)
    if stop is None:
        for order in _in_the_way(draft, trade.symbol, trade.side.opposite, held, ()):
            draft.keep_cancelling(order, f"protect-{trade.entry}", at)
        quantity = _sendable(draft, trade.symbol, held)
        if quantity and send_exit(draft, trade, Leg.STOP_LOSS, quantity, at).state.is_closed:
            _manage_exit(draft, draft.trades[trade.symbol], at)  # refused at once: without protection it is left
        return
    if _differs(draft, stop):
        draft.keep_cancelling(stop, f"{RESIZE}-differs-{len(stop.trades)}", at)  # another takes its place, as it is wanted
        return
    if stop.state in STANDING and trade.progress.stops_failed:
        draft.set_trade(replace(trade, progress=replace(trade.progress, stops_failed=0)))
    wanted = _shown(draft, trade.symbol, held)
    if wanted > stop.leaves:  # what others hold there lets it not grow, and makes it no smaller
        wanted = max(min(wanted, _within_reach(draft, trade.symbol)), stop.leaves)
    wanted = _sum(stop.filled, wanted)
    if stop.state not in STANDING or stop.pending_update is not None or stop.quantity == wanted:
        return
    request_id = f"{RESIZE}-{wanted}-{len(stop.trades)}"
    if not wanted:  # the venue has nothing of it left: somebody closed it there
        draft.keep_cancelling(stop, request_id, at)
        return
    asked = OrderUpdateRequested(client_order_id=stop.client_order_id, at=at, request_id=request_id, quantity=wanted)
    if asked.event_id in stop.seen:  # the venue did not change it
        draft.keep_cancelling(stop, request_id, at)
        return
    draft.take(asked)
    draft.ask(OrderInstruction.REPLACE, stop, request_id, at, quantity=wanted)


def _differs(draft: AccountDraft, order: Order) -> bool:
    """Whether two views have shown that somebody changed an order's quantity at the venue. Another price is left as it is."""
    key = (VenueDifference.ORDER_DIFFERS, order.client_order_id)
    found = (doubt for doubt in draft.at_venue.doubts if doubt.told and doubt.key == key)
    return any(doubt.ledger.split()[0] != doubt.venue.split()[0] for doubt in found)


def _ended(draft: AccountDraft, trade: Trade, entry: Order, exits: list[Order], at: datetime) -> None:
    """The trade is over: flat, and nothing of it is open."""
    if not entry.filled:
        draft.set_trade(replace(trade, state=TradeState.ABANDONED, closed_at=entry.closed_at or at), is_over=True)
        return
    own = {entry.client_order_id, *_keys(exits)}
    found = attribute(trade, entry, exits, others_of(trade, own, draft.orders.values()), draft.quantity(trade.symbol))
    last = found.last
    price = found.price or draft.marks[trade.symbol].price
    closed_at = at if last is None else last.at
    leg = last.leg if last is not None and last.order in own else Leg.EXIT  # people's orders close it by hand
    closed = replace(
        trade,
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
            mode=_mode(draft),
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
    """Return the signed position that exits made which crossed on the wire and closed more than was open."""
    own = entry.filled - sum((order.filled for order in exits), ZERO)
    return min(own, ZERO) * trade.side.sign


@exactly
def _at_mark(trade: Trade, entry: Order, exits: list[Order], price: Decimal) -> Decimal:
    """Return what a trade earned after fees of which a part was closed by no order: that part is valued at `price`."""
    closed = sum((order.filled for order in exits), ZERO)
    brought = sum((order.filled_value for order in exits), ZERO) + (entry.filled - closed) * price
    fees = entry.fees + sum((order.fees for order in exits), ZERO)
    return exact(trade.side.sign * (brought - entry.filled_value) - fees, "realised")


# What belongs to no open trade


@exactly
def close_stray(draft: AccountDraft, symbol: Symbol, quantity: Decimal, at: datetime, entry: ClientOrderId | None) -> None:
    """Have a signed quantity closed that belongs to no open trade: a fill that came after its trade was over."""
    known = draft.closings.get(symbol) or Closing(symbol, ZERO, ExitProgress(since=at), entry)
    draft.keep_closing(replace(known, quantity=known.quantity + quantity, entry=known.entry or entry))


@exactly
def _rest(draft: AccountDraft, symbol: Symbol) -> Decimal:
    """Return the signed position that belongs to no open trade."""
    quantity, trade = draft.quantity(symbol), draft.trades.get(symbol)
    if trade is None:
        return quantity
    return quantity - held_by(draft, trade) * trade.side.sign


@exactly
def _to_close(draft: AccountDraft, closing: Closing) -> Decimal:
    """Return the signed quantity that is still to be closed: never more than the rest, nor the other way around."""
    rest = _rest(draft, closing.symbol)
    if closing.is_flattened:
        return rest
    if rest * closing.quantity <= 0:
        return ZERO
    return min(rest, closing.quantity, key=abs)


def _manage_remainder(draft: AccountDraft, symbol: Symbol, at: datetime) -> None:
    closing, is_flattened = draft.closings.get(symbol), draft.halt_level(at) is HaltLevel.FLATTEN
    if is_flattened and closing is None and _rest(draft, symbol):
        closing = Closing(symbol, ZERO, ExitProgress(since=at))
    if closing is None:
        return
    if closing.is_flattened is not is_flattened:
        closing = replace(closing, is_flattened=is_flattened, progress=replace(closing.progress, retry_at=None))
    if closing.order is not None and _is_over(draft, closing.order):
        closing = _closing_after(draft, closing, at)
    wanted = _to_close(draft, closing)
    if closing.order is None and not wanted:
        if closing.progress.since is not None and closing.progress.since < at:
            draft.end_closing(symbol)
        else:
            draft.keep_closing(replace(closing, quantity=ZERO))
        return
    draft.keep_closing(closing)
    _close(draft, closing, wanted, at)


def _is_a_persons_reduction(draft: AccountDraft, order: Order) -> bool:
    """Whether the kill switch, which closes all of a position, takes an order out of the book: it may not be closed twice."""
    if not order.terms.reduce_only or order.terms.strategy == KILL_SWITCH:
        return False
    trade = draft.trades.get(Symbol(order.terms.symbol))
    return trade is None or order.client_order_id not in _keys(exits_of(draft, trade))


@exactly
def _closing_after(draft: AccountDraft, closing: Closing, at: datetime) -> Closing:
    """Return what is left to close once the attempt on its way has ended."""
    key = closing.order
    if key is None:
        return closing
    order, left = draft.orders.get(key), closing.quantity
    if order is not None:
        left += order.terms.signed(order.filled)  # it closes the other way, so this takes from it
        left = left if left * closing.quantity > 0 else ZERO
    return replace(closing, order=None, quantity=left, progress=_after(draft, closing.progress, key, at))


def _leg_of(closing: Closing) -> Leg:
    return Leg.FLATTEN if closing.is_flattened else Leg.EXIT


def _close(draft: AccountDraft, closing: Closing, wanted: Decimal, at: datetime) -> None:
    symbol, progress = closing.symbol, closing.progress
    if wanted:
        _alert_if_late(draft, symbol, progress, at, leg=_leg_of(closing), quantity=wanted)
        closing = draft.closings[symbol]
    if closing.order is not None:
        _hurry(draft, draft.orders[closing.order], at)
        return
    if not wanted:
        return
    if progress.retry_at is not None and at < progress.retry_at:
        draft.wait_until(progress.retry_at)
        return
    side = Side.SELL if wanted > 0 else Side.BUY
    for order in _in_the_way(draft, symbol, side, abs(wanted), ()):
        draft.keep_cancelling(order, f"close-{order.client_order_id}", at)
    quantity = _sendable(draft, symbol, abs(wanted))
    if not quantity:
        return
    closing = draft.closings[symbol]
    since = closing.progress.since or at
    order = draft.send(
        OrderTerms(
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
    progress = replace(closing.progress, attempts=closing.progress.attempts + 1)
    draft.keep_closing(replace(closing, order=order.client_order_id, progress=progress))
    if order.state.is_closed:
        _manage_remainder(draft, symbol, at)


# Alarms


def _alert_if_late(
    draft: AccountDraft, symbol: Symbol, progress: ExitProgress, at: datetime, *, leg: Leg, quantity: Decimal
) -> None:
    """Tell that a position that has to be closed is still there, again after growing pauses; one line each.

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
            mode=_mode(draft),
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
    alarmed = replace(progress, alarms=number)
    trade, closing = draft.trades.get(symbol), draft.closings.get(symbol)
    if trade is not None and trade.progress is progress:
        draft.set_trade(replace(trade, progress=alarmed))
    elif closing is not None:
        draft.keep_closing(replace(closing, progress=alarmed))


def _alarm_after(alarms: int) -> timedelta:
    """Return how long after it was to be closed the next alarm is due."""
    if alarms < len(_ALARMS):
        return _ALARMS[alarms]
    return _ALARMS[-1] * (alarms - len(_ALARMS) + 2)


def _mode(draft: AccountDraft) -> Literal["paper", "live"]:
    return "live" if draft.is_live else "paper"
