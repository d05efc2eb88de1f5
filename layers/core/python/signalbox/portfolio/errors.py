"""What cannot be booked. Nothing of the entry was applied.

PortfolioError
├── EntryConflictError       a conflicting duplicate of an entry's key
├── OutOfOrderError          an entry older than the newest booked one; book again from all entries
└── StandingOrderError       an instruction that would reach into the past
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class PortfolioError(SignalboxError):
    """The root of this package's errors."""


class EntryConflictError(PortfolioError):
    """A conflicting duplicate: the entry's key was booked before with other data."""


class OutOfOrderError(PortfolioError):
    """The entry happened before one that is booked: the account has to be booked again from all of its entries."""


class StandingOrderError(PortfolioError):
    """A standing order that takes effect before it was given, or before the one it replaces."""
