from __future__ import annotations

from decimal import Decimal, FloatOperation, Inexact, getcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import MAX_DIGITS, ZERO, canonical, exactly, plain, ratio, share, to_places, to_step, up_to_places

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


def test_a_float_in_exact_arithmetic_is_an_error() -> None:
    with pytest.raises(FloatOperation):
        exactly(lambda: Decimal(1) < 1.5)()


@given(AMOUNTS, st.integers(0, 12))
def test_a_number_has_one_form_and_one_text_however_it_is_written(amount: Decimal, zeros: int) -> None:
    written = Decimal(f"{amount:f}{'' if '.' in f'{amount:f}' else '.'}{'0' * zeros}")
    found = canonical(written)
    assert found is not None
    assert (found, str(canonical(found))) == (amount, str(found))
    assert plain(written) == plain(amount) == f"{found:f}"
    assert "E+" not in str(found)


@pytest.mark.parametrize("text", [f"1E+{MAX_DIGITS}", f"1E-{MAX_DIGITS + 1}", "1." + "0" * 200 + "1"])
def test_a_number_beyond_the_digits_of_an_amount_has_no_canonical_form(text: str) -> None:
    assert canonical(Decimal(text)) is None


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
