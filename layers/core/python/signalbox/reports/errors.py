"""Errors of reports.

ReportError
├── PeriodError          the period is unreadable, or the account did not exist in it
└── ReportSourceError    facts in the ledger contradict each other or are missing, so the report would not be true
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class ReportError(SignalboxError):
    """Base class of the reports' errors."""


class PeriodError(ReportError):
    """The period is unreadable, or the account did not exist in it."""


class ReportSourceError(ReportError):
    """Facts in the ledger contradict each other or are missing. The message says which."""
