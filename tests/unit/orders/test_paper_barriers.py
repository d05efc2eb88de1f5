from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE, Candle
from signalbox.orders.errors import OrderTermsError
from signalbox.orders.lifecycle import apply
from signalbox.orders.paper.barriers import BarrierHit, Bracket, EntryTiming, barrier_fill, barrier_hit
from signalbox.orders.terms import Leg, Side
from signalbox.orders.transitions import OrderState
from tests.builders import BTC, NOON
from tests.unit.orders.samples import accepted, terms
from tests.unit.orders.test_paper_venue import VENUE, bar

HALF = Decimal("0.05")
LONG = Bracket(Side.BUY, NOON, EntryTiming.AT_OPEN, Decimal(95), Decimal(105), NOON + timedelta(minutes=3))
SHORT = replace(LONG, side=Side.SELL, stop_loss=Decimal(105), take_profit=Decimal(95))


def outcome(bracket: Bracket, one: Candle) -> tuple[Leg, Decimal] | None:
    hit = barrier_hit(bracket, one, HALF)
    return (hit.leg, hit.execution.price) if hit else None


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (bar(1), None),
        (bar(1, high="105.06"), (Leg.TAKE_PROFIT, Decimal(105))),  # the bid goes through the target
        (bar(1, high="105.05"), None),  # the bid only touches it
        (bar(1, low="95.05"), (Leg.STOP_LOSS, Decimal(95))),  # the bid touches the stop
        (bar(1, low="94", high="106"), (Leg.STOP_LOSS, Decimal(95))),  # both: the worse one
        (bar(1, open="94", low="93"), (Leg.STOP_LOSS, Decimal("93.95"))),  # opens beyond: no better than the open
        (bar(1, open="107", high="108", low="94"), (Leg.TAKE_PROFIT, Decimal(105))),  # the open comes first; no windfall
        (bar(3), (Leg.TIMEOUT, Decimal("99.95"))),
        (bar(3, low="94"), (Leg.TIMEOUT, Decimal("99.95"))),  # out at the open, before the low
        (bar(3, open="94", low="93"), (Leg.STOP_LOSS, Decimal("93.95"))),
        (bar(-1, low="90"), None),  # before it was entered
    ],
)
def test_a_long_leaves_at_the_worst_the_bar_allows(one: Candle, expected: tuple[Leg, Decimal] | None) -> None:
    assert outcome(LONG, one) == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (bar(1, low="94.94"), (Leg.TAKE_PROFIT, Decimal(95))),
        (bar(1, low="94.95"), None),
        (bar(1, high="104.95"), (Leg.STOP_LOSS, Decimal(105))),
        (bar(1, low="94", high="106"), (Leg.STOP_LOSS, Decimal(105))),
        (bar(1, open="106", high="107"), (Leg.STOP_LOSS, Decimal("106.05"))),
        (bar(3), (Leg.TIMEOUT, Decimal("100.05"))),
    ],
)
def test_a_short_mirrors_a_long(one: Candle, expected: tuple[Leg, Decimal] | None) -> None:
    assert outcome(SHORT, one) == expected


def test_in_the_bar_of_the_entry_only_what_must_be_assumed_happens() -> None:
    wide = bar(0, low="94", high="106")
    assert outcome(LONG, wide) == (Leg.STOP_LOSS, Decimal(95))
    assert outcome(LONG, bar(0, high="106")) == (Leg.TAKE_PROFIT, Decimal(105))
    inside = replace(LONG, timing=EntryTiming.INSIDE)
    assert outcome(inside, wide) == (Leg.STOP_LOSS, Decimal(95))
    assert outcome(inside, bar(0, high="106")) is None  # the high may have been before the entry
    assert outcome(inside, bar(0, open="94", low="94")) == (Leg.STOP_LOSS, Decimal(95))  # the open was before it
    assert outcome(replace(LONG, deadline=NOON), bar(0)) is None  # a timeout needs a later open


def test_a_bracket_needs_exits_on_their_own_sides() -> None:
    with pytest.raises(OrderTermsError, match="no barrier"):
        Bracket(Side.BUY, NOON, EntryTiming.AT_OPEN)
    with pytest.raises(OrderTermsError, match="wrong sides of each other"):
        replace(LONG, stop_loss=Decimal(106))
    with pytest.raises(OrderTermsError, match="wrong sides of each other"):
        replace(SHORT, stop_loss=Decimal(95))


def test_the_exit_is_a_fill_of_its_own_order() -> None:
    exit_terms = terms(side="SELL", leg="STOP_LOSS", stop="95", reduce_only=True)
    one = bar(1, low="94")
    hit = barrier_hit(LONG, one, HALF)
    assert isinstance(hit, BarrierHit)
    order = apply(accepted(exit_terms), barrier_fill(VENUE, accepted(exit_terms), hit, one))
    assert order.state is OrderState.FILLED
    assert (order.trades[0].price, order.trades[0].at) == (Decimal("94.98"), one.close_time)  # 95 - 0.019, down
    with pytest.raises(OrderTermsError, match="expected leg STOP_LOSS"):
        barrier_fill(VENUE, accepted(), hit, one)


_PRICES = st.integers(9_000, 11_000).map(lambda cents: Decimal(cents).scaleb(-2))


@given(st.lists(_PRICES, min_size=4, max_size=4), st.sampled_from([LONG, SHORT]), st.integers(0, 4), st.sampled_from(EntryTiming))
def test_an_exit_is_never_better_than_its_barrier_and_a_touched_stop_is_never_missed(
    prices: list[Decimal], bracket: Bracket, minute: int, timing: EntryTiming
) -> None:
    low, opened, closed, high = sorted(prices)
    one = Candle(BTC, NOON + ONE_MINUTE * minute, opened, high, low, closed, Decimal(1))
    bracket = replace(bracket, timing=timing)
    hit = barrier_hit(bracket, one, HALF)
    sign = bracket.side.sign
    worst = (low if bracket.side is Side.BUY else high) - sign * HALF
    stop, target = bracket.stop_loss or 0, bracket.take_profit or 0
    if hit is None:
        assert sign * worst > sign * stop
    elif hit.leg is Leg.STOP_LOSS:
        assert sign * hit.execution.price <= sign * stop
    elif hit.leg is Leg.TAKE_PROFIT:
        assert hit.execution.price == target
        assert sign * worst > sign * stop or hit.execution.at == one.open_time
    else:
        assert one.open_time >= (bracket.deadline or NOON)
