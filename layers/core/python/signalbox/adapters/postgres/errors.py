"""What can go wrong between us and the ledger, told apart by what the caller should do.

LedgerError                   a bug of ours: a statement that cannot be right, a block that went on after a failed one
├── LedgerUnavailableError    no connection, or it was lost: deliver again, the natural keys make that harmless
├── LedgerBusyError           a lock, a deadlock or a statement took too long: deliver again
├── LedgerRefusedError        a row that breaks a constraint: delivering again cannot help
└── MigrationError            migrations that were changed, misnamed or out of sequence
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from signalbox.errors import SignalboxError


class LedgerError(SignalboxError):
    """The ledger refused, or the connection to it was lost."""


class LedgerUnavailableError(LedgerError):
    """There is no connection, or it was lost on the way; unless the message says otherwise nothing was written."""


class LedgerBusyError(LedgerError):
    """A lock was not granted in time, a statement ran too long, or a deadlock was broken; nothing was written."""


class LedgerRefusedError(LedgerError):
    """A row breaks a constraint of the ledger, or its value does not fit the column; nothing was written."""


class MigrationError(LedgerError):
    """The migrations on disk do not continue those that were applied."""


_CONNECTION_LOST: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
    errors.FeatureNotSupported,  # "cached plan must not change result type": a migration did; a new login prepares anew
    errors.ReadOnlySqlTransaction,  # after a failover this was the primary; a new login finds the new one
)
_BUSY: Final = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.SerializationFailure)


def connection_was_lost(error: psycopg.Error) -> bool:
    """Return whether an error means that this connection is of no more use."""
    if isinstance(error, _CONNECTION_LOST):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    # Errors of the client library carry no SQLSTATE; class 08 is the server's "connection exception".
    return error.sqlstate is None or error.sqlstate.startswith("08")


def translated(error: psycopg.Error) -> LedgerError:
    """Return the ledger's own error for one of the driver."""
    message = str(error).strip() or type(error).__name__
    if connection_was_lost(error):
        return LedgerUnavailableError(message)
    if isinstance(error, _BUSY):
        return LedgerBusyError(message)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return LedgerRefusedError(message)
    return LedgerError(message)
