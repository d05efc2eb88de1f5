"""The worst case of a check against an oracle of its own: fills and stops played out on a path of prices, one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk import Position, ProposedOrder, RiskApproved, RiskError, RiskRefused, RiskSnapshot, WorkingOrder, assess
from signalbox.risk.exposure import book_of, entry_price, order_loss, position_loss
from tests.builders import BTC
from tests.unit.risk.facts import LIMITS, PRICES, D, instrument, order, position, snapshot

FEE = D("0.0005")
WORST, SLIP, MARKET = LIMITS.worst_move_fraction, LIMITS.stop_slippage_fraction, LIMITS.market_slippage_fraction


# Worked examples. BTC at 50 000: the worst move is 5 000 a coin, leaving costs 25, a stop slips by half a percent of its price.


def test_only_the_quantity_that_the_stop_closes_is_counted_to_the_stop() -> None:
    held = position(quantity="1.5", stop="49500", protected="0.5")
    to_the_stop = D("0.5") * (500 + D("247.5") + 25)
    assert position_loss(held, D(50_000), FEE, LIMITS) == to_the_stop + 1 * (5_000 + 25)
    assert position_loss(position(quantity="0.5", stop="49500"), D(50_000), FEE, LIMITS) == to_the_stop


@pytest.mark.parametrize(("size", "stop"), [("1", "54000"), ("1", "50000"), ("-1", "46000"), ("-1", "50000")])
def test_a_stop_that_the_mark_has_passed_protects_nothing(size: str, stop: str) -> None:
    jumped = position_loss(position(quantity=size, stop=stop), D(50_000), FEE, LIMITS)
    assert jumped == position_loss(position(quantity=size), D(50_000), FEE, LIMITS) >= 5_000 + 25


def test_an_entry_whose_stop_the_mark_has_passed_counts_without_it() -> None:
    bare = order_loss(order(quantity="1", price="50000"), D(1), D(49_000), FEE, LIMITS)
    assert order_loss(order(quantity="1", price="50000", stop="49200"), D(1), D(49_000), FEE, LIMITS) == bare
    assert bare == 1_000 + 4_900 + 2 * 50_000 * FEE


def test_a_short_leaves_at_the_higher_price_and_pays_its_fee() -> None:
    assert position_loss(position(quantity="-1"), D(50_000), FEE, LIMITS) == 5_000 + 55_000 * FEE
    stopped = position_loss(position(quantity="-1", stop="50500"), D(50_000), FEE, LIMITS)
    assert stopped == 500 + D("252.5") + D("50752.5") * FEE


@pytest.mark.parametrize(("side", "price", "worst"), [("BUY", "51000", "51255"), ("BUY", "49000", "50250"),
                                                      ("SELL", "49000", "48755"), ("SELL", "51000", "49750")])  # fmt: skip
def test_a_stop_order_trades_beyond_its_price_and_one_that_was_passed_at_the_mark(side: str, price: str, worst: str) -> None:
    set_off = ProposedOrder(ClientOrderId("s"), BTC, Side(side), D(1), D(price), is_stop=True)
    assert entry_price(set_off, D(50_000), LIMITS) == D(worst)
    assert entry_price(order(Side(side), price=price), D(50_000), LIMITS) == D(price)


@pytest.mark.parametrize(("stop", "protected"), [("49000", "0"), ("49000", "1.1"), (None, "0.5"), ("49000", "-1")])
def test_a_position_says_how_much_of_it_its_stop_closes(stop: str | None, protected: str) -> None:
    with pytest.raises(RiskError, match=r"stop|protected"):
        Position(BTC, D(1), D(50_000), None if stop is None else D(stop), D(protected))
    with pytest.raises(RiskError, match="a stop order needs a stop price"):
        ProposedOrder(ClientOrderId("s"), BTC, Side.BUY, D(1), is_stop=True)


def test_a_position_that_is_protected_in_part_leaves_room_for_less() -> None:
    """8 000 may be lost before new risk stops. A coin protected whole risks 773, and 0.9 without a stop still fits."""
    more = order(quantity="0.9")
    for protected, fits in (("1", True), ("0.2", False)):
        facts = snapshot(position(quantity="1", stop="49500", protected=protected), balance=D(200_000))
        decision = assess(more, facts, LIMITS)
        assert isinstance(decision, RiskApproved) == fits
        if isinstance(decision, RiskRefused):
            assert decision.code == "DAILY_LOSS_HEADROOM_INSUFFICIENT"


# The oracle


@dataclass
class Leg:
    """A stop that stands: closes up to `quantity` of a position of `side` at `price`."""

    side: int
    price: Decimal
    quantity: Decimal


@dataclass
class Played:
    """One symbol's cash and netted position while a path of prices is played."""

    mark: Decimal
    net: Decimal = ZERO
    cash: Decimal = ZERO
    legs: list[Leg] = field(default_factory=list)

    def trade(self, signed: Decimal, price: Decimal) -> None:
        low, high = self.mark * (1 - WORST), self.mark * (1 + WORST)
        price = min(max(price, low), high)  # nothing trades outside of what is assumed
        self.net += signed
        self.cash -= signed * price + abs(signed) * price * FEE

    def stops(self, price: Decimal) -> None:
        for leg in list(self.legs):
            if (price <= leg.price) if leg.side > 0 else (price >= leg.price):
                self.legs.remove(leg)
                closing = min(leg.quantity, max(self.net * leg.side, D(0)))
                self.trade(-leg.side * closing, leg.price * (1 - leg.side * SLIP))

    def worth(self, price: Decimal) -> Decimal:
        return self.cash + self.net * price - abs(self.net) * price * FEE


