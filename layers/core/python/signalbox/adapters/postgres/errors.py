"""Translates psycopg errors into ledger errors (signalbox.ledger_errors), and defines the error of migrations."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from signalbox.ledger_errors import LedgerBusyError, LedgerError, LedgerRefusedError, LedgerUnavailableError


class MigrationError(LedgerError):
    """The migration files do not continue the migrations that were applied."""


_CONNECTION_LOST: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
    errors.FeatureNotSupported,  # "cached plan must not change result type" after a migration; a new login prepares again
    errors.ReadOnlySqlTransaction,  # after a failover this was the primary; a new login finds the new primary
)
_ANOTHER_SCHEMA: Final = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction, errors.InvalidSchemaName)
_BUSY: Final = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.SerializationFailure)


def connection_was_lost(error: psycopg.Error) -> bool:
    """Return whether this error means that the connection is no longer usable."""
    if isinstance(error, _CONNECTION_LOST):
        return True
    if isinstance(error, errors.InternalError_):
        return "cache lookup failed" in str(error)  # a prepared statement of a type that a restore made anew; see above
    if not isinstance(error, psycopg.OperationalError):
        return False
    # Errors of the client library carry no SQLSTATE; class 08 is the server's "connection exception".
    return error.sqlstate is None or error.sqlstate.startswith("08")


def translated(error: psycopg.Error) -> LedgerError:
    """Return the ledger error that corresponds to a driver error."""
    message = str(error).strip() or type(error).__name__
    if connection_was_lost(error):
        return LedgerUnavailableError(message)
    if isinstance(error, _BUSY):
        return LedgerBusyError(message)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return LedgerRefusedError(message)
    if isinstance(error, _ANOTHER_SCHEMA):
        found = error.diag.message_primary or message  # without the statement, which the reader did not write
        return LedgerError(
            f"expected a ledger with the schema of this version, got another database or an older schema ({found}); give the"
            " ledger's own database, or deploy its stage again (the local cloud: `signalbox up`)"
        )
    return LedgerError(message)
