"""A snapshot of the account at the terminal: orders, deals and positions, and who owns them.

An order of ours is recognised by its magic number: our mark in the highest byte, then the first 56 bits of the client order id.
Our orders can thus be told apart from those of a person or another program, even if the journal was lost. The comment has 31
characters, one too few for the id, and a broker may replace it; it is only for people.
A deal belongs to the order whose magic it carries, with two exceptions. A deal by stop loss or take profit carries the magic of
its position (levels.py says which order it belongs to). And some servers give a manual close the position's magic: if a deal
closes a position that an order with the same magic opened, the deal is somebody else's.
Deals may reach the history later than their order. Sums here say when they are incomplete; a missing deal proves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.terms import Side
from signalbox.orders.venue_port import VenueSilentError
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade
from signalbox_mt5.broker_clock import BrokerClock
from signalbox_mt5.contracts import Contract
from signalbox_mt5.terminal import (
    DealEntry,
    DealKind,
    DealReason,
    Holding,
    MarginMode,
    OrderKind,
    OrderStatus,
    Terminal,
    exact,
)

MARK: Final = 0x5B  # highest of the eight bytes of our magic numbers; people and other programs choose smaller numbers
MARK_SHIFT: Final = 56
ID_DIGITS: Final = 14  # hexadecimal digits of the client order id in the other seven bytes
HISTORY_MARGIN: Final = timedelta(days=2)  # added on both sides of a history query, to cover any time zone of the broker
LOOKBACK: Final = timedelta(days=90)  # how far back one order is searched by its id
_LIMITS: Final = frozenset({OrderKind.BUY_LIMIT, OrderKind.SELL_LIMIT})
_STOPS: Final = frozenset({OrderKind.BUY_STOP, OrderKind.SELL_STOP})
_TRADES: Final = frozenset({DealKind.BUY, DealKind.SELL})
_OPENS: Final = frozenset({DealEntry.IN, DealEntry.INOUT})
_BY_SERVER: Final = frozenset(
    {DealReason.SL, DealReason.TP, DealReason.SO, DealReason.ROLLOVER, DealReason.VMARGIN, DealReason.SPLIT}
)


def magic_of(client_order_id: str) -> int:
    """Return the magic number of one of our orders."""
    return MARK << MARK_SHIFT | int(client_order_id[:ID_DIGITS], 16)


def is_ours(magic: int) -> bool:
    """Return whether a magic number is one of this agent's."""
    return magic >> MARK_SHIFT == MARK


