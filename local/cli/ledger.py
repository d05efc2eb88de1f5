"""The ledger that a command reads: a libpq connection string of the caller's, else the ledger of `signalbox up`."""

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


def connection_source(database: str | None, settings: Settings, *, name: str, timeout_ms: int | None = None) -> ConnectionSource:
    """Return the (lazy) connection. name: of the command, as the server lists it; timeout_ms: of a statement.

    A password on the command line is refused, for others on the machine can read it there: it is libpq's own, from PGPASSWORD
    or ~/.pgpass. Raises DataError, which repeats nothing of what was given.
    """
    found, password = (_of_up(settings), "") if database is None else (_parsed(database), _password_of_libpq())
    named = replace(found, application_name=name)
    if timeout_ms is not None:
        named = replace(named, statement_timeout_ms=timeout_ms)
    return ConnectionSource(named, lambda: password)


def settings_and_password(database: str) -> tuple[DatabaseSettings, str]:
    """Return how a connection string's database is reached, with libpq's own password. Raises DataError as above."""
    return _parsed(database), _password_of_libpq()


def require_reachable(stage: str | None, database: str | None, settings: Settings) -> None:
    """Raise DataError for the ledger of a deployed stage: it answers inside its own network alone."""
    named = settings.stage if stage is None else stage
    if database is None and named not in {None, STAGE}:
        raise DataError(
            f"the ledger of stage {named} answers inside its own network alone: open a tunnel to it and give --database"
        )


def _of_up(settings: Settings) -> DatabaseSettings:
    host = str(LocalPostgres(settings, settings.state / "up" / "postgres", durable=True).socket_folder)
    return DatabaseSettings(host, PORT, DATABASE_NAME, READER_DATABASE_USER, "disable")


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
    except (psycopg.ProgrammingError, KeyError, ValueError):  # whose text would show what was given
        raise DataError("--database: expected a connection string such as 'host=... dbname=signalbox user=...'") from None
    if "password" in given:
        raise DataError("--database: expected no password in it; set PGPASSWORD or write it to ~/.pgpass")
    return found


def _password_of_libpq() -> str:
    """Return what libpq takes from PGPASSWORD; nothing lets it look into ~/.pgpass."""
    found = (option.val for option in Conninfo.get_defaults() if option.keyword == b"password")
    return (next(found, None) or b"").decode()
