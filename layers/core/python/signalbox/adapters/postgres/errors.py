"""How an error of psycopg becomes one of the ledger (signalbox.ledger_errors), and what can be wrong with migrations."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from signalbox.ledger_errors import LedgerBusyError, LedgerError, LedgerRefusedError, LedgerUnavailableError


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
