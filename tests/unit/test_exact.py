from __future__ import annotations

from decimal import Decimal, Inexact, getcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import ZERO, exactly, ratio, share, to_places, to_step, up_to_places

AMOUNTS = st.decimals("-999999999999999999", "999999999999999999", places=18)
PARTS = st.decimals("0.000000000000000001", "999999999999999999", places=18)


@exactly
def _product(one: Decimal, other: Decimal) -> Decimal:
    return one * other


@exactly
def _quotient(one: Decimal, other: Decimal) -> Decimal:
    return one / other


@given(AMOUNTS, AMOUNTS)
def test_products_keep_every_digit(one: Decimal, other: Decimal) -> None:
    assert Fraction(_product(one, other)) == Fraction(one) * Fraction(other)


def test_a_product_beyond_the_usual_28_digits_is_exact() -> None:
    assert str(_product(Decimal("123456789012345678.123456789012345678"), Decimal("0.000000000000000003"))) == (
        "0.370370367037037034370370367037037034"
    )


def test_a_division_that_would_round_is_an_error() -> None:
    with pytest.raises(Inexact):
        _quotient(Decimal(1), Decimal(3))
    assert getcontext().prec == 28  # the caller's context is as it was


@given(AMOUNTS, PARTS, PARTS)
def test_a_share_and_its_rest_are_the_amount(amount: Decimal, one: Decimal, other: Decimal) -> None:
    part, whole = sorted((one, other))
    taken = share(amount, part, whole)
    assert exactly(lambda: taken + (amount - taken) - amount)() == ZERO
    assert exactly(lambda: abs(taken) <= abs(amount))()
    assert share(amount, whole, whole) is amount


def test_a_share_rounds_half_to_even_at_eighteen_places() -> None:
    assert share(Decimal(1), Decimal(1), Decimal(3)) == Decimal("0.333333333333333333")
    assert share(Decimal("0.000000000000000001"), Decimal(1), Decimal(2)) == ZERO
    assert share(Decimal("0.000000000000000003"), Decimal(1), Decimal(2)) == Decimal("0.000000000000000002")


def test_shown_figures_round_half_to_even() -> None:
    assert ratio(Decimal(1), Decimal(8), 2) == Decimal("0.12")
    assert to_places(Decimal("2.675"), 2) == Decimal("2.68")


def test_fees_round_against_us() -> None:
    assert up_to_places(Decimal("0.001"), 2) == Decimal("0.01")
    assert up_to_places(Decimal("-0.019"), 2) == Decimal("-0.01")


@given(AMOUNTS, st.sampled_from(["0.01", "0.25", "5", "0.00000001"]))
def test_a_step_below_and_a_step_above_enclose_the_amount(amount: Decimal, size: str) -> None:
    step = Fraction(size)
    below, above = (Fraction(to_step(amount, Decimal(size), upwards=up)) for up in (False, True))
    assert below <= Fraction(amount) <= above
    assert above - below in {0, step}
    assert below % step == above % step == 0
