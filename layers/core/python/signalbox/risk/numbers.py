"""Numbers and instants as the pre-trade checks take them: each enters here, in its one form, or is refused.

Arithmetic with them is exact (signalbox.exact).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from signalbox.exact import MAX_DIGITS, ZERO, canonical
from signalbox.risk.errors import RiskError


def exact(value: object, *name: object) -> Decimal:
    """Return the number in its one canonical form (1.00 and 1.0 become 1; -0 becomes 0). name: its words, for the message.

    Raises RiskError unless it is a finite Decimal below 10**18 with at most 18 decimal places.
    """
    if not isinstance(value, Decimal) or not value.is_finite():
        raise RiskError(f"{_said(name)}: expected a finite Decimal, was {value!r}")
    number = canonical(value)
    if number is None:
        if value.adjusted() >= MAX_DIGITS:
            raise RiskError(f"{_said(name)}: expected less than 1E+{MAX_DIGITS}, was {value}")
        raise RiskError(f"{_said(name)}: expected at most {MAX_DIGITS} decimal places, was {value}")
    return number


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


def aware(instant: datetime, *name: object) -> datetime:
    """Return the instant in UTC: two instants of one local zone would be compared by their wall clocks, wrong over DST.

    Raises RiskError when it says no offset from UTC.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise RiskError(f"{_said(name)}: expected an instant with an offset from UTC, was {instant!r}")
    return instant.astimezone(UTC)


def _said(name: tuple[object, ...]) -> str:
    return " ".join(map(str, name))  # of an error alone: made for each number it would cost more than the number
