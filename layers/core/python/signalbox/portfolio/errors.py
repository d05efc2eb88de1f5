"""Errors of booking. After one, nothing of the entry was applied.

PortfolioError
├── EntryConflictError       an entry's key was booked before with other data
├── OutOfOrderError          the entry is older than the newest booked one; book all entries again
└── StandingOrderError       a standing order would take effect in the past
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class PortfolioError(SignalboxError):
    """Base class of the portfolio's errors."""


class EntryConflictError(PortfolioError):
    """A conflicting duplicate: the entry's key was booked before with other data."""


class OutOfOrderError(PortfolioError):
    """The entry happened before one that is booked. The account must be booked again from all of its entries."""


class StandingOrderError(PortfolioError):
    """A standing order would take effect before it was given, or before the one it replaces."""
