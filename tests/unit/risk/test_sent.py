"""A snapshot with an order sent is the snapshot somebody would compose from all facts again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk import WorkingOrder
from signalbox.risk.errors import RiskError
from signalbox.risk.exposure import book_of
from tests.builders import NOON
from tests.unit.risk.facts import LIMITS, order, position, snapshot

OFFSETS = st.lists(st.integers(-90, 90), max_size=6)


@given(offsets=OFFSETS, names=st.lists(st.sampled_from("abcxyz"), unique=True, max_size=4))
def test_sent_order_gives_what_composing_again_gives(offsets: list[int], names: list[str]) -> None:
    working = tuple(WorkingOrder(order(order_id=name), order().quantity) for name in names)
    before = replace(
        snapshot(position(), working=working), order_times=tuple(NOON + timedelta(seconds=offset) for offset in offsets)
    )
    new = order(order_id="m")
    again = replace(
        before, working=(*before.working, WorkingOrder(new, new.quantity)), order_times=(*before.order_times, before.at)
    )
    after = before.with_sent(new)
    assert after == again
    assert after.snapshot_id == again.snapshot_id
    assert before.working == tuple(sorted(working, key=lambda w: w.order.order_id))


@given(
    names=st.lists(st.sampled_from("abcxyz"), unique=True, max_size=4),
    sent=st.lists(
        st.tuples(st.sampled_from("klmn"), st.sampled_from(Side), st.booleans()), unique_by=lambda one: one[0], max_size=4
    ),
    looked=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_book_that_goes_on_is_the_book_of_all_facts(
    names: list[str], sent: list[tuple[str, Side, bool]], looked: list[bool]
) -> None:
    working = tuple(WorkingOrder(order(order_id=name), order().quantity) for name in names)
    facts = snapshot(position(), working=working)
    for (name, side, reduce_only), look in zip(sent, looked, strict=False):
        if look:
            book_of(facts, LIMITS)
        facts = facts.with_sent(order(order_id=name, side=side, reduce_only=reduce_only))
        assert facts.is_working(ClientOrderId(name))
    assert book_of(facts, LIMITS) == book_of(replace(facts), LIMITS)
    assert facts.symbols == replace(facts).symbols
    other = LIMITS.model_copy(update={"worst_move_fraction": LIMITS.worst_move_fraction * 2})
    assert book_of(facts, other) == book_of(replace(facts), other)


def test_order_that_is_working_is_not_sent_again() -> None:
    before = snapshot(working=(WorkingOrder(order(order_id="m"), order().quantity),))
    with pytest.raises(RiskError, match="is working already"):
        before.with_sent(order(order_id="m"))
