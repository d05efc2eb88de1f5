"""Errors of the ledger, by what the caller should do. Its ports promise these; adapters raise them.

LedgerError                   a bug of ours: a statement that cannot be right, a block that went on after a failed one
├── LedgerUnavailableError    no connection, or it was lost: deliver again, the natural keys make that harmless
├── LedgerBusyError           a lock, a deadlock or a statement took too long: deliver again
├── LedgerRefusedError        a row that breaks a constraint: delivering again cannot help
└── MigrationError            adapters.postgres: migrations that were changed, misnamed or out of sequence
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LedgerError(SignalboxError):
    """The ledger refused, or the connection to it was lost."""


class LedgerUnavailableError(LedgerError):
    """There is no connection, or it was lost on the way; unless the message says otherwise nothing was written."""


class LedgerBusyError(LedgerError):
    """A lock was not granted in time, a statement ran too long, or a deadlock was broken; nothing was written."""


class LedgerRefusedError(LedgerError):
    """A row breaks a constraint of the ledger, or its value does not fit the column; nothing was written."""
