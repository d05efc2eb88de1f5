"""A misbehaving venue, determined by its choices: `orders.venue_port.Venue` for one symbol and one account.

It may refuse, be busy, or not answer (before or after accepting the order). It may show an order or a trade late, fill in parts,
fill between a cancel and its answer, let the price jump past a stop-limit, close for minutes, or find our clock ahead. There are
two kinds: spot, where a resting sell holds its coins and reduce-only is unknown; and one where orders that reduce are tied to the
position. A person may also use the venue's own app: cancel or edit our orders, trade, or leave an order there.
`orders` and `trades` are the truth; an answer shows what is visible at the time. `owed` is the true size of the account's trade:
what its entry filled, minus what its exits closed and, after other people's part was gone, minus what others closed. Violations
are recorded when they happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final

from local.simulation.choices import Choices
from signalbox.exact import ZERO
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side, TimeInForce
from signalbox.orders.venue_port import (
    CLOCK_SKEW,
    INSUFFICIENT_FUNDS,
    OrderStatusReport,
    VenueBusyError,
    VenueNoAmendError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueInstrument, VenueOrder, VenueStatus, VenueTrade, VenueView
from signalbox.trading.account import STRATEGY

SYMBOL: Final = "BTC-USD"
MARKET_CLOSED: Final = "MARKET_CLOSED"
REDUCE_ONLY: Final = "REDUCE_ONLY"
OTHER: Final = "TRY_AGAIN"
PARTS: Final = (Decimal(1), Decimal("0.5"), Decimal("0.25"), ZERO)  # shares of an order that fill at once; the first is harmless
EDITS: Final = (Decimal("0.5"), ZERO, Decimal("1.5"))  # new share of a stop's remaining quantity; 0 changes its price instead
LATE: Final = tuple(timedelta(seconds=s) for s in (0, 2, 8, 20))  # delay until something is visible; the first is harmless
STEP: Final = Decimal("0.0001")
RULES: Final = (VenueInstrument(SYMBOL, Decimal("0.01"), STEP, STEP, Decimal(100)),)
FEE: Final = Decimal("0.01")
BARS_JUMPED: Final = timedelta(seconds=125)  # the bar in which the price jumped past a stop, and one whole bar after it
UNLIMITED: Final = Decimal(10**9)


class Purpose(Enum):
    """The purpose of an order, which says who owns it."""

    ENTRY = "entry of the account's trade"
    EXIT = "exit of the account's trade"
    CLOSING = "closes what belongs to no trade"
    PERSON = "a person's, sent through us"
    APP = "placed in the venue's own app"


def purpose_of(terms: OrderTerms) -> Purpose:
    """Return the purpose of an order from its terms."""
    if terms.strategy == STRATEGY:
        return Purpose.ENTRY if terms.leg is Leg.ENTRY else Purpose.EXIT
    return Purpose.CLOSING if terms.strategy == "kill-switch" else Purpose.PERSON


@dataclass(slots=True)
class TrueOrder:
    """The true state of an order at the venue. name: the client order id, or None for an order placed in the app."""

    name: str | None
    number: int
    purpose: Purpose
    side: Side
    type: OrderType
    quantity: Decimal
    visible_at: datetime
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    at_once: bool = False  # immediate or cancel
    label: str = ""
    filled: Decimal = ZERO
    status: VenueStatus = VenueStatus.OPEN
    triggered: bool = False
    triggered_at: datetime | None = None
    jumped: bool = False  # a stop-limit that the price jumped past; it fills when the price comes back

    @property
    def is_open(self) -> bool:
        return self.status is VenueStatus.OPEN

    @property
    def left(self) -> Decimal:
        """The quantity that may still fill."""
        return self.quantity - self.filled if self.status is VenueStatus.OPEN else ZERO

    def shown(self) -> VenueOrder:
        """Return the order with its true filled quantity; its trades may become visible later."""
        return VenueOrder(
            client_order_id=self.name,
            venue_order_id=f"v{self.number}",
            symbol=SYMBOL,
            status=self.status,
            quantity=self.quantity,
            filled=self.filled,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            side=self.side,
        )


@dataclass(slots=True)
class SimulatedVenue:
    """The venue. The caller sets `now`. violations: forbidden events so far."""

    choices: Choices
    now: datetime
    price: Decimal
    holds_coins: bool
    forgets_unfilled: bool = False
    can_replace: bool = True
    closed_until: datetime | None = None
    skewed_until: datetime | None = None
    position: Decimal = ZERO
    owed: Decimal = ZERO  # quantity of the account's trade that is still open, never negative
    side: Side | None = None  # side of that trade, once it has filled
    foreign: Decimal = ZERO  # signed quantity that was traded in the app
    orders: dict[str, TrueOrder] = field(default_factory=dict)
    trades: list[tuple[datetime, VenueTrade]] = field(default_factory=list)  # each with the time from which it is visible
    violations: list[str] = field(default_factory=list)

    # Requests of the edge

    def prepare(self, request: ExecutionRequested) -> None:
        if self.is_closed:
            raise VenueRefusedError(MARKET_CLOSED, "the market is closed")
        if self.skewed_until is not None and self.now < self.skewed_until:
            raise VenueRefusedError(CLOCK_SKEW, "our clock is 6 s ahead")
        if self.choices.happens(12):
            raise VenueRefusedError(OTHER, f"the venue rejects this {request.terms.leg} now")

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        what = self.choices.pick(10)
        if what == 7:
            raise VenueBusyError("rate limit", 1 + self.choices.pick(4))
        if what == 8:
            raise VenueSilentError("no answer; the request was not accepted")
        if self.is_closed:
            raise VenueRefusedError(MARKET_CLOSED, "the market is closed")
        self._take(request)
        if what == 9:
            raise VenueSilentError("no answer; the order was accepted")
        return self._shown(request.client_order_id, answers=True)

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        if self.choices.happens(8):
            raise VenueSilentError("no answer")
        return self._shown(request.client_order_id)

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        what = self.choices.pick(10)
        if what == 6:
            raise VenueRefusedError(OTHER, "the venue rejects this cancel now")
        if what == 7:
            raise VenueBusyError("rate limit", 1 + self.choices.pick(4))
        if what == 8 or self.is_closed:
            raise VenueSilentError("no answer; the request was not accepted")
        key = request.client_order_id
        if key not in self.orders or self.orders[key].visible_at > self.now:
            raise VenueUnknownOrderError(key)
        order = self.orders[key]
        if order.left and self.choices.happens(6):
            self._fill(order, self.choices.pick(3))  # the fill crossed our cancel on the wire
        if order.left:
            order.status = VenueStatus.CANCELED
        if what == 9:
            raise VenueSilentError("no answer; the order was cancelled")
        return self._shown(key, answers=True)

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        if not self.can_replace:
            raise VenueNoAmendError("the venue cannot change an order; cancel it and send another")
        if self.is_closed or self.choices.happens(5):
            raise VenueRefusedError(OTHER, "the venue rejects this change now")
        key = request.client_order_id
        if key not in self.orders or self.orders[key].visible_at > self.now:
            raise VenueUnknownOrderError(key)
        order = self.orders[key]
        self._change(order, request.quantity or order.quantity)
        if self.choices.happens(8):
            raise VenueSilentError("no answer to the replace")
        return self._shown(key, answers=True)

    def view(self, request: VenueViewRequested) -> VenueView:
        if self.choices.happens(10):
            raise VenueSilentError("no answer to the view")
        asked = set(request.orders)
        orders = tuple(
            order.shown()
            for key, order in self.orders.items()
            if (order.is_open or key in asked) and order.visible_at <= self.now and not self._is_forgotten(order)
        )
        visible = [trade for at, trade in self.trades if at <= self.now]
        late = sum((_signed(trade) for at, trade in self.trades if at > self.now), ZERO)
        position = self.position - late
        return VenueView(
            asked_at=self.now,
            orders=orders,
            trades=tuple(trade for trade in visible if trade.executed_at >= request.since),
            positions={SYMBOL: position} if position else {},
            instruments=RULES,
        )

    # The market

    def move(self, price: Decimal) -> None:
        """Change the price; stops trigger and limits fill."""
        self.price = price
        if self.is_closed:
            return
        for order in list(self.orders.values()):
            if not order.left:
                continue
            sign = order.side.sign
            if order.type is OrderType.STOP and not order.triggered and (price - (order.stop_price or ZERO)) * sign >= 0:
                order.triggered = True
                order.jumped = self.choices.happens(6)
                order.triggered_at = self.now
            elif order.jumped and (price - (order.stop_price or ZERO)) * sign <= 0:
                order.jumped = False
            is_due = order.triggered and not order.jumped
            if order.type is OrderType.LIMIT and ((order.limit_price or ZERO) - price) * sign >= 0:
                is_due = True
            if is_due or order.type is OrderType.MARKET:
                self._fill(order, self.choices.pick(3))

    @property
    def is_closed(self) -> bool:
        return self.closed_until is not None and self.now < self.closed_until

    # A person in the venue's own app

    def app_cancel(self) -> str:
        """Cancel one of our orders in the app, preferably a stop. Return what was done."""
        found = [o for o in self.orders.values() if o.left and o.name is not None]
        stops = [o for o in found if o.type is OrderType.STOP]
        for order in (stops or found)[:1]:
            order.status = VenueStatus.CANCELED
            return f"cancels {order.label}"
        return ""

    def app_trade(self) -> str:
        """Sell part of the position in the app, or add to it. Return what was done."""
        closes = self.choices.pick(3) < 2
        if not self.position:
            return ""
        long = self.position > 0
        side = (Side.SELL if long else Side.BUY) if closes else (Side.BUY if long else Side.SELL)
        quantity = (abs(self.position) * PARTS[self.choices.pick(3)]).quantize(STEP)
        if self.holds_coins and side is Side.SELL:
            if quantity > self._free(side):
                for order in self.orders.values():  # the app shows which order holds the coins, so that one is cancelled first
                    if order.left and order.side is Side.SELL:
                        order.status = VenueStatus.CANCELED
            quantity = min(quantity, self._free(side))
        if not quantity:
            return ""
        self._trade(None, Purpose.APP, side, quantity)
        return f"{side} {quantity}"

    def app_edit(self) -> str:
        """Change the price or the quantity of one of our stops in the app. Return what was done."""
        for order in self.orders.values():
            if order.left and order.type is OrderType.STOP and order.stop_price is not None and not order.triggered:
                share = EDITS[self.choices.pick(len(EDITS))]
                if not share:
                    order.stop_price += order.side.sign * 50
                    return f"stop price {order.stop_price}"
                self._change(order, (order.filled + order.left * share).quantize(STEP))
                return f"stop quantity {order.quantity}"
        return ""

    def app_order(self) -> str:
        """Leave a limit order in the app that rests away from the market. Return what was done."""
        side = (Side.SELL, Side.BUY)[self.choices.pick(2)]
        quantity = min((abs(self.position) / 3).quantize(STEP), max(self._free(side), ZERO))
        if not quantity:
            return ""
        number = len(self.orders) + 1
        price = self.price - side.sign * 3_000
        order = TrueOrder(None, number, Purpose.APP, side, OrderType.LIMIT, quantity, self.now, limit_price=price, label="app")
        self.orders[f"app-{number}"] = order
        return f"{side} {quantity} rests at {price}"

    def app_takes_back(self) -> None:
        """Cancel the orders that a person left in the app."""
        for order in self.orders.values():
            if order.purpose is Purpose.APP and order.left:
                order.status = VenueStatus.CANCELED

    # The true state

    def protects(self) -> Decimal:
        """Return how much of the trade is protected by working orders: its stops, and exits on their way.

        A stop that the price jumped past counts until BARS_JUMPED later: before a bar has closed beyond it, nobody can see the
        jump.
        """
        own = (o.left for o in self.orders.values() if o.purpose is Purpose.EXIT and not self._is_lost(o))
        return sum(own, ZERO)

    def _is_lost(self, order: TrueOrder) -> bool:
        return order.jumped and order.triggered_at is not None and self.now - order.triggered_at > BARS_JUMPED

    def to_protect(self) -> Decimal:
        """Return how much of the trade must be protected, less quantities that an order in the app holds or others traded."""
        if self.side is None or not self.owed:
            return ZERO
        ours = (self.position - self.foreign) * self.side.sign
        return max(min(self.owed, ours) - self.held_in_app(), ZERO)

    def held_in_app(self) -> Decimal:
        """Return how much of the position an order placed in the app reserves."""
        if not self.holds_coins:
            return ZERO
        return sum((o.left for o in self.orders.values() if o.purpose is Purpose.APP and o.side is Side.SELL), ZERO)

    def is_closing(self) -> bool:
        """Whether one of our orders is working to close part of the position."""
        sides = Side.SELL if self.position > 0 else Side.BUY
        return any(
            o.left and o.side is sides and not self._is_lost(o) and o.purpose in {Purpose.EXIT, Purpose.CLOSING}
            for o in self.orders.values()
        )

    def _free(self, side: Side) -> Decimal:
        """Return the quantity available to a new order on this side: coins that no order holds; unlimited if orders hold none."""
        if not self.holds_coins or side is Side.BUY:
            return UNLIMITED
        return self.position - sum((o.left for o in self.orders.values() if o.side is Side.SELL), ZERO)

    def _take(self, request: ExecutionRequested) -> None:
        key, terms = request.client_order_id, request.terms
        if key in self.orders:
            self.violations.append(f"sent twice: {terms.leg} attempt {terms.attempt}")
            return
        if self.holds_coins and terms.quantity > (free := self._free(terms.side)):
            raise VenueRefusedError(INSUFFICIENT_FUNDS, f"{free} free, {terms.quantity} requested")
        if not self.holds_coins and terms.reduce_only and self.position * terms.side.sign >= 0:
            raise VenueRefusedError(REDUCE_ONLY, "nothing to reduce")
        order = self.orders[key] = TrueOrder(
            key,
            len(self.orders) + 1,
            purpose_of(terms),
            terms.side,
            terms.type,
            terms.quantity,
            self.now + LATE[self.choices.pick(len(LATE))],
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
            reduce_only=terms.reduce_only,
            at_once=terms.time_in_force is TimeInForce.IOC,
            label=f"{terms.leg}/{terms.attempt}",
        )
        if terms.type is OrderType.MARKET:
            self._fill(order, self.choices.pick(4))
            if order.left and order.at_once:
                order.status = VenueStatus.CANCELED
        elif terms.type is OrderType.STOP:
            self.move(self.price)  # if the price is past it already, it triggers at once

    def _change(self, order: TrueOrder, quantity: Decimal) -> None:
        if order.left and quantity - order.quantity <= self._free(order.side):
            order.quantity = max(quantity, order.filled)
            if order.filled == order.quantity:
                order.status = VenueStatus.FILLED

    def _fill(self, order: TrueOrder, part: int) -> None:
        most = order.left
        if not self.holds_coins and order.reduce_only:
            most = min(most, max(-self.position * order.side.sign, ZERO))
        quantity = (most * PARTS[part]).quantize(STEP) if part else most
        if not quantity:
            return
        order.filled += quantity
        if order.filled == order.quantity:
            order.status = VenueStatus.FILLED
        before = self.position
        self._trade(order.name, order.purpose, order.side, quantity)
        if order.reduce_only and (abs(self.position) > abs(before) or self.position * before < 0):
            self.violations.append(f"reversed the position: {order.label} {quantity} at a position of {before}")

    def _trade(self, name: str | None, purpose: Purpose, side: Side, quantity: Decimal) -> None:
        signed = quantity if side is Side.BUY else -quantity
        self.position += signed
        if purpose is Purpose.ENTRY:
            self.side, self.owed = side, self.owed + quantity
        elif purpose is Purpose.EXIT:
            self.owed -= min(self.owed, quantity)
        elif purpose is Purpose.APP:
            self.foreign += signed
        elif purpose is Purpose.PERSON and self.side is not None and side is not self.side:
            self.owed -= min(self.owed, quantity)  # of whose part a person sold is not decided; at worst it is the trade's
        if self.side is not None and self.owed:  # a trade in the app first reduces what was traded there
            self.owed = min(self.owed, max(self.position * self.side.sign, ZERO))
        trade = VenueTrade(
            trade_id=f"t{len(self.trades) + 1:05}",
            client_order_id=name,
            symbol=SYMBOL,
            side=side,
            quantity=quantity,
            price=self.price,
            executed_at=self.now,
            fee=FEE,
        )
        self.trades.append((self.now + LATE[self.choices.pick(len(LATE))], trade))

    # What the venue shows

    def _is_forgotten(self, order: TrueOrder) -> bool:
        return self.forgets_unfilled and order.status is VenueStatus.CANCELED and not order.filled

    def _shown(self, key: str, *, answers: bool = False) -> OrderStatusReport:
        order = self.orders.get(key)
        if order is None or (not answers and (order.visible_at > self.now or self._is_forgotten(order))):
            raise VenueUnknownOrderError(key)
        trades = tuple(trade for at, trade in self.trades if trade.client_order_id == key and at <= self.now)
        return OrderStatusReport(order.shown(), trades)


def _signed(trade: VenueTrade) -> Decimal:
    return trade.quantity if trade.side is Side.BUY else -trade.quantity
