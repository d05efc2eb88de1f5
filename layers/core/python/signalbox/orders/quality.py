"""Execution quality: how well an order was executed. Each function has its definition, units, sign and source.

Every figure in basis points is a cost over a base, both in quote currency and exact. **Positive is what it cost us**, negative
is what it saved. Figures of many orders are the sum of costs over the sum of bases, so a large order weighs more, and adding
two groups gives the figure of both together. s is +1 for a buy and -1 for a sell; p_i and q_i are price and quantity of
fill i; F = sum(q_i) is the filled quantity, Q the ordered one.

Sources: Perold, The Implementation Shortfall (1988); Huang and Stoll, Dealer versus Auction Markets (1996), and SEC Rule
605 for effective and realised spread; Kissell, The Science of Algorithmic Trading (2013) for arrival and VWAP benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from typing import Final

from signalbox.exact import ZERO, exactly, ratio
from signalbox.orders.errors import QualityError
from signalbox.orders.order import Order
from signalbox.orders.transitions import OrderState

BPS_PLACES: Final = 4
_BPS: Final = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost and the base it is measured against, both in quote currency."""

    cost: Decimal = ZERO
    base: Decimal = ZERO

    @exactly
    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cost + other.cost, self.base + other.base)

    @property
    @exactly
    def bps(self) -> Decimal | None:
        """The cost in basis points of the base, to 4 decimals; None when the base is 0."""
        return ratio(self.cost * _BPS, self.base, BPS_PLACES) if self.base else None


@dataclass(frozen=True, slots=True)
class FillMarks:
    """Mid prices around one fill: at the fill, and after a fixed delay that the caller chooses; None where unknown."""

    mid: Decimal
    mid_after: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A closed order and the market around it.

    decision_price: the price the decision was made on. arrival_mid: mid when the order was sent. end_mid: mid when the order
    ended, needed if part of it stayed unfilled. market_vwap: of all trades from sending to end; None if unknown.
    marks: by trade id; a fill without marks is left out of the spreads and counted.
    """

    order: Order
    venue: str
    decision_price: Decimal
    arrival_mid: Decimal
    end_mid: Decimal | None = None
    market_vwap: Decimal | None = None
    marks: Mapping[str, FillMarks] | None = None


@exactly
def arrival_slippage(seen: Observation) -> Cost:
    """Cost s * sum(q_i * (p_i - A)) over F * A, where A is the mid when the order was sent."""
    return _against(seen.order, seen.arrival_mid)


@exactly
def vwap_slippage(seen: Observation) -> Cost:
    """Cost s * sum(q_i * (p_i - V)) over F * V, where V is the market's volume-weighted price while the order was open."""
    return Cost() if seen.market_vwap is None else _against(seen.order, seen.market_vwap)


@exactly
def effective_spread(seen: Observation) -> Cost:
    """Cost 2 * s * sum(q_i * (p_i - m_i)) over sum(q_i * m_i), where m_i is the mid at fill i: the cost of a round trip."""
    total = Cost()
    for trade, marks in _marked(seen):
        total += Cost(2 * _sign(seen) * trade[0] * (trade[1] - marks.mid), trade[0] * marks.mid)
    return total


@exactly
def realised_spread(seen: Observation) -> Cost:
    """Cost 2 * s * sum(q_i * (p_i - n_i)) over sum(q_i * m_i), where n_i is the mid a fixed delay after fill i: the maker's gain.

    Only fills with both mids count. For those, effective spread = realised spread + price impact, exactly.
    """
    total = Cost()
    for trade, marks in _marked(seen):
        if marks.mid_after is not None:
            total += Cost(2 * _sign(seen) * trade[0] * (trade[1] - marks.mid_after), trade[0] * marks.mid)
    return total


@exactly
def price_impact(seen: Observation) -> Cost:
    """Cost 2 * s * sum(q_i * (n_i - m_i)) over sum(q_i * m_i): twice the distance that the mid moved after our fills."""
    total = Cost()
    for trade, marks in _marked(seen):
        if marks.mid_after is not None:
            total += Cost(2 * _sign(seen) * trade[0] * (marks.mid_after - marks.mid), trade[0] * marks.mid)
    return total


