"""Computes how much of a trade is open, and how much of a position an order may close now. Pure: changes no account.

At a venue that reserves the coins of a resting order (spot), an exit can take only what no other order has reserved, and
others' orders count too. Elsewhere the venue enforces reduce-only, and an exit may close the whole position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import VenueDifference
from signalbox.orders.terms import Side
from signalbox.trading.attribution import attribute, others_of
from signalbox.trading.draft import AccountDraft
from signalbox.trading.state import EXIT_LEGS, KILL_SWITCH, Trade


def exits_of(draft: AccountDraft, trade: Trade) -> list[Order]:
    """Return the trade's exit orders in the account state, by attempt."""
    strategy = draft.account.strategy
    found = [o for o in draft.orders.values() if o.terms.leg in EXIT_LEGS and trade.owns(o) and o.terms.strategy == strategy]
    if len(found) > 1:
        found.sort(key=lambda order: order.terms.attempt)
    return found


def held_by(draft: AccountDraft, trade: Trade) -> Decimal:
    """Return the open quantity of a trade: filled, less what closed it, and never more than the position.

    What manual orders closed of the trade stays closed, even if somebody bought again since (attribution.py).
    """
    return ZERO if not draft.orders[trade.entry].filled else held_after(draft, trade, exits_of(draft, trade))


@exactly
def held_after(draft: AccountDraft, trade: Trade, exits: Sequence[Order]) -> Decimal:
    """Return the same as `held_by` from the trade's exit orders, which the caller has."""
    entry = draft.orders[trade.entry]
    own = entry.filled
    if not own:
        return ZERO
    for order in exits:
        own -= order.filled
    position = draft.quantity(trade.symbol)
    if len(draft.orders) > len(exits) + 1 and (others := others_of(trade, (trade.entry, *keys_of(exits)), draft.orders.values())):
        own = min(own, attribute(trade, entry, exits, others, position).left)
    return max(min(own, position * trade.side.sign), ZERO)


@exactly
def _against(draft: AccountDraft, symbol: str, closing: Side) -> Decimal:
    """Return the quantity of open orders that already work to close a position."""
    working = (order.fillable - order.filled for order in draft.open_orders(symbol) if order.terms.side is closing)
    return sum(working, ZERO)


def _free(draft: AccountDraft, symbol: str) -> Decimal:
    """Return how much of a position an order may close now; where a venue holds coins, only what no resting order reserves."""
    return _left_beside(draft, symbol, ()) if draft.holds_coins else abs(draft.quantity(symbol))


@exactly
def _left_beside(draft: AccountDraft, symbol: str, own: Iterable[Order]) -> Decimal:
    """Return how much of a position no other order works to close. own: orders that do not count as others."""
    quantity = draft.quantity(symbol)
    closing = Side.SELL if quantity > 0 else Side.BUY
    mine = (o.fillable - o.filled for o in own if o.terms.side is closing and not o.state.is_closed)
    return max(within_reach(draft, symbol) - _against(draft, symbol, closing) + sum(mine, ZERO), ZERO)


@exactly
def within_reach(draft: AccountDraft, symbol: str) -> Decimal:
    """Return how much of a position our orders can close. On a spot venue that excludes coins that others' orders reserve.

    Others' orders are the open orders in the newest view that Signalbox did not send.
    """
    quantity = draft.quantity(symbol)
    if not draft.holds_coins:
        return abs(quantity)
    others = draft.at_venue.held_by_others(symbol, Side.SELL if quantity > 0 else Side.BUY)
    return min(abs(quantity), max(_at_venue(draft, symbol) - others, ZERO))


def in_the_way(draft: AccountDraft, symbol: Symbol, closing: Side, wanted: Decimal, own: Iterable[Order]) -> list[Order]:
    """Return the manual orders that reserve what `wanted` needs to close; empty if enough of the position is not reserved.

    own: the orders of the trade that is to be closed.
    """
    if _left_beside(draft, symbol, own) >= wanted:
        return []
    ours = {key for trade in draft.trades.values() for key in keys_of(exits_of(draft, trade))}
    return [
        order
        for order in draft.open_orders(symbol)
        if order.terms.side is closing and order.client_order_id not in ours and order.terms.strategy != KILL_SWITCH
    ]


def shown(draft: AccountDraft, symbol: str, wanted: Decimal) -> Decimal:
    """Return `wanted`, but at most what the venue shows of the position: the venue would refuse a larger order."""
    return min(wanted, _at_venue(draft, symbol))


@exactly
def _at_venue(draft: AccountDraft, symbol: str) -> Decimal:
    """Return the position's size according to the books, or to the venue once two views differed from the books.

    Where orders reserve coins, nobody can be short. Books that are short there lack a trade of somebody else, which a view will
    show: a purchase would close nothing and open a position.
    """
    quantity = draft.quantity(symbol)
    if draft.holds_coins and quantity < ZERO:
        return ZERO
    for doubt in draft.at_venue.doubts:
        if doubt.reported and doubt.difference is VenueDifference.POSITION_DIFFERS and doubt.subject == symbol:
            return max(Decimal(doubt.venue) * (1 if quantity > 0 else -1), ZERO)
    return abs(quantity)


@exactly
def sendable(draft: AccountDraft, symbol: Symbol, wanted: Decimal) -> Decimal:
    """Return how much of `wanted` one order can close now; 0 means wait: less than the venue's minimum is free."""
    wanted = shown(draft, symbol, wanted)
    quantity, rules = min(wanted, _free(draft, symbol)), draft.state.instruments.get(symbol)
    if rules is None:
        return quantity
    if quantity < wanted and quantity < rules.min_quantity:
        return ZERO
    return min(quantity, rules.max_quantity)


def keys_of(orders: Iterable[Order]) -> set[ClientOrderId]:
    """Return the client order ids of orders."""
    return {order.client_order_id for order in orders}
