"""The paper venue: how it answers an order, and what a bar does to its open orders. Pure; see the package's docstring.

An order is at the venue from its acceptance on. It may trade in the bar that opens then or later; an order that arrives at
most `arrival_tolerance` after an open still gets that open. A cancel or update takes effect in the first bar that opens after
its arrival, so the bar that is open at its arrival trades first. An order that expires inside a bar does not trade in that bar.
A bar without volume fills nothing, and orders wait for the next bar. A trade id is made from order and bar, so the same bar
given twice is the same trade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, to_step
from signalbox.market.candles import ONE_MINUTE, Candle, to_ms
from signalbox.orders.errors import OrderTermsError
from signalbox.orders.events import (
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUpdated,
    OrderUpdateRejected,
)
from signalbox.orders.lifecycle import apply
from signalbox.orders.order import Order
from signalbox.orders.paper.models import (
    FixedSlippage,
    LiquidityModel,
    ProportionalFees,
    SpreadModel,
)
from signalbox.orders.paper.quotes import PaperExecution, Quotes
from signalbox.orders.terms import OrderType, Side, TimeInForce

LOT_SIZE: Final = "LOT_SIZE"
TICK_SIZE: Final = "TICK_SIZE"
REDUCE_ONLY: Final = "REDUCE_ONLY"
UPDATE_IMPOSSIBLE: Final = "UPDATE_IMPOSSIBLE"
CANCEL_REQUESTED: Final = "CANCEL_REQUESTED"


@dataclass(frozen=True, slots=True)
class PaperInstrument:
    """The venue's steps: prices are multiples of `tick`, quantities multiples of `lot`."""

    tick: Decimal
    lot: Decimal