@exactly
def implementation_shortfall(seen: Observation) -> Cost:
    """Cost s * sum(q_i * (p_i - D)) + s * (Q - F) * (E - D) + fees, over Q * D: the paper gain minus the real gain.

    D is the decision price and E the mid when the order ended: the unfilled part is charged with the move it missed. Raises
    QualityError if part of the order stayed unfilled and E is unknown.
    """
    order, decision = seen.order, seen.decision_price
    paid = _sign(seen) * (order.filled_value - order.filled * decision) + order.fees
    if order.leaves:
        if seen.end_mid is None:
            raise QualityError(
                f"{order.client_order_id}: {order.leaves} stayed unfilled, so the mid at the end of the order is needed"
            )
        paid += _sign(seen) * order.leaves * (seen.end_mid - decision)
    return Cost(paid, order.quantity * decision)


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one order or many. Every field is a sum, so adding two of these gives the figures of both together."""

    orders: int = 0
    filled_orders: int = 0  # filled in full
    trades: int = 0
    trades_without_marks: int = 0
    ordered: Decimal = ZERO  # base currency
    filled: Decimal = ZERO
    value: Decimal = ZERO  # quote currency
    fees: Decimal = ZERO
    arrival_slippage: Cost = Cost()
    effective_spread: Cost = Cost()
    realised_spread: Cost = Cost()
    price_impact: Cost = Cost()
    implementation_shortfall: Cost = Cost()
    vwap_slippage: Cost = Cost()
    timed_orders: int = 0  # orders with a fill and a known time of sending
    first_fill_time: timedelta = timedelta()  # sum over timed orders
    timed_full_orders: int = 0
    full_fill_time: timedelta = timedelta()  # sum over orders filled in full

    @exactly
    def __add__(self, other: Quality) -> Quality:
        return Quality(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def fill_ratio(self) -> Decimal | None:
        """Filled over ordered quantity to 4 decimals; 1 means filled in full. Only meaningful for one symbol."""
        return ratio(self.filled, self.ordered, 4) if self.ordered else None

    @property
    def mean_time_to_first_fill(self) -> timedelta | None:
        """Mean time from sending to the first fill, over the orders with a fill."""
        return self.first_fill_time // self.timed_orders if self.timed_orders else None

    @property
    def mean_time_to_fill(self) -> timedelta | None:
        """Mean time from sending to the last fill, over the orders filled in full."""
        return self.full_fill_time // self.timed_full_orders if self.timed_full_orders else None


@exactly
def quality_of(seen: Observation) -> Quality:
    """Return every figure of one closed order. Raises QualityError if it is open, or as implementation_shortfall does."""
    order = seen.order
    if not order.state.is_closed:
        raise QualityError(f"{order.client_order_id}: expected a closed order, got state {order.state}")
    is_full = order.state is OrderState.FILLED
    first, last = _times(order)
    marks = seen.marks or {}
    return Quality(
        orders=1,
        filled_orders=int(is_full),
        trades=len(order.trades),
        trades_without_marks=sum(1 for trade in order.trades if trade.trade_id not in marks),
        ordered=order.quantity,
        filled=order.filled,
        value=order.filled_value,
        fees=order.fees,
        arrival_slippage=arrival_slippage(seen),
        effective_spread=effective_spread(seen),
        realised_spread=realised_spread(seen),
        price_impact=price_impact(seen),
        implementation_shortfall=implementation_shortfall(seen),
        vwap_slippage=vwap_slippage(seen),
        timed_orders=int(first is not None),
        first_fill_time=first or timedelta(),
        timed_full_orders=int(is_full and last is not None),
        full_fill_time=(last or timedelta()) if is_full else timedelta(),
    )


def _against(order: Order, price: Decimal) -> Cost:
    base = order.filled * price
    return Cost(order.terms.side.sign * (order.filled_value - base), base)


def _sign(seen: Observation) -> int:
    return seen.order.terms.side.sign


def _marked(seen: Observation) -> list[tuple[tuple[Decimal, Decimal], FillMarks]]:
    marks = seen.marks or {}
    return [((t.quantity, t.price), marks[t.trade_id]) for t in seen.order.trades if t.trade_id in marks]


def _times(order: Order) -> tuple[timedelta | None, timedelta | None]:
    """Return the time from sending to the first and to the last fill; at least 0, because two clocks may disagree."""
    if order.submitted_at is None or not order.trades:
        return None, None
    instants = [trade.at for trade in order.trades]
    nothing = timedelta()
    return max(min(instants) - order.submitted_at, nothing), max(max(instants) - order.submitted_at, nothing)
