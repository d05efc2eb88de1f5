"""Who closed a trade, told by an oracle that moves one unit at a time, and books that add up to the last digit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import ZERO, exactly, share
from signalbox.orders.events import OrderFilled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.position import BookedPosition, after_fill
from signalbox.trading.attribution import Attribution, attribute, others_of
from signalbox.trading.bars import apply_bars
from signalbox.trading.state import AccountState, Trade, TradeState
from tests.unit.trading.market import BTC, START, bar
from tests.unit.trading.test_protection import person, traded

MINUTE = timedelta(minutes=1)


# Case 10


def closed_by_a_person(quantities: tuple[str, ...], prices: tuple[str, ...]) -> tuple[AccountState, Trade, Attribution]:
    """The trade of 0.3736 BTC, and a person's sales, each at the open of a minute that closes at 60 400."""
    state = traded()
    trade, before = state.trades[BTC], state.orders
    at = START + MINUTE
    for number, (quantity, price) in enumerate(zip(quantities, prices, strict=True)):
        state, changes = person(state, Side.SELL, quantity, at, str(number), reduce_only=True)
        assert not changes.risk
        state, _ = apply_bars(state, {BTC: [bar(BTC, at, price, close="60400")]}, at + MINUTE)
        at += MINUTE
    entry = state.orders[trade.entry]
    others = others_of(trade, [trade.entry], state.orders.values())
    assert len(before) + len(others) == len(state.orders)
    return state, trade, attribute(trade, entry, [], others, state.books.position(BTC).quantity)


def test_trade_that_a_persons_order_closed_reports_that_fill_and_not_the_mark() -> None:
    state, _, found = closed_by_a_person(("0.3736",), ("59500",))
    assert found.left == 0
    assert found.last is not None
    assert (found.last.at, found.last.leg, found.price) == (START + MINUTE, Leg.ENTRY, Decimal("59494.05"))
    assert found.realised == state.books.balance - 100_000
    assert found.realised is not None
    assert found.realised.quantize(Decimal("0.01")) == Decimal("-205.78")


def test_trade_that_two_persons_orders_closed_reports_both() -> None:
    state, _, found = closed_by_a_person(("0.1", "0.2736"), ("59500", "61000"))
    assert [closing.quantity for closing in found.closings] == [Decimal("0.1"), Decimal("0.2736")]
    assert found.realised == state.books.balance - 100_000


def test_trade_of_which_something_is_left_has_realised_nothing_yet() -> None:
    _, _, found = closed_by_a_person(("0.1",), ("59500",))
    assert (found.left, found.realised) == (Decimal("0.2736"), None)


# Any sequence of fills


@dataclass
class Market:
    """Fills of one symbol in time order, whoever made them, and the orders they belong to."""

    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[tuple[str, OrderFilled]] = field(default_factory=list)
    net: int = 0

    def trade(self, name: str, leg: Leg, units: int, price: int, fee: int) -> None:
        """A fill of an order (by its name); units below zero are sold."""
        number = len(self.fills)
        at, side = START + MINUTE * number, Side.BUY if units > 0 else Side.SELL
        order = self.orders.get(name) or _order(name, leg, side, at)
        key = order.client_order_id
        made = OrderFilled(
            client_order_id=key, at=at, account="a", symbol=BTC, trade_id=f"{number:03}", quantity=_units(abs(units)),
            price=Decimal(price), fee=fee * Decimal("0.01428571"),
        )  # fmt: skip
        value = order.filled_value + made.quantity * made.price
        self.orders[name] = replace(
            order,
            trades=(*order.trades, made),
            filled=order.filled + made.quantity,
            filled_value=value,
            fees=order.fees + made.fee,
        )
        self.fills.append((name, made))
        self.net += units


def _units(count: int) -> Decimal:
    return Decimal(count) / 10


def _order(name: str, leg: Leg, side: Side, at: datetime) -> Order:
    terms = OrderTerms(
        account="a", strategy=name, symbol=BTC, decided_at=at, leg=leg, side=side, type=OrderType.MARKET,
        quantity=Decimal(1_000), reduce_only=leg is not Leg.ENTRY, send_before=at + MINUTE,
    )  # fmt: skip
    return Order(terms, ClientOrderId(terms.client_order_id), OrderState.ACCEPTED, Decimal(1_000), None, None)


