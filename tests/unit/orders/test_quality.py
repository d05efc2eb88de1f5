"""Worked examples of execution quality: each figure is computed by hand in the comment beside it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders.errors import QualityError
from signalbox.orders.events import OrderCanceled
from signalbox.orders.quality import (
    Cost,
    FillMarks,
    Observation,
    Quality,
    arrival_slippage,
    effective_spread,
    implementation_shortfall,
    price_impact,
    quality_of,
    realised_spread,
    vwap_slippage,
)
from tests.unit.orders.samples import accepted, applied, fill, seconds, submitted, terms

MARKS = {"t-1": FillMarks(Decimal(100), Decimal("100.5")), "t-2": FillMarks(Decimal(101), Decimal("100.5"))}


def seen(side: str = "BUY", end: str | None = "103", *, whole: bool = False, **changes: Any) -> Observation:
    """10 ordered on a price of 99, mid 100 at sending: 4 filled at 100.2 and 4 at 101.3; then cancelled, or 2 more at 102."""
    of = terms(side=side)
    order = applied(
        accepted(of), fill(of, "t-1", "4", "100.2", "0.5", seconds(4)), fill(of, "t-2", "4", "101.3", "0.5", seconds(7))
    )
    last = fill(of, "t-3", "2", "102", "0.25", seconds(11))
    order = applied(order, last if whole else OrderCanceled(client_order_id=of.client_order_id, at=seconds(20), reason="R"))
    facts: dict[str, Any] = {"decision_price": Decimal(99), "arrival_mid": Decimal(100), "marks": MARKS}
    return Observation(order, "paper", end_mid=Decimal(end) if end else None, **facts | changes)


def test_arrival_slippage() -> None:
    # 4 * 0.2 + 4 * 1.3 = 6.0 over 8 * 100
    assert arrival_slippage(seen()) == Cost(Decimal("6.0"), Decimal(800))
    assert arrival_slippage(seen()).bps == 75
    assert arrival_slippage(seen("SELL")).bps == -75  # a sale above the mid saved as much


def test_effective_and_realised_spread_and_impact() -> None:
    # 2 * (4 * 0.2 + 4 * 0.3) = 4.0 over 4 * 100 + 4 * 101 = 804
    assert effective_spread(seen()) == Cost(Decimal("4.0"), Decimal(804))
    assert effective_spread(seen()).bps == Decimal("49.7512")
    # 2 * (4 * (100.2 - 100.5) + 4 * (101.3 - 100.5)) = 4.0: the two legs of -2.4 and 6.4
    assert realised_spread(seen()) == Cost(Decimal("4.0"), Decimal(804))
    # 2 * (4 * 0.5 - 4 * 0.5)
    assert price_impact(seen()) == Cost(Decimal("0.0"), Decimal(804))


def test_implementation_shortfall_charges_what_was_not_filled() -> None:
    # 4 * 1.2 + 4 * 2.3 = 14 for what was bought, 2 * (103 - 99) = 8 for what was not, 1 in fees; over 10 * 99
    assert implementation_shortfall(seen()) == Cost(Decimal("23.0"), Decimal(990))
    assert implementation_shortfall(seen()).bps == Decimal("232.3232")
    # sold above the decision: -14, and the 2 unsold could be sold at 103 instead of 99: -8; fees are fees
    assert implementation_shortfall(seen("SELL")).cost == Decimal("-21.0")
    # filled whole: 14 + 2 * 3 + 1.25
    assert implementation_shortfall(seen(end=None, whole=True)).cost == Decimal("21.25")


def test_a_shortfall_without_the_end_price_is_not_guessed() -> None:
    with pytest.raises(QualityError, match="2 stayed unfilled"):
        implementation_shortfall(seen(end=None))


def test_vwap_slippage() -> None:
    # 806 paid for 8, against 8 * 100.5 = 804
    assert vwap_slippage(seen(market_vwap=Decimal("100.5"))) == Cost(Decimal("2.0"), Decimal("804.0"))
    assert vwap_slippage(seen()).bps is None  # nobody knows the market's volume


def test_ratio_times_and_counts_of_one_order() -> None:
    part, whole = quality_of(seen()), quality_of(seen(whole=True))
    assert (part.fill_ratio, part.filled_orders, part.trades, part.trades_without_marks) == (Decimal("0.8"), 0, 2, 0)
    assert (part.mean_time_to_first_fill, part.mean_time_to_fill) == (timedelta(seconds=3), None)
    assert (whole.fill_ratio, whole.filled_orders, whole.trades_without_marks) == (Decimal(1), 1, 1)
    assert whole.mean_time_to_fill == timedelta(seconds=10)


def test_an_order_that_never_filled_costs_what_it_missed() -> None:
    nothing = applied(submitted(), OrderCanceled(client_order_id=terms().client_order_id, at=seconds(20), reason="R"))
    quality = quality_of(Observation(nothing, "paper", Decimal(99), Decimal(100), end_mid=Decimal(101)))
    assert (quality.fill_ratio, quality.arrival_slippage.bps, quality.mean_time_to_first_fill) == (Decimal(0), None, None)
    assert quality.implementation_shortfall == Cost(Decimal(20), Decimal(990))


def test_an_open_order_is_not_judged() -> None:
    with pytest.raises(QualityError, match="closed order, got state ACCEPTED"):
        quality_of(Observation(accepted(), "paper", Decimal(99), Decimal(100)))


def test_no_orders_have_no_figures() -> None:
    assert (Quality().fill_ratio, Quality().mean_time_to_fill, Quality().arrival_slippage.bps) == (None, None, None)


_PRICES = st.decimals("0.01", "100000", places=6)


@given(st.lists(st.tuples(st.decimals("0.001", "2", places=6), _PRICES, _PRICES, _PRICES), min_size=1, max_size=5), st.data())
def test_effective_spread_is_realised_spread_plus_impact(
    trades: list[tuple[Decimal, Decimal, Decimal, Decimal]], data: st.DataObject
) -> None:
    of = terms(side=data.draw(st.sampled_from(["BUY", "SELL"])))
    order = accepted(of)
    for i, (quantity, price, _, _) in enumerate(trades):
        order = applied(order, fill(of, f"t-{i}", str(quantity), str(price)))
    marks = {f"t-{i}": FillMarks(mid, after) for i, (_, _, mid, after) in enumerate(trades)}
    view = Observation(order, "paper", Decimal(1), Decimal(1), marks=marks)
    whole, kept, moved = effective_spread(view), realised_spread(view), price_impact(view)
    assert whole.cost == kept.cost + moved.cost
    assert whole.base == kept.base == moved.base


@given(st.permutations(range(4)), st.integers(0, 4))
def test_groups_add_up_however_they_are_cut(order: list[int], cut: int) -> None:
    every = [quality_of(s) for s in (seen(), seen("SELL"), seen(whole=True), seen("SELL", whole=True))]
    mixed = [every[i] for i in order]
    first, second = sum(mixed[:cut], Quality()), sum(mixed[cut:], Quality())
    assert first + second == sum(every, Quality())
    assert Fraction((first + second).fees) == Fraction("4.5")