def fills_at(sent: ProposedOrder, mark: Decimal, price: Decimal, position: Decimal) -> Decimal | None:
    """The price an order trades at while the market is at `price`, having come from `mark`; None while it does not."""
    is_buy, sign = sent.side is Side.BUY, 1 if sent.side is Side.BUY else -1
    if sent.reduce_only and position * sign >= 0:
        return None
    taken = price * (1 + sign * MARKET)
    if sent.price is None:
        return taken
    if sent.is_stop:
        if mark >= sent.price if is_buy else mark <= sent.price:  # set off already, and on its way
            return price * (1 + sign * SLIP)
        reached = price >= sent.price if is_buy else price <= sent.price
        return sent.price * (1 + sign * SLIP) if reached else None
    if price > sent.price if is_buy else price < sent.price:
        return None
    if sent.reduce_only:
        return min(sent.price, taken) if is_buy else max(sent.price, taken)
    return sent.price  # the worst it may get


def played(facts: RiskSnapshot, symbol: Symbol, path: list[int]) -> list[Decimal]:
    """What equity changes by at each point of a path (in basis points of the mark)."""
    mark = PRICES[symbol]
    book, sent = Played(mark), [w for w in facts.working if w.order.symbol == symbol]
    held = facts.positions.get(symbol)
    if held is not None:
        book.net, book.cash = held.quantity, -held.quantity * mark
        side = 1 if held.quantity > 0 else -1
        if held.stop_price is not None and (mark - held.stop_price) * side > 0:
            book.legs.append(Leg(side, held.stop_price, held.protected))
    found = []
    for step in path:
        price = mark * (10_000 + step) / 10_000
        book.stops(price)
        for working in list(sent):
            at = fills_at(working.order, mark, price, book.net)
            if at is None:
                continue
            sign = 1 if working.order.side is Side.BUY else -1
            quantity = min(working.remaining, abs(book.net)) if working.order.reduce_only else working.remaining
            sent.remove(working)
            book.trade(sign * quantity, at)
            stop = working.order.stop_price
            if not working.order.reduce_only and stop is not None and (mark - stop) * sign > 0:
                book.legs.append(Leg(sign, stop, quantity))
        book.stops(price)
        found.append(book.worth(price))
    return found


def moved(mark: Decimal, basis_points: int) -> Decimal:
    return mark * (10_000 + basis_points) / 10_000


@st.composite
def accounts(draw: st.DrawFn) -> RiskSnapshot:
    """A position of either sign, protected in part, in whole, not, or by a stop that was jumped; orders of every kind."""
    mark, positions, sent = PRICES[BTC], [], []
    if size := draw(st.integers(-20, 20)):
        quantity, stop, protected = D(size) / 10, None, D(0)
        if draw(st.booleans()):
            stop = moved(mark, draw(st.integers(-1_500, 1_500)))
            protected = abs(quantity) * draw(st.integers(1, 10)) / 10
        positions.append(Position(BTC, quantity, mark, stop, protected))
    for number in range(draw(st.integers(0, 4))):
        side, is_stop = draw(st.sampled_from(Side)), draw(st.booleans())
        reduce_only = draw(st.sampled_from([False, False, True]))
        price = None if not is_stop and draw(st.booleans()) else moved(mark, draw(st.integers(-900, 900)))
        stop, sign = None, 1 if side is Side.BUY else -1
        if not reduce_only and draw(st.booleans()):
            behind = (min if sign > 0 else max)(mark, price or mark)
            stop = moved(behind, -sign * draw(st.integers(-50, 1_200)))
        quantity = D(draw(st.integers(1, 20))) / 10
        new = ProposedOrder(ClientOrderId(f"w{number}"), BTC, side, quantity, price, stop, reduce_only, is_stop)
        sent.append(WorkingOrder(new, quantity))
    return snapshot(*positions, working=tuple(sent), instruments={s: instrument(s) for s in PRICES})


PATHS = st.lists(st.sampled_from((-1_000, 1_000)) | st.integers(-1_000, 1_000), min_size=1, max_size=8)  # ends are the worst


@given(facts=accounts(), path=PATHS)
def test_no_path_within_the_worst_move_loses_more_than_the_check_assumes(facts: RiskSnapshot, path: list[int]) -> None:
    """Stops and stop orders trade at their price and a little beyond, limits at their price, and everything else at the end."""
    assumed = book_of(facts, LIMITS).worst_loss
    assert min(played(facts, BTC, [0, *path])) >= -assumed
