"""Exact decimal arithmetic: where money is added and multiplied nothing is rounded, and where it is rounded says so here.

`@exactly` runs a function under CONTEXT, which traps Inexact: a sum or product that would lose a digit raises instead, and so
does a plain division; a `float` that strays in raises instead of being compared. The only ways to divide are `share` (split an
amount; what is not in the share stays with the rest, so nothing is lost) and `ratio` (a figure to show, never booked). Pure: no
context of the caller is touched. `canonical` and `plain` are the one form of a number and its one text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import (
    ROUND_CEILING,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    getcontext,
    localcontext,
    setcontext,
)
from functools import lru_cache, wraps
from typing import Annotated, Final, ParamSpec, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

P = ParamSpec("P")
R = TypeVar("R")

DIGITS: Final = 150  # a price times a quantity has at most 72; sums of 10^70 of them still fit
MAX_DIGITS: Final = 18  # of an amount, on either side of the point
SHARE_PLACES: Final = 18  # decimals of a share that does not divide evenly
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow, FloatOperation]
CONTEXT: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=[*_TRAPS, Inexact])
_ROUNDED: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=_TRAPS)


def _refuse_float(value: object) -> object:
    if isinstance(value, (float, bool)):
        raise ValueError(f"expected decimal text, a Decimal or an integer, was {type(value).__name__} {value!r}")  # noqa: TRY004 - pydantic reports ValueError
    return value


# The bounds stand next to Decimal: behind a validator of ours pydantic would check them in Python, many times slower.
Amount: TypeAlias = Annotated[
    Decimal, Field(allow_inf_nan=False, max_digits=2 * MAX_DIGITS, decimal_places=MAX_DIGITS), BeforeValidator(_refuse_float)
]
PositiveAmount: TypeAlias = Annotated[
    Decimal,
    Field(allow_inf_nan=False, max_digits=2 * MAX_DIGITS, decimal_places=MAX_DIGITS, gt=0),
    BeforeValidator(_refuse_float),
]
NotNegativeAmount: TypeAlias = Annotated[
    Decimal,
    Field(allow_inf_nan=False, max_digits=2 * MAX_DIGITS, decimal_places=MAX_DIGITS, ge=0),
    BeforeValidator(_refuse_float),
]


class Under:
    """A decorator: its function runs under one decimal context, whatever the caller's is.

    The context is that one itself and not a copy, which would cost as much as a few sums; inside another function under it
    nothing is left to do.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        context = self._context

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            outside = getcontext()
            if outside is context:
                return function(*args, **kwargs)
            setcontext(context)
            try:
                return function(*args, **kwargs)
            finally:
                setcontext(outside)

        return inside


exactly: Final = Under(CONTEXT)  # a result that would have to be rounded raises decimal.Inexact


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return amount * part / whole to SHARE_PLACES, half to even; all of `amount`, untouched, when part equals whole.

    The caller subtracts it from the amount, so the rest keeps whatever rounding moved.
    """
    if part == whole:
        return amount
    return ratio(_ROUNDED.multiply(amount, part), whole, SHARE_PLACES)


def ratio(numerator: Decimal, denominator: Decimal, places: int) -> Decimal:
    """Return numerator / denominator rounded half to even to `places` decimals, for showing."""
    return to_places(_ROUNDED.divide(numerator, denominator), places)


def to_places(amount: Decimal, places: int) -> Decimal:
    """Return `amount` rounded half to even to `places` decimals, for showing; exact when it has no more."""
    return amount.quantize(_unit(places), ROUND_HALF_EVEN, _ROUNDED)


def up_to_places(amount: Decimal, places: int) -> Decimal:
    """Return `amount` rounded towards plus infinity to `places` decimals: for a fee that is estimated, never in our favour."""
    return amount.quantize(_unit(places), ROUND_CEILING, _ROUNDED)


@lru_cache(maxsize=64)
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def to_step(amount: Decimal, step: Decimal, *, upwards: bool) -> Decimal:
    """Return the nearest multiple of `step` not below (upwards) or not above `amount`; exact."""
    with localcontext(CONTEXT):
        rest = amount % step
        if rest < 0:
            rest += step  # % has the sign of the amount
        return amount - rest + (step if upwards and rest else 0)


@lru_cache(maxsize=4096)  # steps and prices come again and again; equal numbers have one form
def canonical(value: Decimal) -> Decimal | None:
    """Return a finite number in its one form (1.00 and 1.0 are 1, 5E+4 is 50000, -0 is 0).

    None when it is not below 10**MAX_DIGITS or has more than MAX_DIGITS decimal places.
    """
    if not value:
        return ZERO
    if value.adjusted() >= MAX_DIGITS:
        return None
    found = value.normalize(_ROUNDED)
    text = str(found)
    if len(text) <= MAX_DIGITS and "E" not in text and found == value:
        return found  # nearly all are: no exponent, and too short for too many digits after the point
    exponent = found.as_tuple().exponent
    if found != value or not isinstance(exponent, int) or exponent < -MAX_DIGITS:
        return None
    return found if exponent <= 0 else found.quantize(ONE, context=_ROUNDED)


def plain(value: Decimal) -> str:
    """Return every digit of a finite number, without exponent or zeros at the end; zero has no sign."""
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def seconds_of(span: timedelta) -> Decimal:
    """Return a span in seconds, exact to the microsecond."""
    return Decimal(span // timedelta(microseconds=1)).scaleb(-6, CONTEXT)
