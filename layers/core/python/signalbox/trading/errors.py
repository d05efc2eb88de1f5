"""What trading refuses.

TradingError
└── AccountError    an account whose configuration cannot be, or that does not exist
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class TradingError(SignalboxError):
    """The root of this package's errors."""


class AccountError(TradingError):
    """An account that does not exist, or whose configuration contradicts itself."""
