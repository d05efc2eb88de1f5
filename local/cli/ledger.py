"""Opens the ledger that a command reads: a libpq connection string given by the caller, else the ledger of `signalbox up`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from local.cloud.postgres import PORT, LocalPostgres
from local.errors import DataError
from local.settings import STAGE, Settings
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.contracts import DATABASE_NAME, READER_DATABASE_USER


def connection_source(
    database: str | None, settings: Settings, *, name: str, timeout_ms: int | None = None, user: str | None = None
) -> ConnectionSource:
    """Return the connection, which opens on first use. name: shown by the server. timeout_ms: limit of each statement.

    user: of the database of `signalbox up`, instead of the reader; a given connection string names its own.

    A password on the command line is refused, because other users of the machine could read it; libpq takes it from PGPASSWORD
    or ~/.pgpass. Raises DataError, which repeats nothing of the given string.
    """
    found, password = (
        (_of_up(settings, user or READER_DATABASE_USER), "") if database is None else (_parsed(database), _password_of_libpq())
    )
    named = replace(found, application_name=name)
    if timeout_ms is not None:
        named = replace(named, statement_timeout_ms=timeout_ms)
    return ConnectionSource(named, lambda: password)


def settings_and_password(database: str) -> tuple[DatabaseSettings, str]:
    """Return the settings in a connection string, and the password that libpq finds. Raises DataError for an unusable string."""
    return _parsed(database), _password_of_libpq()


def require_reachable(stage: str | None, database: str | None, settings: Settings) -> None:
    """Raise DataError for the ledger of a deployed stage, which can only be reached from inside its network."""
    named = settings.stage if stage is None else stage
    if database is None and named not in {None, STAGE}:
        raise DataError(f"the ledger of stage {named} answers only inside its own network: open a tunnel and give --database")


def _of_up(settings: Settings, user: str) -> DatabaseSettings:
    host = str(LocalPostgres(settings, settings.state / "up" / "postgres", durable=True).socket_folder)
    return DatabaseSettings(host, PORT, DATABASE_NAME, user, "disable")


def _parsed(database: str) -> DatabaseSettings:
    try:
        given: dict[str, Any] = conninfo_to_dict(database)
        found = DatabaseSettings(
            host=str(given["host"]),
            port=int(given.get("port") or PORT),
            name=str(given.get("dbname") or DATABASE_NAME),
            user=str(given.get("user") or READER_DATABASE_USER),
            sslmode=str(given.get("sslmode") or "prefer"),
            sslrootcert=given.get("sslrootcert"),
        )
    except (psycopg.ProgrammingError, KeyError, ValueError):  # their messages would show the given string
        raise DataError("--database: expected a connection string such as 'host=... dbname=signalbox user=...'") from None
    if "password" in given:
        raise DataError("--database must not contain a password; set PGPASSWORD or write it to ~/.pgpass")
    return found


def _password_of_libpq() -> str:
    """Return the password from PGPASSWORD; an empty one makes libpq look into ~/.pgpass."""
    found = (option.val for option in Conninfo.get_defaults() if option.keyword == b"password")
    return (next(found, None) or b"").decode()