@dataclass(frozen=True, slots=True)
class PaperVenue:
    """The models of one venue. Prices are rounded to the tick against us, quantities down to the lot."""

    instruments: Mapping[str, PaperInstrument]
    spread: SpreadModel
    slippage: FixedSlippage
    fees: ProportionalFees
    latency: timedelta  # of every message to the venue
    liquidity: LiquidityModel
    arrival_tolerance: timedelta = timedelta(seconds=1)

    def instrument(self, symbol: str) -> PaperInstrument:
        """Return the steps of a symbol. Raises OrderTermsError if the venue does not have the symbol."""
        if symbol not in self.instruments:
            raise OrderTermsError(f"the paper venue has no symbol {symbol}; it has {sorted(self.instruments)}")
        return self.instruments[symbol]

    @exactly
    def answer(self, order: Order, position: Decimal) -> OrderEvent:
        """Return the acceptance or rejection of a submitted order.

        position: signed position of the order's account and symbol, for the reduce-only check. Raises OrderTermsError if the
        order was not submitted.
        """
        if order.submitted_at is None:
            raise OrderTermsError(f"{order.client_order_id}: expected a submitted order, got state {order.state}")
        at = order.submitted_at + self.latency
        reason = self._refusal(order, position)
        if reason is not None:
            return OrderRejected(client_order_id=order.client_order_id, at=at, reason=reason)
        return OrderAccepted.trusted(client_order_id=order.client_order_id, at=at, venue_order_id=f"P{order.client_order_id}")

    def _refusal(self, order: Order, position: Decimal) -> str | None:
        steps = self.instrument(order.terms.symbol)
        if order.quantity % steps.lot:
            return LOT_SIZE
        if any(price is not None and price % steps.tick for price in (order.limit_price, order.stop_price)):
            return TICK_SIZE
        if order.terms.reduce_only and position * order.terms.side.sign >= 0:
            return REDUCE_ONLY
        return None

    @exactly
    def match(self, order: Order, bar: Candle, position: Decimal) -> tuple[OrderEvent, ...]:
        """Return what this closed bar does to an open order, oldest event first. An order not at the venue gets no events."""
        if order.accepted_at is None or order.state.is_closed:
            return ()
        events: list[OrderEvent] = []
        order = self._settle_requests(order, bar, events)
        if order.state.is_closed or order.accepted_at is None or order.accepted_at > bar.open_time + self.arrival_tolerance:
            return tuple(events)
        if order.terms.expires_at is not None and order.terms.expires_at < bar.close_time:
            events.append(OrderExpired(client_order_id=order.client_order_id, at=order.terms.expires_at, reason=TimeInForce.GTD))
            return tuple(events)
        if trade_id(order, bar) not in {trade.trade_id for trade in order.trades}:
            fill = self._fill(order, bar, position)
            if fill is not None:
                events.append(fill)
                order, position = apply(order, fill), position + order.terms.signed(fill.quantity)
        if not order.state.is_closed and (reason := _why_over(order, position)) is not None:
            events.append(OrderCanceled(client_order_id=order.client_order_id, at=bar.close_time, reason=reason))
        return tuple(events)

    def _settle_requests(self, order: Order, bar: Candle, events: list[OrderEvent]) -> Order:
        """Answer the update and then the cancel that arrived before the bar opened."""
        update, cancel = order.pending_update, order.pending_cancel
        if update is not None and (at := update.requested_at + self.latency) <= bar.open_time:
            answer = {"client_order_id": order.client_order_id, "at": at, "request_id": update.request_id}
            is_possible = update.quantity >= order.filled and not update.quantity % self.instrument(order.terms.symbol).lot
            events.append(OrderUpdated(**answer) if is_possible else OrderUpdateRejected(**answer, reason=UPDATE_IMPOSSIBLE))
            order = apply(order, events[-1])
        if cancel is not None and not order.state.is_closed:
            at = cancel.requested_at + self.latency
            if at <= bar.open_time:
                events.append(OrderCanceled(client_order_id=order.client_order_id, at=at, reason=CANCEL_REQUESTED))
                order = apply(order, events[-1])
        return order

    def _fill(self, order: Order, bar: Candle, position: Decimal) -> OrderFilled | None:
        if not bar.volume:
            return None
        execution = self._execution(order, bar)
        quantity = self._quantity(order, bar, position)
        if execution is None or not quantity:
            return None
        if order.terms.time_in_force is TimeInForce.FOK and quantity < order.leaves:
            return None
        return self.fill(order, quantity, execution, bar)

    @exactly
    def fill(self, order: Order, quantity: Decimal, execution: PaperExecution, bar: Candle) -> OrderFilled:
        """Return the trade of an execution: with slippage, rounded to the tick against us, with its fee."""
        price = self._price(order, execution)
        return OrderFilled.trusted(
            client_order_id=order.client_order_id,
            at=execution.at,
            account=order.terms.account,
            symbol=order.terms.symbol,
            trade_id=trade_id(order, bar),
            quantity=quantity,
            price=price,
            fee=self.fees.fee(quantity * price, execution.liquidity),
            liquidity=execution.liquidity,
        )

    def _execution(self, order: Order, bar: Candle) -> PaperExecution | None:
        quotes = Quotes(bar, order.terms.side, self.spread.half_spread(bar))
        arrived = order.accepted_at or bar.open_time
        match order.terms.type:
            case OrderType.MARKET:
                return quotes.market(arrived)
            case OrderType.LIMIT:
                limit = order.limit_price or ZERO
                is_new = arrived > bar.open_time - ONE_MINUTE + self.arrival_tolerance
                taken = quotes.marketable_limit(limit, arrived) if is_new else None
                return taken or quotes.resting_limit(limit)
            case OrderType.STOP:
                if order.trades:  # the stop was triggered in an earlier bar, so the rest is a market order
                    return quotes.market(arrived)
                return quotes.stop(order.stop_price or ZERO)

    def _quantity(self, order: Order, bar: Candle, position: Decimal) -> Decimal:
        limits = [order.leaves, self.liquidity.available(bar)]
        if order.terms.reduce_only:
            limits.append(max(-position * order.terms.side.sign, ZERO))
        most = min(limit for limit in limits if limit is not None)
        return to_step(most, self.instrument(order.terms.symbol).lot, upwards=False)

    def _price(self, order: Order, execution: PaperExecution) -> Decimal:
        side, tick = order.terms.side, self.instrument(order.terms.symbol).tick
        price = execution.price
        if execution.slips:
            price += side.sign * self.slippage.slippage(execution.price)
        price = max(to_step(price, tick, upwards=side is Side.BUY), tick)
        if execution.cap is not None:
            price = min(price, execution.cap) if side is Side.BUY else max(price, execution.cap)
        return price


def _why_over(order: Order, position: Decimal) -> str | None:
    """Return why the venue cancels the rest of an order after a bar in which it could trade, or None."""
    if order.terms.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}:
        return order.terms.time_in_force
    if order.terms.reduce_only and position * order.terms.side.sign >= 0:
        return REDUCE_ONLY
    return None


def trade_id(order: Order, bar: Candle) -> str:
    """Return the id of an order's trade in a bar; there is at most one."""
    return f"P{order.client_order_id}-{to_ms(bar.open_time)}"
