"""A venue that misbehaves as venues do, deterministic by its choices: `orders.venue_port.Venue` for one symbol and account.

It may refuse, be busy, or not answer (before or after it took the order); show an order or a trade late; fill in parts, and
between a cancel and its answer; let a stop-limit be jumped; be closed for minutes; see our clock ahead. Of two kinds: spot,
where a resting sell holds its coins and nothing knows of reduce-only; and one where what reduces is tied to the position.

The truth is `orders` and `trades`; an answer shows what is visible at the time. What must never happen is counted as it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from local.simulation.choices import Choices
from signalbox.exact import ZERO
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.terms import OrderType, Side, TimeInForce
from signalbox.orders.venue_port import (
    CLOCK_SKEW,
    INSUFFICIENT_FUNDS,
    Standing,
    VenueBusyError,
    VenueNoAmendError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueInstrument, VenueOrder, VenueStatus, VenueTrade, VenueView

MARKET_CLOSED: Final = "MARKET_CLOSED"
REDUCE_ONLY: Final = "REDUCE_ONLY"
OTHER: Final = "TRY_AGAIN"
PARTS: Final = (Decimal(1), Decimal("0.5"), Decimal("0.25"), ZERO)  # of what an order could fill at once; harmless first
LATE: Final = tuple(timedelta(seconds=s) for s in (0, 2, 8, 20))  # until something is visible; harmless first
RULES: Final = (VenueInstrument("BTC-USD", Decimal("0.01"), Decimal("0.0001"), Decimal("0.0001"), Decimal(100)),)
FEE: Final = Decimal("0.01")


@dataclass(slots=True)
class TrueOrder:
    """An order as the venue really has it."""

    request: ExecutionRequested
    number: int
    visible_at: datetime
    quantity: Decimal
    filled: Decimal = ZERO
    status: VenueStatus = VenueStatus.OPEN
    triggered: bool = False
    jumped: bool = False  # a stop-limit that the market went past

    @property
    def left(self) -> Decimal:
        """What may still fill."""
        return self.quantity - self.filled if self.status is VenueStatus.OPEN else ZERO


@dataclass(slots=True)
class SimulatedVenue:
    """The venue. `now` is set by whoever calls; `violations` names what must not happen and did."""

    choices: Choices
    now: datetime
    price: Decimal
    holds_coins: bool
    forgets_unfilled: bool = False
    can_replace: bool = True
    closed_until: datetime | None = None
    skewed_until: datetime | None = None
    position: Decimal = ZERO
    orders: dict[str, TrueOrder] = field(default_factory=dict)
    trades: list[tuple[datetime, VenueTrade]] = field(default_factory=list)  # with when it becomes visible
    violations: list[str] = field(default_factory=list)

    # What the edge asks

    def prepare(self, request: ExecutionRequested) -> None:
        if self._is_closed():
            raise VenueRefusedError(MARKET_CLOSED, "the market is closed")
        if self.skewed_until is not None and self.now < self.skewed_until:
            raise VenueRefusedError(CLOCK_SKEW, "our clock is 6 s ahead")
        if self.choices.happens(12):
            raise VenueRefusedError(OTHER, f"{request.terms.leg} cannot be taken now")

    def submit(self, request: ExecutionRequested) -> Standing:
        what = self.choices.pick(10)
        if what == 7:
            raise VenueBusyError("rate limit", 1 + self.choices.pick(4))
        if what == 8:
            raise VenueSilentError("no answer, and it was not taken")
        if self._is_closed():
            raise VenueRefusedError(MARKET_CLOSED, "the market is closed")
        self._take(request)
        if what == 9:
            raise VenueSilentError("no answer, and it was taken")
        return self._shown(request.client_order_id, answers=True)

    def find(self, request: ExecutionRequested) -> Standing:
        if self.choices.happens(8):
            raise VenueSilentError("no answer")
        return self._shown(request.client_order_id)

    def cancel(self, request: ExecutionRequested) -> Standing:
        what = self.choices.pick(10)
        if what == 6:
            raise VenueRefusedError(OTHER, "the cancel cannot be taken now")
        if what == 7:
            raise VenueBusyError("rate limit", 1 + self.choices.pick(4))
        if what == 8 or self._is_closed():
            raise VenueSilentError("no answer, and it was not taken")
        key = request.client_order_id
        if key not in self.orders or self.orders[key].visible_at > self.now:
            raise VenueUnknownOrderError(key)
        order = self.orders[key]
        if order.left and self.choices.happens(6):
            self._fill(order, self.choices.pick(3))  # it crossed our cancel on the wire
        if order.left:
            order.status = VenueStatus.CANCELED
        if what == 9:
            raise VenueSilentError("no answer, and it was cancelled")
        return self._shown(key, answers=True)

    def replace(self, request: ExecutionRequested) -> Standing:
        if not self.can_replace:
            raise VenueNoAmendError("cancel it and send another")
        if self._is_closed() or self.choices.happens(5):
            raise VenueRefusedError(OTHER, "the change cannot be taken now")
        key = request.client_order_id
        if key not in self.orders or self.orders[key].visible_at > self.now:
            raise VenueUnknownOrderError(key)
        order = self.orders[key]
        more = (request.quantity or order.quantity) - order.quantity
        if order.left and more <= self._free(order.request.terms.side):
            order.quantity = max(request.quantity or order.quantity, order.filled)
            if order.filled == order.quantity:
                order.status = VenueStatus.FILLED
        if self.choices.happens(8):
            raise VenueSilentError("no answer to the replace")
        return self._shown(key, answers=True)

    def view(self, request: VenueViewRequested) -> VenueView:
        if self.choices.happens(10):
            raise VenueSilentError("no answer to the view")
        shown = [(key, o) for key, o in self.orders.items() if o.visible_at <= self.now and not self._is_forgotten(o)]
        orders = tuple(self._order(o) for key, o in shown if o.status is VenueStatus.OPEN or key in request.orders)
        visible = [trade for at, trade in self.trades if at <= self.now]
        signed = sum((t.quantity if t.side is Side.BUY else -t.quantity for t in visible), ZERO)
        symbols = {o.request.terms.symbol for o in self.orders.values()}
        return VenueView(
            asked_at=self.now,
            orders=orders,
            trades=tuple(trade for trade in visible if trade.executed_at >= request.since),
            positions=dict.fromkeys(symbols, signed) if signed else {},
            instruments=RULES,
        )

    # What the market does

    def move(self, price: Decimal) -> None:
        """Let the price be another one: stops trigger, limits fill."""
        self.price = price
        if self._is_closed():
            return
        for order in list(self.orders.values()):
            terms = order.request.terms
            sign = terms.side.sign
            if not order.left:
                continue
            if terms.type is OrderType.STOP and not order.triggered and (price - (terms.stop_price or ZERO)) * sign >= 0:
                order.triggered = True
                order.jumped = self.choices.happens(6)
            is_due = order.triggered and not order.jumped
            if terms.type is OrderType.LIMIT and ((terms.limit_price or ZERO) - price) * sign >= 0:
                is_due = True
            if is_due or (terms.type is OrderType.MARKET):
                self._fill(order, self.choices.pick(3))

    def _is_closed(self) -> bool:
        return self.closed_until is not None and self.now < self.closed_until

    def _free(self, side: Side) -> Decimal:
        """Return what a new order on this side may have: coins that nothing holds; without end where nothing is held."""
        if not self.holds_coins or side is Side.BUY:
            return Decimal(10**9)
        return self.position - sum((o.left for o in self.orders.values() if o.request.terms.side is Side.SELL), ZERO)

    def _take(self, request: ExecutionRequested) -> None:
        key, terms = request.client_order_id, request.terms
        if key in self.orders:
            self.violations.append(f"sent twice: {terms.leg} attempt {terms.attempt}")
            return
        if self.holds_coins and terms.quantity > self._free(terms.side):
            raise VenueRefusedError(INSUFFICIENT_FUNDS, f"{self._free(terms.side)} free, {terms.quantity} asked")
        if not self.holds_coins and terms.reduce_only and self.position * terms.side.sign >= 0:
            raise VenueRefusedError(REDUCE_ONLY, "nothing to reduce")
        order = TrueOrder(request, len(self.orders) + 1, self.now + LATE[self.choices.pick(len(LATE))], terms.quantity)
        self.orders[key] = order
        if terms.type is OrderType.MARKET:
            self._fill(order, self.choices.pick(4))
            if order.left and terms.time_in_force is TimeInForce.IOC:
                order.status = VenueStatus.CANCELED
        elif terms.type is OrderType.STOP:
            self.move(self.price)  # beyond the market already: it triggers at once

    def _fill(self, order: TrueOrder, part: int) -> None:
        terms = order.request.terms
        most = order.left
        if not self.holds_coins and terms.reduce_only:
            most = min(most, max(-self.position * terms.side.sign, ZERO))
        quantity = (most * PARTS[part]).quantize(Decimal("0.0001"))
        if part == 0:
            quantity = most
        if not quantity:
            return
        order.filled += quantity
        if order.filled == order.quantity:
            order.status = VenueStatus.FILLED
        before, self.position = self.position, self.position + terms.side.sign * quantity
        if terms.reduce_only and (abs(self.position) > abs(before) or self.position * before < 0):
            self.violations.append(f"turned: {terms.leg} {quantity} at a position of {before}")
        trade = VenueTrade(
            trade_id=f"t{len(self.trades) + 1}",
            client_order_id=order.request.client_order_id,
            symbol=terms.symbol,
            side=terms.side,
            quantity=quantity,
            price=self.price,
            executed_at=self.now,
            fee=FEE,
        )
        self.trades.append((self.now + LATE[self.choices.pick(len(LATE))], trade))

    # What it shows

    def _is_forgotten(self, order: TrueOrder) -> bool:
        return self.forgets_unfilled and order.status is VenueStatus.CANCELED and not order.filled

    def _visible(self, key: str) -> tuple[VenueTrade, ...]:
        return tuple(trade for at, trade in self.trades if trade.client_order_id == key and at <= self.now)

    def _shown(self, key: str, *, answers: bool = False) -> Standing:
        order = self.orders.get(key)
        if order is None or (not answers and (order.visible_at > self.now or self._is_forgotten(order))):
            raise VenueUnknownOrderError(key)
        return Standing(self._order(order), self._visible(key))

    def _order(self, order: TrueOrder) -> VenueOrder:
        """Return the order with the quantity that it really filled: its trades may be shown later than it says so."""
        terms = order.request.terms
        return VenueOrder(
            client_order_id=order.request.client_order_id,
            venue_order_id=f"v{order.number}",
            symbol=terms.symbol,
            status=order.status,
            quantity=order.quantity,
            filled=order.filled,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
        )
