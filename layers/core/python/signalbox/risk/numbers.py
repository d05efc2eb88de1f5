"""Validates numbers and instants for the pre-trade checks: each is converted to its canonical form here, or refused.

Arithmetic with them is exact (signalbox.exact).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from signalbox.exact import MAX_DIGITS, ZERO, canonical
from signalbox.risk.errors import RiskError


def exact(value: object, *name: object) -> Decimal:
    """Return the number in its canonical form (1.00 and 1.0 become 1; -0 becomes 0). name: the number's name in errors.

    Raises RiskError unless it is a finite Decimal whose size is below 10**18, with at most 18 decimal places.
    """
    if not isinstance(value, Decimal) or not value.is_finite():
        raise RiskError(f"{_shown(name)}: expected a finite Decimal, got {value!r}")
    number = canonical(value)
    if number is None:
        if value.adjusted() >= MAX_DIGITS:
            raise RiskError(f"{_shown(name)}: expected less than 1E+{MAX_DIGITS}, got {value}")
        raise RiskError(f"{_shown(name)}: expected at most {MAX_DIGITS} decimal places, got {value}")
    return number


def positive(value: Decimal, *name: object) -> Decimal:
    """Return `exact(value)`. Raises RiskError unless it is above zero."""
    number = exact(value, *name)
    if number <= ZERO:
        raise RiskError(f"{_shown(name)}: expected more than 0, got {value}")
    return number


def not_negative(value: Decimal, *name: object) -> Decimal:
    """Return `exact(value)`. Raises RiskError if it is below zero."""
    number = exact(value, *name)
    if number < ZERO:
        raise RiskError(f"{_shown(name)}: expected 0 or more, got {value}")
    return number


def aware(instant: datetime, *name: object) -> datetime:
    """Return the instant in UTC. Python compares two instants of the same local zone by wall clock, which is wrong over DST.

    Raises RiskError if the instant has no offset from UTC.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise RiskError(f"{_shown(name)}: expected an instant with an offset from UTC, got {instant!r}")
    return instant.astimezone(UTC)


def _shown(name: tuple[object, ...]) -> str:
    return " ".join(map(str, name))  # only for errors: building the name for every number would cost more than the check
