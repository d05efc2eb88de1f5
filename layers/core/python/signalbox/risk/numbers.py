"""Exact money: every number enters through `exact`, and all arithmetic runs under one context that cannot round it away.

Nothing else sees the caller's decimal context, so a decision is the same whatever precision a thread has set, and a
`float` that strays in raises instead of being compared.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
)
from functools import lru_cache
from typing import Final

from signalbox.exact import Under
from signalbox.risk.errors import RiskError

# A product of two admitted numbers has at most 72 digits; what is left is room for sums of very many of them.
CONTEXT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation])
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
MAX_DIGITS: Final = 18  # on either side of the point


def exact(value: object, *name: object) -> Decimal:
    """Return the number in its one canonical form (1.00 and 1.0 become 1; -0 becomes 0). name: its words, for the message.

    Raises RiskError unless it is a finite Decimal below 10**18 with at most 18 decimal places.
    """
    if not isinstance(value, Decimal) or not value.is_finite():
        raise RiskError(f"{_said(name)}: expected a finite Decimal, was {value!r}")
    number = _canonical(value)
    if number is None:
        if value.adjusted() >= MAX_DIGITS:
            raise RiskError(f"{_said(name)}: expected less than 1E+{MAX_DIGITS}, was {value}")
        raise RiskError(f"{_said(name)}: expected at most {MAX_DIGITS} decimal places, was {value}")
    return number


@lru_cache(maxsize=4096)  # steps and prices come again and again; equal numbers have one form
def _canonical(value: Decimal) -> Decimal | None:
    if not value:
        return ZERO
    if value.adjusted() >= MAX_DIGITS:
        return None
    canonical = value.normalize(CONTEXT)
    text = str(canonical)
    if len(text) <= MAX_DIGITS and "E" not in text and canonical == value:
        return canonical  # nearly all are: no exponent, and too short for too many digits after the point
    exponent = canonical.as_tuple().exponent
    if canonical != value or not isinstance(exponent, int) or exponent < -MAX_DIGITS:
        return None
    return canonical if exponent <= 0 else canonical.quantize(ONE, context=CONTEXT)  # 5E+4 is 50000


def positive(value: Decimal, *name: object) -> Decimal:
    """Return `exact(value)`; raises RiskError unless it is above zero."""
    number = exact(value, *name)
    if number <= ZERO:
        raise RiskError(f"{_said(name)}: expected more than 0, was {value}")
    return number


def not_negative(value: Decimal, *name: object) -> Decimal:
    """Return `exact(value)`; raises RiskError when it is below zero."""
    number = exact(value, *name)
    if number < ZERO:
        raise RiskError(f"{_said(name)}: expected 0 or more, was {value}")
    return number


def _said(name: tuple[object, ...]) -> str:
    return " ".join(map(str, name))  # of an error alone: made for each number it would cost more than the number


def aware(instant: datetime, *name: object) -> datetime:
    """Return the instant in UTC: two instants of one local zone would be compared by their wall clocks, wrong over DST.

    Raises RiskError when it says no offset from UTC.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise RiskError(f"{_said(name)}: expected an instant with an offset from UTC, was {instant!r}")
    return instant.astimezone(UTC)


exactly: Final = Under(CONTEXT)


def plain(value: Decimal) -> str:
    """Return the number as people write it, without exponent or trailing zeros."""
    return f"{value.normalize(CONTEXT):f}" if value else "0"


def seconds_of(span: timedelta) -> Decimal:
    """Return a span in seconds, exact to the microsecond."""
    return Decimal(span // timedelta(microseconds=1)).scaleb(-6, CONTEXT)
