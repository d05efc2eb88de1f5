"""Derives market prices around a closed order from one-minute candles for orders.quality, and says how accurate they are.

There are no quotes, so every mid is a candle's price. mid(t) is the open of the bar that contains t, else the close of the newest
bar that closed at most MAX_AGE before; otherwise it is unknown. The decision price is the close of the newest bar that had closed
at the decision. The mid after a fill is mid(fill + SPREAD_DELAY). The market's VWAP covers the bars during which the order
worked, with the typical price (high + low + close) / 3 for all trades of a bar, to 12 decimals: an approximation, because single
trades are not recorded. So a mid may be up to a minute older than the fill it is compared with.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio
from signalbox.market.candles import Candle
from signalbox.orders.order import Order
from signalbox.orders.quality import FillMarks, Observation, Quality, quality_of
from signalbox.orders.terms import Leg, Side
from signalbox.orders.transitions import OrderState

SPREAD_DELAY: Final = timedelta(minutes=5)  # after a fill, for the realised spread; five minutes as in SEC Rule 605
MAX_AGE: Final = timedelta(minutes=10)  # of the price used when a bar is missing
VWAP_PLACES: Final = 12


@dataclass(frozen=True, slots=True)
class MeasuredOrder:
    """One row of `execution_quality`: a closed order, the prices it is compared with, and its figures as sums."""

    client_order_id: str
    account: str
    venue: str
    symbol: str
    side: Side
    leg: Leg
    state: OrderState
    decided_at: datetime
    submitted_at: datetime
    closed_at: datetime
    decision_price: Decimal
    arrival_mid: Decimal
    end_mid: Decimal | None
    market_vwap: Decimal | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A closed order that cannot be measured, because candles are missing or it was never sent."""

    client_order_id: str
    symbol: str
    reason: str


def bars_needed(order: Order) -> tuple[datetime, datetime]:
    """Return [start, end) of the open times that `measure` may need. The order must have been sent and closed."""
    instants = [t for t in (order.terms.decided_at, order.submitted_at, order.closed_at) if t is not None]
    instants += [trade.at for trade in order.trades]
    return min(instants) - MAX_AGE - timedelta(minutes=1), max(instants) + SPREAD_DELAY + timedelta(minutes=1)


def measure(order: Order, venue: str, bars: Sequence[Candle]) -> MeasuredOrder | Unmeasured:
    """Return the row of a closed order. bars: of its symbol, oldest first, in the range given by `bars_needed`."""
    if order.submitted_at is None or order.closed_at is None:
        return Unmeasured(order.client_order_id, order.terms.symbol, f"expected a sent and closed order, got {order.state}")
    market = _Market(bars)
    decision = market.close_known_at(order.terms.decided_at)
    arrival = market.mid(order.submitted_at)
    end = market.mid(max(order.closed_at, order.submitted_at))
    for what, price in (("decision", decision), ("arrival", arrival), ("end", end if order.leaves else ZERO)):
        if price is None:
            return Unmeasured(order.client_order_id, order.terms.symbol, f"no candle within {MAX_AGE} before its {what}")
    assert decision is not None and arrival is not None  # noqa: S101, PT018 - refused above
    marks = {
        trade.trade_id: FillMarks(mid, market.mid(trade.at + SPREAD_DELAY))
        for trade in order.trades
        if (mid := market.mid(trade.at)) is not None
    }
    vwap = market.vwap(order.submitted_at, max(order.closed_at, order.submitted_at))
    return MeasuredOrder(
        client_order_id=order.client_order_id,
        account=order.terms.account,
        venue=venue,
        symbol=order.terms.symbol,
        side=order.terms.side,
        leg=order.terms.leg,
        state=order.state,
        decided_at=order.terms.decided_at,
        submitted_at=order.submitted_at,
        closed_at=order.closed_at,
        decision_price=decision,
        arrival_mid=arrival,
        end_mid=end,
        market_vwap=vwap,
        quality=quality_of(Observation(order, venue, decision, arrival, end, vwap, marks)),
    )


class _Market:
    """Bars of one symbol, looked up by instant."""

    def __init__(self, bars: Sequence[Candle]) -> None:
        self._bars = bars
        self._opens = [bar.open_time for bar in bars]

    def close_known_at(self, instant: datetime) -> Decimal | None:
        """Return the close of the newest bar that had closed at `instant`; None if it closed more than MAX_AGE before."""
        index = bisect_right(self._opens, instant) - 1
        if index >= 0 and self._bars[index].close_time > instant:
            index -= 1
        if index < 0 or instant - self._bars[index].close_time > MAX_AGE:
            return None
        return self._bars[index].close

    def mid(self, instant: datetime) -> Decimal | None:
        index = bisect_right(self._opens, instant) - 1
        if index >= 0 and instant < self._bars[index].close_time:
            return self._bars[index].open
        return self.close_known_at(instant)

    @exactly
    def vwap(self, start: datetime, end: datetime) -> Decimal | None:
        """Return the approximate volume-weighted price from `start` to `end`; None if nothing was traded."""
        worked = [bar for bar in self._bars if bar.close_time > start and bar.open_time <= end]
        volume = sum((bar.volume for bar in worked), ZERO)
        value = sum(((bar.high + bar.low + bar.close) * bar.volume for bar in worked), ZERO)
        return ratio(value, 3 * volume, VWAP_PLACES) if volume else None
