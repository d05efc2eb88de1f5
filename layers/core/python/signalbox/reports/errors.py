"""What a report refuses.

ReportError
├── PeriodError          a period that cannot be read, or in which the account did not exist
└── ReportSourceError    facts that contradict each other: the report would not be true
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class ReportError(SignalboxError):
    """The root of this package's errors."""


class PeriodError(ReportError):
    """A period that cannot be read, or in which the account did not exist."""


class ReportSourceError(ReportError):
    """Facts of the ledger that contradict each other or are not there; says which."""
