"""Composes the address and login of the ledger.

Apart from ledger.py, because whoever is handed a login needs no boto3 for it, which is a third of a cold start.
"""

from __future__ import annotations

from signalbox.adapters.postgres.connection import DatabaseSettings
from signalbox.bootstrap.settings import DatabaseEnvironment


def database_settings(found: DatabaseEnvironment, *, application: str, user: str | None = None) -> DatabaseSettings:
    """Return the address and login of the ledger. application: the connection's name at the server.

    user: replaces the environment's.
    """
    return DatabaseSettings(found.host, found.port, found.name, user or found.user, found.sslmode, found.ca_file, application)
