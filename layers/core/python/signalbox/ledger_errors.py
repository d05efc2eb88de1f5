"""Errors of a ledger, one class for each reaction of the caller. The ledger ports promise these and the adapters raise them.

LedgerError                   a bug of ours: an invalid statement, or work that continued after a failed statement
├── LedgerUnavailableError    no connection, or it was lost: deliver again, which the natural keys make harmless
├── LedgerBusyError           a lock, a deadlock or a statement took too long: deliver again
├── LedgerRefusedError        a row breaks a constraint: delivering again cannot help
└── MigrationError            adapters.postgres: migrations that were changed, misnamed or out of sequence
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LedgerError(SignalboxError):
    """The ledger refused, or the connection to it was lost."""


class LedgerUnavailableError(LedgerError):
    """The ledger cannot be reached, or the connection was lost. Unless the message says otherwise, nothing was written."""


class LedgerBusyError(LedgerError):
    """A lock was not granted in time, a statement ran too long, or a deadlock was broken. Nothing was written."""


class LedgerRefusedError(LedgerError):
    """A row breaks a constraint of the ledger, or a value does not fit its column. Nothing was written."""