class TerminalBook:
    """One snapshot of the terminal; each list is read once. Raises VenueSilentError if the terminal does not answer."""

    def __init__(self, terminal: Terminal, broker: BrokerClock, clock: Callable[[], datetime], margin_mode: int) -> None:
        self._terminal, self._broker, self._clock = terminal, broker, clock
        self.is_hedging = margin_mode == MarginMode.HEDGING
        self._of_position: dict[int, list[Any]] = {}
        self._positions: list[Any] | None = None
        self._orders: list[Any] | None = None

    def orders(self) -> list[Any]:
        """Return the resting orders."""
        if self._orders is None:
            self._orders = self._listed(self._terminal.orders_get())
        return self._orders

    def positions(self) -> list[Any]:
        """Return every open position, whoever opened it."""
        if self._positions is None:
            self._positions = self._listed(self._terminal.positions_get())
        return self._positions

    def past_orders(self, since: datetime) -> list[Any]:
        """Return the closed orders, whoever sent them."""
        return self._listed(self._terminal.history_orders_get(since - HISTORY_MARGIN, self._clock() + HISTORY_MARGIN))

    def deals(self, since: datetime) -> list[Any]:
        """Return all deals, including those that are not trades."""
        return self._listed(self._terminal.history_deals_get(since - HISTORY_MARGIN, self._clock() + HISTORY_MARGIN))

    def deals_of_position(self, identifier: int) -> list[Any]:
        """Return every deal of a position, oldest first."""
        if identifier not in self._of_position:
            found = self._listed(self._terminal.history_deals_get(position=identifier))
            self._of_position[identifier] = [deal for deal in found if deal.type in _TRADES]
        return self._of_position[identifier]

    def orders_of(self, name: str) -> tuple[list[Any], list[Any]]:
        """Return the resting and the closed orders of a client order id."""
        magic = magic_of(name)
        live = [order for order in self.orders() if order.magic == magic]
        shown = {order.ticket for order in live}
        past = self.past_orders(self._clock() - LOOKBACK)
        return live, [order for order in past if order.magic == magic and order.ticket not in shown]

    def deals_of(self, name: str) -> list[Any]:
        """Return the deals of a client order id."""
        magic = magic_of(name)
        return [deal for deal in self.deals(self._clock() - LOOKBACK) if deal.magic == magic and self.is_order_deal(deal)]

    def is_order_deal(self, deal: Any) -> bool:
        """Whether a deal belongs to the order whose magic it carries."""
        if deal.type not in _TRADES or deal.reason in _BY_SERVER or not is_ours(deal.magic):
            return False
        if deal.entry in _OPENS:
            return True
        return all(d.magic != deal.magic for d in self.deals_of_position(deal.position_id) if d.entry in _OPENS)

    def is_trade(self, deal: Any) -> bool:
        """Whether a deal is a purchase or a sale."""
        return deal.type in _TRADES

    def positions_of_entry(self, entry: str, name: str) -> list[Any]:
        """Return the open positions of a symbol that one of our entries opened or added to."""
        magic = magic_of(entry)
        return [p for p in self.positions() if p.symbol == name and (p.magic == magic or magic in self._openers(p))]

    def identifiers_of_entry(self, entry: str) -> tuple[int, ...]:
        """Return the identifiers of all positions that one of our entries opened, including closed ones."""
        return tuple(dict.fromkeys(deal.position_id for deal in self.deals_of(entry) if deal.entry in _OPENS))

    @exactly
    def own_lots(self, position: Any) -> Decimal:
        """Return how many lots of a position are ours. Hedging: all or none. Netting: the sum of our deals."""
        if self.is_hedging:
            return exact(position.volume) if is_ours(position.magic) else ZERO
        sign = 1 if position.type == Holding.BUY else -1
        own = sum((self._signed(deal) for deal in self.deals_of_position(position.identifier) if is_ours(deal.magic)), ZERO)
        return min(max(own * sign, ZERO), exact(position.volume))

    def is_shared(self, position: Any, entry: str) -> bool:
        """Whether anyone but this entry has contributed to a position. Never on a hedging account."""
        return not self.is_hedging and bool(self._openers(position) - {magic_of(entry)})

    @exactly
    def require_settled(self, identifiers: Sequence[int]) -> None:
        """Raise VenueSilentError while the history does not show how a closed position was closed."""
        there = {position.identifier for position in self.positions()}
        for identifier in identifiers:
            deals = self.deals_of_position(identifier)
            if identifier not in there and (not deals or sum(map(self._signed, deals), ZERO)):
                raise VenueSilentError(f"position {identifier} is closed, but its history does not show the closing deals yet")

    @exactly
    def order(self, name: str | None, orders: Sequence[Any], contract: Contract, asked: Decimal | None) -> VenueOrder:
        """Return one or several orders of the terminal as one order of the ledger.

        A market order that closed several positions has one order at the terminal for each. A resting order whose size was
        changed has a first order and its replacement; its quantity is what both filled plus what the replacement has left.
        asked: the requested quantity of a market order, None if it is unknown.
        """
        orders = sorted(orders, key=lambda order: order.ticket)
        last = orders[-1]
        filled = sum((exact(o.volume_initial) - exact(o.volume_current) for o in orders), ZERO) * contract.size
        rests = last.type in _LIMITS | _STOPS
        left = exact(last.volume_current) if rests else sum((exact(o.volume_current) for o in orders), ZERO)
        quantity = filled + left * contract.size if rests or asked is None else asked
        price = exact(last.price_open)
        return VenueOrder(
            client_order_id=name,
            venue_order_id=str(orders[0].ticket),
            symbol=contract.ours,
            status=self._status(orders, filled, quantity),
            quantity=quantity,
            filled=filled,  # from the orders, because their deals may reach the history later
            limit_price=price if last.type in _LIMITS else None,
            stop_price=price if last.type in _STOPS else None,
        )

    @exactly
    def trade(self, deal: Any, name: str | None, contract: Contract) -> VenueTrade:
        """Return a deal as a trade. Its fee includes the swap, because the terminal books both into the balance at once."""
        return VenueTrade(
            trade_id=str(deal.ticket),
            client_order_id=name,
            symbol=contract.ours,
            side=Side.BUY if deal.type == DealKind.BUY else Side.SELL,
            quantity=contract.base(deal.volume),
            price=exact(deal.price),
            executed_at=self._broker.utc(deal.time_msc),
            fee=-(exact(deal.commission) + exact(deal.fee) + exact(deal.swap)),  # the terminal shows costs as negative amounts
        )

    @exactly
    def held(self, contracts: Mapping[str, Contract], *, others: bool) -> dict[str, Decimal]:
        """Return signed base quantities by symbol: of all positions, or only the part that is not ours."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for position in self.positions():
            contract = contracts.get(position.symbol) or Contract.unknown(position.symbol)
            lots = exact(position.volume) - (self.own_lots(position) if others else ZERO)
            found[contract.ours] += lots * contract.size * (1 if position.type == Holding.BUY else -1)
        return {symbol: amount for symbol, amount in found.items() if amount}

    def _openers(self, position: Any) -> set[int]:
        return {deal.magic for deal in self.deals_of_position(position.identifier) if deal.entry in _OPENS}

    def _signed(self, deal: Any) -> Decimal:
        return exact(deal.volume) if deal.type == DealKind.BUY else -exact(deal.volume)

    def _status(self, orders: Sequence[Any], filled: Decimal, asked: Decimal) -> VenueStatus:
        live = {order.ticket for order in self.orders()}
        if any(order.ticket in live for order in orders):
            return VenueStatus.OPEN
        if filled == asked:
            return VenueStatus.FILLED
        if orders[-1].state == OrderStatus.EXPIRED:
            return VenueStatus.EXPIRED
        rejected = orders[-1].state == OrderStatus.REJECTED and not filled
        return VenueStatus.REJECTED if rejected else VenueStatus.CANCELED

    def _listed(self, found: Any) -> list[Any]:
        if found is None:
            raise VenueSilentError(f"the terminal does not answer (last error {self._terminal.last_error()})")
        return list(found)
