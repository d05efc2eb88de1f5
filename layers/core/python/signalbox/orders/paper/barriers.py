"""The exits of a position on bars: stop loss, take profit, timeout. If one bar allows several, the worst for us happens.

The exit is an order of the other side. Its stop loss is a stop order, its take profit a resting limit order and its
timeout a market order, each read from the bar as `quotes` describes. Within one bar:

1. at the open: the stop if the bar opens beyond it, else the target if the bar opens beyond it (at the target's price), else
   the timeout if its time has come;
2. inside the bar: the stop if it was touched, otherwise the target;
3. in the bar of an entry inside it: the stop if it was touched, never the target, because the sequence is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from signalbox.exact import exactly
from signalbox.market.candles import Candle
from signalbox.orders.errors import OrderTermsError
from signalbox.orders.events import Liquidity, OrderFilled
from signalbox.orders.order import Order
from signalbox.orders.paper.quotes import PaperExecution, Quotes
from signalbox.orders.paper.venue import PaperVenue
from signalbox.orders.terms import Leg, Side


class EntryTiming(StrEnum):
    """The time of a position's entry within its bar: at the open (market order) or somewhere inside (limit or stop order)."""

    AT_OPEN = "AT_OPEN"
    INSIDE = "INSIDE"


@dataclass(frozen=True, slots=True)
class Bracket:
    """The exits of one position. `side` opened the position. Raises OrderTermsError for a bracket without any exit."""

    side: Side
    entry_bar: datetime  # open_time of the entry's bar
    timing: EntryTiming
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    deadline: datetime | None = None  # exit at the first open at or after it

    def __post_init__(self) -> None:
        if self.stop_loss is None and self.take_profit is None and self.deadline is None:
            raise OrderTermsError("no barrier: give a stop loss, a take profit or a deadline")
        if self.stop_loss is not None and self.take_profit is not None:
            low, high = sorted((self.stop_loss, self.take_profit))
            if low == high or (self.stop_loss < self.take_profit) != (self.side is Side.BUY):
                raise OrderTermsError(
                    f"{self.side}: stop {self.stop_loss} and target {self.take_profit} are on the wrong sides of each other"
                )


@dataclass(frozen=True, slots=True)
class BarrierHit:
    """The exit that a bar reached, and its price before slippage and rounding."""

    leg: Leg  # STOP_LOSS, TAKE_PROFIT or TIMEOUT
    execution: PaperExecution


@exactly
def barrier_hit(bracket: Bracket, bar: Candle, half_spread: Decimal) -> BarrierHit | None:
    """Return the exit that this bar reaches, or None. half_spread: of the venue's model for this bar, in quote currency."""
    if bar.open_time < bracket.entry_bar:
        return None
    quotes = Quotes(bar, bracket.side.opposite, half_spread)
    if bar.open_time == bracket.entry_bar:
        return _in_entry_bar(bracket, quotes)
    return _at_open(bracket, quotes) or _stop(bracket, quotes) or _target(bracket, quotes)


def _in_entry_bar(bracket: Bracket, quotes: Quotes) -> BarrierHit | None:
    if bracket.timing is EntryTiming.AT_OPEN:
        return _stop(bracket, quotes) or _target(bracket, quotes)
    touched = quotes.stop_inside(bracket.stop_loss) if bracket.stop_loss is not None else None
    return BarrierHit(Leg.STOP_LOSS, touched) if touched is not None else None


def _at_open(bracket: Bracket, quotes: Quotes) -> BarrierHit | None:
    open_time, touch = quotes.bar.open_time, quotes.touch(quotes.bar.open)
    stop = _stop(bracket, quotes)
    if stop is not None and stop.execution.at == open_time:
        return stop
    if bracket.take_profit is not None and not quotes.worse(touch, bracket.take_profit):
        return BarrierHit(Leg.TAKE_PROFIT, PaperExecution(bracket.take_profit, Liquidity.MAKER, open_time, slips=False))
    if bracket.deadline is not None and bracket.deadline <= open_time:
        return BarrierHit(Leg.TIMEOUT, quotes.market(open_time))
    return None


def _stop(bracket: Bracket, quotes: Quotes) -> BarrierHit | None:
    execution = quotes.stop(bracket.stop_loss) if bracket.stop_loss is not None else None
    return BarrierHit(Leg.STOP_LOSS, execution) if execution is not None else None


def _target(bracket: Bracket, quotes: Quotes) -> BarrierHit | None:
    execution = quotes.resting_limit(bracket.take_profit) if bracket.take_profit is not None else None
    return BarrierHit(Leg.TAKE_PROFIT, execution) if execution is not None else None


def barrier_fill(venue: PaperVenue, order: Order, hit: BarrierHit, bar: Candle) -> OrderFilled:
    """Return the trade that fills the exit order in full. Raises OrderTermsError if the order has another leg.

    The bar's volume does not limit exits: the model assumes that a position that must close finds a buyer or seller at the
    modelled price.
    """
    if order.terms.leg is not hit.leg:
        raise OrderTermsError(f"{order.client_order_id}: expected leg {hit.leg}, got {order.terms.leg}")
    return venue.fill(order, order.leaves, hit.execution, bar)
