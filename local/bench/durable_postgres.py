"""A PostgreSQL server of the benchmark's own: migrated, verified to be durable, and removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from local.cloud.postgres import LocalPostgres
from local.errors import ServiceError
from local.settings import load_settings
from signalbox.adapters.postgres.connection import DatabaseSettings, connect
from signalbox.adapters.postgres.migrate import migrate
from signalbox.contracts import Function, database_user

_USER: Final = "signalbox_bench"  # acts as two functions: one writes the bars, the other the orders
_FUNCTIONS: Final = (Function.GENERATE_SIGNALS, Function.MANAGE_ORDERS)
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@contextmanager
def durable_postgres() -> Iterator[DatabaseSettings]:
    """Yield the settings of a connection with the functions' roles. Raises ServiceError if commits would not be durable."""
    folder = Path(tempfile.mkdtemp(prefix="signalbox-bench-"))
    folder.chmod(0o755)  # if we are root, PostgreSQL's own system user must be able to enter it
    server = LocalPostgres(load_settings(), folder / "postgres", durable=True)
    try:
        server.start()
        migrate(server.settings, "")
        with connect(server.settings, "") as connection:
            roles = ", ".join(database_user(function) for function in _FUNCTIONS)
            connection.execute(f"CREATE ROLE {_USER} LOGIN IN ROLE {roles}".encode())
            for name, expected in _DURABLE.items():
                row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                if row is None or row[0] != expected:
                    raise ServiceError(f"PostgreSQL: expected {name} = {expected} for a fair measurement, got {row and row[0]}")
        yield replace(server.settings, user=_USER, application_name="signalbox-bench")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def load_average() -> str:
    """Return the machine's load average of the last minute and its number of cores."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} shared cores"