@dataclass
class UnitOracle:
    """The oracle: the open trade and what people hold beside it, unit by unit; people's part is a position of its own."""

    market: Market = field(default_factory=Market)
    people: BookedPosition = field(default_factory=lambda: BookedPosition(BTC))
    number: int = 0  # of trades
    direction: int = 0  # of the open trade, 0 without one
    left: int = 0  # of it
    closed: list[tuple[str, Decimal]] = field(default_factory=list)  # by which fill, how much of it
    realised: Decimal = ZERO  # of trades that are over

    def enter(self, units: int, price: int, fee: int) -> None:
        self.number, self.direction, self.closed = self.number + 1, 1 if units > 0 else -1, []
        against = max(-(self.market.net * self.direction), 0)  # what people hold on the other side
        self.market.trade(f"entry-{self.number}", Leg.ENTRY, units, price, fee)
        made, gone = self.market.fills[-1][1], min(against, abs(units))
        self.left = abs(units) - gone
        self._close(made, gone)
        self._people(self.direction * gone, made, ZERO)

    def leave(self, units: int, price: int, fee: int) -> None:
        size = min(abs(units), abs(self.market.net))  # reduce-only
        self.market.trade(f"exit-{self.number}", Leg.EXIT, -self.direction * size, price, fee)
        made, own = self.market.fills[-1][1], min(size, self.left)
        self.left -= own
        self._close(made, own)
        self._people(-self.direction * (size - own), made, ZERO)

    def person(self, units: int, price: int, fee: int) -> None:
        beside, taken = self.market.net * self.direction - self.left, 0  # of people, on the side of the trade
        for _ in range(abs(units) if units * self.direction < 0 else 0):
            if beside > 0:
                beside -= 1
            elif self.left:
                self.left, taken = self.left - 1, taken + 1
        self.market.trade(f"person-{len(self.market.fills)}", Leg.ENTRY, units, price, fee)
        made = self.market.fills[-1][1]
        self._close(made, taken)
        self._people(units + taken * self.direction, made, made.fee - share(made.fee, _units(taken), made.quantity))

    def _close(self, made: OrderFilled, count: int) -> None:
        self.closed += [(made.trade_id, _units(count))] if count else []

    def _people(self, units: int, made: OrderFilled, fee: Decimal) -> None:
        if not units:
            self.people = replace(self.people, fees=self.people.fees + fee)
            return
        side = Side.BUY if units > 0 else Side.SELL
        own = {"account": "a", "key": made.trade_id, "at": made.at, "symbol": BTC, "price": made.price, "fee": fee}
        self.people = after_fill(self.people, Fill.model_validate(own | {"side": side, "quantity": _units(abs(units))}))

    def compare(self) -> None:
        if not self.direction:
            return
        found = self._attributed()
        assert [(closing.trade_id, closing.quantity) for closing in found.closings] == self.closed
        assert found.left == _units(self.left)
        assert (found.realised is None) == bool(self.left)
        if found.realised is not None:
            self.realised += found.realised
            self.direction = 0

    def _attributed(self) -> Attribution:
        entry = self.market.orders[f"entry-{self.number}"]
        exits = [order for name, order in self.market.orders.items() if name == f"exit-{self.number}"]
        trade = Trade(
            entry=entry.client_order_id, symbol=BTC, side=entry.terms.side, decided_at=entry.terms.decided_at, deployment="d",
            stage="active", state=TradeState.OPEN, stop_loss=Decimal(1), take_profit=None, deadline=START + MINUTE * 60,
        )  # fmt: skip
        own = {trade.entry, *(order.client_order_id for order in exits)}
        others = others_of(trade, own, reversed(self.market.orders.values()))
        sign = 1 if self.market.net > 0 else -1
        return attribute(trade, entry, exits, others, sign * _units(abs(self.market.net)))


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("enter", "exit", "person")), st.integers(-6, 6).filter(bool), st.integers(50, 150), st.integers(0, 9)
    ),
    min_size=2,
    max_size=25,
)


@given(actions=ACTIONS)
@exactly
def test_trades_and_what_people_did_beside_them_add_up_to_the_books(actions: list[tuple[str, int, int, int]]) -> None:
    reported = UnitOracle()
    for kind, units, price, fee in actions:
        if kind == "enter" and not reported.direction:
            reported.enter(units, price, fee)
        elif kind == "exit" and reported.direction:
            reported.leave(units, price, fee)
        else:
            reported.person(units, price, fee)
        reported.compare()
    if reported.market.net:
        reported.person(-reported.market.net, 90, 2)
        reported.compare()
    books = BookedPosition(BTC)
    for name, made in reported.market.fills:
        books = after_fill(books, Fill.of(reported.market.orders[name].terms, made))
    assert (books.quantity, reported.people.quantity, reported.direction) == (Decimal(0), Decimal(0), 0)
    assert reported.realised + reported.people.net_realised == books.net_realised
