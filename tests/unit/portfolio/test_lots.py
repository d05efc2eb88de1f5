"""Worked examples: each figure is computed by hand in the comment beside it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.errors import StandingOrderError
from signalbox.portfolio.lots import Disposal, LotMethod, StandingOrder, method_at
from tests.builders import BTC
from tests.unit.portfolio.samples import ACCOUNT, buy, day, sell

THREE_BUYS = [buy(1, "1", "100", "1"), buy(2, "1", "300", "1"), buy(3, "1", "200", "1")]


def closed_by(method: LotMethod, *fills: Fill) -> tuple[Disposal, ...]:
    return book(ACCOUNT, fills, [StandingOrder(method, day(0), day(0))]).disposals


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (LotMethod.FIFO, [("t-1", "1", "148"), ("t-2", "0.5", "-26")]),  # 250-100-1-1; half of 250-300, fees .5 and .5
        (LotMethod.LIFO, [("t-3", "1", "48"), ("t-2", "0.5", "-26")]),  # 250-200-1-1
        (LotMethod.HIFO, [("t-2", "1", "-52"), ("t-3", "0.5", "24")]),  # 250-300-1-1; half of 250-200, fees .5 and .5
    ],
)
def test_each_method_closes_its_own_lots(method: LotMethod, expected: list[tuple[str, str, str]]) -> None:
    closed = closed_by(method, *THREE_BUYS, sell(4, "1.5", "250", "1.5"))
    assert [(d.lot_id.rsplit(":", 1)[1], d.quantity, d.gain) for d in closed] == [
        (n, Decimal(q), Decimal(g)) for n, q, g in expected
    ]


@pytest.mark.parametrize(("method", "first"), [(LotMethod.FIFO, "t-1"), (LotMethod.LIFO, "t-3"), (LotMethod.HIFO, "t-1")])
def test_short_lots_close_with_the_smallest_gain_first_under_hifo(method: LotMethod, first: str) -> None:
    shorts = [sell(1, "1", "100"), sell(2, "1", "300"), sell(3, "1", "200")]  # the lowest proceeds gain least
    (closed,) = closed_by(method, *shorts, buy(4, "1", "150"))
    assert closed.lot_id.endswith(first)
    assert closed.gain == {"t-1": -50, "t-3": 50}[first]  # proceeds minus 150


def test_fees_are_part_of_the_rank_of_a_lot() -> None:
    (closed,) = closed_by(LotMethod.HIFO, buy(1, "1", "100", "5"), buy(2, "1", "102"), sell(3, "1", "100"))
    assert closed.lot_id.endswith("t-1")  # 105 beats 102


def test_equal_lots_close_in_the_order_they_were_opened() -> None:
    (closed,) = closed_by(LotMethod.HIFO, buy(1, "1", "100"), buy(2, "1", "100"), sell(3, "1", "100"))
    assert closed.lot_id.endswith("t-1")


def test_a_flip_opens_a_lot_with_the_rest_of_the_fee() -> None:
    booked = book(ACCOUNT, [buy(1, "1", "100"), sell(2, "4", "110", "2")])
    (closed,), (lot,) = booked.disposals, booked.books.lots[BTC]
    assert (closed.close_fee, closed.gain) == (Decimal("0.5"), Decimal("9.5"))
    assert (lot.quantity, lot.price, lot.fee, lot.cost) == (Decimal(-3), Decimal(110), Decimal("1.5"), Decimal(-330))
    assert lot.unit_cost == Decimal("109.5")  # proceeds per unit after the fee: (330 - 1.5) / 3


def test_a_fee_that_does_not_divide_is_kept_whole() -> None:
    closed = closed_by(LotMethod.FIFO, buy(1, "3", "10", "1"), sell(2, "1", "10"), sell(3, "1", "10"), sell(4, "1", "10"))
    third = Decimal("0.333333333333333333")
    assert [d.open_fee for d in closed] == [third, Decimal("0.333333333333333334"), third]


def test_the_standing_order_in_force_at_the_sale_decides() -> None:
    orders = [StandingOrder(LotMethod.HIFO, day(2), day(4)), StandingOrder(LotMethod.LIFO, day(4), day(6))]
    fills = [buy(1, "1", "100"), buy(2, "1", "300"), buy(3, "1", "200"), sell(3, "1", "250", key="t-3b"), sell(5, "1", "250")]
    closed = book(ACCOUNT, [*fills, sell(6, "1", "250")], orders).disposals
    assert [(d.method, d.open_price) for d in closed] == [
        (LotMethod.FIFO, Decimal(100)),
        (LotMethod.HIFO, Decimal(300)),
        (LotMethod.LIFO, Decimal(200)),
    ]
    assert method_at(orders, day(4)) is LotMethod.HIFO  # from the very instant
    assert method_at(orders, day(4) - timedelta(microseconds=1)) is LotMethod.FIFO


def test_a_standing_order_does_not_reach_into_the_past() -> None:
    with pytest.raises(StandingOrderError, match="expected an effective_from at or after"):
        StandingOrder(LotMethod.HIFO, day(2), day(1))
    with pytest.raises(StandingOrderError, match="sorted by effective_from"):
        method_at([StandingOrder(LotMethod.HIFO, day(2), day(2)), StandingOrder(LotMethod.LIFO, day(2), day(2))], day(3))
