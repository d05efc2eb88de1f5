"""Exact decimal arithmetic: sums and products of money are never rounded, and the few functions that round say so.

`@exactly` runs a function under CONTEXT, which traps Inexact: a sum, product or plain division that would lose a digit raises,
and so does a comparison with a `float`. There are only two ways to divide: `share` splits an amount (what rounding takes from the
share stays in the rest, so nothing is lost), and `ratio` gives a figure for display that is never booked. Pure: the caller's
decimal context is restored. `canonical` returns a number's one form, `plain` its one text.
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
    setcontext,
)
from functools import lru_cache, wraps
from typing import Annotated, Final, ParamSpec, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

P = ParamSpec("P")
R = TypeVar("R")

DIGITS: Final = 150  # a price times a quantity has at most 72 digits, and the sum of 10^70 such products still fits
MAX_DIGITS: Final = 18  # of an amount, on each side of the decimal point
SHARE_PLACES: Final = 18  # decimal places of a share that does not divide evenly
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow, FloatOperation]
CONTEXT: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=[*_TRAPS, Inexact])
_ROUNDED: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=_TRAPS)


def _refuse_float(value: object) -> object:
    if isinstance(value, (float, bool)):
        raise ValueError(f"expected decimal text, a Decimal or an integer, got {type(value).__name__} {value!r}")  # noqa: TRY004 - pydantic reports ValueError
    return value


# The bounds are set on Decimal itself: behind our own validator pydantic would check them in Python, many times slower.
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
    """A decorator that runs a function under one decimal context, whatever the caller's context is.

    It sets that context itself, not a copy: a copy costs as much as a few sums. A function called inside another one under the
    same context sets nothing.
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


exactly: Final = Under(CONTEXT)  # an inexact result raises decimal.Inexact


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return amount * part / whole, rounded half to even to SHARE_PLACES; `amount` itself if part equals whole.

    The caller subtracts the share from the amount, so the rest takes up the rounding.
    """
    if part == whole:
        return amount
    return ratio(_ROUNDED.multiply(amount, part), whole, SHARE_PLACES)


def ratio(numerator: Decimal, denominator: Decimal, places: int) -> Decimal:
    """Return numerator / denominator for display, rounded half to even to `places` decimals."""
    return to_places(_ROUNDED.divide(numerator, denominator), places)


def to_places(amount: Decimal, places: int) -> Decimal:
    """Return `amount` for display, rounded half to even to `places` decimals; exact if it has no more than that."""
    return amount.quantize(_unit(places), ROUND_HALF_EVEN, _ROUNDED)


def up_to_places(amount: Decimal, places: int) -> Decimal:
    """Return `amount` rounded up (towards plus infinity) to `places` decimals, so that an estimated fee is never too low."""
    return amount.quantize(_unit(places), ROUND_CEILING, _ROUNDED)


@lru_cache(maxsize=64)
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def to_step(amount: Decimal, step: Decimal, *, upwards: bool) -> Decimal:
    """Return the exact multiple of `step` nearest to `amount`: not below it if `upwards`, else not above it."""
    rest = CONTEXT.remainder(amount, step)  # asked of the context itself: to set it and set it back costs more than the sums
    if rest < ZERO:
        rest = CONTEXT.add(rest, step)  # the remainder has the sign of the amount
    return CONTEXT.add(CONTEXT.subtract(amount, rest), step if upwards and rest else ZERO)


@lru_cache(maxsize=4096)  # the same steps and prices recur, and equal numbers have one form
def canonical(value: Decimal) -> Decimal | None:
    """Return a finite number in its one form: 1.00 and 1.0 become 1, 5E+4 becomes 50000, -0 becomes 0.

    Returns None if the number is 10**MAX_DIGITS or more, or has more than MAX_DIGITS decimal places.
    """
    if not value:
        return ZERO
    if value.adjusted() >= MAX_DIGITS:
        return None
    found = value.normalize(_ROUNDED)
    text = str(found)
    if len(text) <= MAX_DIGITS and "E" not in text and found == value:
        return found  # the usual case: no exponent, and short enough to have no more than MAX_DIGITS decimals
    exponent = found.as_tuple().exponent
    if found != value or not isinstance(exponent, int) or exponent < -MAX_DIGITS:
        return None
    return found if exponent <= 0 else found.quantize(ONE, context=_ROUNDED)


def plain(value: Decimal) -> str:
    """Return all digits of a finite number as text, without an exponent, trailing zeros or a sign on zero."""
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def seconds_of(span: timedelta) -> Decimal:
    """Return a time span in seconds, exact to the microsecond."""
    return Decimal(span // timedelta(microseconds=1)).scaleb(-6, CONTEXT)
