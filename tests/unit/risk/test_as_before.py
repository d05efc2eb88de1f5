"""What was made faster gives what the plain way gives: numbers, losses, texts, and the snapshots of a batch however looked at."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import CONTEXT, MAX_DIGITS, ONE, ZERO
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk import ProposedOrder, RiskSnapshot, WorkingOrder, assess
from signalbox.risk.errors import RiskError
from signalbox.risk.exposure import book_of, entry_price, order_loss, position_loss
from signalbox.risk.numbers import exact
from signalbox.risk.order import Position
from signalbox.risk.snapshot import canonical_text, working_text
from tests.builders import BTC, NOON
from tests.unit.risk.facts import LIMITS, order, position, snapshot

NUMBERS = st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(
    min_value="-1e19", max_value="1e19", places=19, allow_nan=False, allow_infinity=False
)
PRICES = st.decimals(min_value="0.01", max_value="99999.99", places=2)
QUANTITIES = st.decimals(min_value="0.001", max_value="999.999", places=3)
NAMES = st.text(min_size=1, max_size=8)


def plainly_exact(value: Decimal) -> Decimal | None:
    if not value.is_finite():
        return None
    if not value:
        return ZERO
    if value.adjusted() >= MAX_DIGITS:
        return None
    canonical = value.normalize(CONTEXT)
    exponent = canonical.as_tuple().exponent
    if canonical != value or not isinstance(exponent, int) or exponent < -MAX_DIGITS:
        return None
    return canonical if exponent <= 0 else canonical.quantize(ONE, context=CONTEXT)


@given(value=NUMBERS | st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(-(10**40), 10**40), st.integers(-150, 20)))
def test_number_has_its_canonical_form_or_is_refused(value: Decimal) -> None:
    expected = plainly_exact(value)
    if expected is None:
        with pytest.raises(RiskError, match="account a balance: expected"):
            exact(value, "account", "a", "balance")
    else:
        assert exact(value).as_tuple() == expected.as_tuple()
        assert exact(value).as_tuple() == expected.as_tuple()  # also when it comes again


@pytest.mark.parametrize("value", [1.0, 1, True, "1", None, Decimal("sNaN")])
def test_what_is_no_number_is_refused_after_its_equal_was_taken(value: object) -> None:
    assert exact(Decimal("1.00")) == ONE
    with pytest.raises(RiskError, match="finite Decimal"):
        exact(value, "price")


def plainly_lost(one: ProposedOrder, quantity: Decimal, mark: Decimal, fee: Decimal) -> Decimal:
    entry, stop = entry_price(one, mark, LIMITS), one.stop_price
    slip, worst = LIMITS.stop_slippage_fraction, LIMITS.worst_move_fraction
    if one.side is Side.BUY:
        start = min(entry, mark)
        end = stop - stop * slip if stop is not None and stop < start else start - start * worst
        return quantity * (max(entry - end, ZERO) + (entry + max(entry, end)) * fee)
    start = max(entry, mark)
    end = stop + stop * slip if stop is not None and stop > start else start + start * worst
    return quantity * (max(end - entry, ZERO) + (entry + max(entry, end)) * fee)


@given(side=st.sampled_from(Side), price=st.none() | PRICES, stop=st.none() | PRICES, mark=PRICES, quantity=QUANTITIES)
def test_loss_of_an_order_is_the_larger_of_what_it_may_lose_and_nothing(
    side: Side, price: Decimal | None, stop: Decimal | None, mark: Decimal, quantity: Decimal
) -> None:
    one = ProposedOrder(ClientOrderId("m"), BTC, side, quantity, price, stop)
    fee = Decimal("0.001")
    assert order_loss(one, quantity, mark, fee, LIMITS) == plainly_lost(one, quantity, mark, fee)


@given(quantity=QUANTITIES, is_short=st.booleans(), stop=st.none() | PRICES, mark=PRICES, share=st.integers(1, 10))
def test_loss_of_a_position_is_what_its_stop_and_the_worst_move_leave(
    quantity: Decimal, is_short: bool, stop: Decimal | None, mark: Decimal, share: int
) -> None:
    protected = ZERO if stop is None else quantity * share / 10
    held = Position(BTC, -quantity if is_short else quantity, Decimal(100), stop, protected)
    fee, slip, worst = Decimal("0.001"), LIMITS.stop_slippage_fraction, LIMITS.worst_move_fraction

    def lost(at: Decimal | None) -> Decimal:
        if is_short:
            end = at + at * slip if at is not None and at > mark else mark + mark * worst
        else:
            end = at - at * slip if at is not None and at < mark else mark - mark * worst
        return abs(mark - end) + max(mark, end) * fee

    assert position_loss(held, mark, fee, LIMITS) == protected * lost(stop) + (quantity - protected) * lost(None)


@given(
    name=NAMES,
    symbol=NAMES,
    side=st.sampled_from(Side),
    numbers=st.tuples(QUANTITIES, st.none() | PRICES, st.none() | PRICES),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_text_of_a_working_order_is_the_canonical_one(
    name: str,
    symbol: str,
    side: Side,
    numbers: tuple[Decimal, Decimal | None, Decimal | None],
    flags: tuple[bool, bool, bool],
) -> None:
    quantity, price, stop = numbers
    reduce_only, is_stop, is_exit = flags
    one = ProposedOrder(
        ClientOrderId(name), Symbol(symbol), side, quantity, price, stop, reduce_only, is_stop and price is not None, is_exit
    )
    for working in (WorkingOrder.whole(one), WorkingOrder(one, quantity / 2)):
        assert working_text(working) == canonical_text(working)
    assert WorkingOrder.whole(one) == WorkingOrder(one, one.quantity)


@given(name=NAMES, side=st.sampled_from(Side), quantity=QUANTITIES, reduce_only=st.booleans())
def test_market_order_is_the_order_of_its_facts(name: str, side: Side, quantity: Decimal, reduce_only: bool) -> None:
    made = ProposedOrder.market(ClientOrderId(name), BTC, side, quantity, reduce_only=reduce_only)
    assert made == ProposedOrder(ClientOrderId(name), BTC, side, quantity, reduce_only=reduce_only)
    assert canonical_text(made) == canonical_text(replace(made))
    with pytest.raises(RiskError, match="more than 0"):
        ProposedOrder.market(ClientOrderId(name), BTC, side, -quantity, reduce_only=reduce_only)


def composed(base: RiskSnapshot, sent: list[ProposedOrder]) -> RiskSnapshot:
    return replace(
        base,
        working=(*base.working, *(WorkingOrder(one, one.quantity) for one in sent)),
        order_times=(*base.order_times, *(base.at for _ in sent)),
    )


@given(data=st.data())
def test_snapshots_of_a_batch_equal_those_composed_from_all_facts(data: st.DataObject) -> None:
    """Orders are sent after any snapshot there is, also twice after the same one, and each is looked at when it pleases."""
    offsets = data.draw(st.lists(st.integers(-90, 90), max_size=4))
    held = () if data.draw(st.booleans()) else (position(),)
    base = replace(
        snapshot(*held, working=(WorkingOrder(order(order_id="first"), order().quantity),)),
        order_times=tuple(NOON + timedelta(seconds=offset) for offset in offsets),
    )
    made: list[tuple[RiskSnapshot, list[ProposedOrder]]] = [(base, [])]
    for number in range(data.draw(st.integers(1, 7))):
        before, sent = made[data.draw(st.integers(0, len(made) - 1))]
        name = data.draw(st.sampled_from("abxyz")) + str(number)
        new = order(order_id=name, side=data.draw(st.sampled_from(Side)), reduce_only=data.draw(st.booleans()))
        if data.draw(st.booleans()):
            assess(new, before, LIMITS)  # as a batch does: the book goes on from what it was weighed as
        made.append((before.with_sent(new), [*sent, new]))
        facts, of = made[data.draw(st.integers(0, len(made) - 1))]
        look(data.draw(st.sampled_from(("id", "book", "working", "assess"))), facts, composed(base, of))
    for facts, of in made:
        again = composed(base, of)
        for what in ("id", "book", "working", "assess"):
            look(what, facts, again)
        assert facts == again
        assert all(facts.is_working(one.order_id) for one in of)
        assert facts.symbols == again.symbols
        for seconds in (-91, -30, 0, 30):
            instant = NOON + timedelta(seconds=seconds)
            assert facts.sent_after(instant) == sum(at > instant for at in again.order_times)


def look(what: str, facts: RiskSnapshot, again: RiskSnapshot) -> None:
    match what:
        case "id":
            assert facts.snapshot_id == again.snapshot_id == hashlib.sha256(canonical_text(again).encode()).hexdigest()
        case "book":
            assert book_of(facts, LIMITS) == book_of(again, LIMITS)
        case "working":
            assert (facts.working, facts.order_times) == (again.working, again.order_times)
        case _:
            new = order(order_id="judged")
            found, expected = assess(new, facts, LIMITS), assess(new, again, LIMITS)
            assert type(found) is type(expected)
            assert getattr(found, "breaches", ()) == getattr(expected, "breaches", ())


def test_decision_leaves_the_callers_context_alone() -> None:
    with localcontext() as context:
        context.prec, context.traps[Inexact] = 3, True
        decided = assess(order(), snapshot(), LIMITS)
        assert context.prec == 3
    assert type(decided) is type(assess(order(), snapshot(), LIMITS))
