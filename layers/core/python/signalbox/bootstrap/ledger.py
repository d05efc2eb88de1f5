"""The ledger's collaborators, shared by the ledger functions."""

from __future__ import annotations

from collections.abc import Callable

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.bootstrap.settings import DatabaseEnvironment


def connect_ledger(
    found: DatabaseEnvironment, *, application: str, password: Callable[[], str] | None = None
) -> ConnectionSource:
    """Return the (lazy) connection of a function; without `password` it logs in with an IAM token."""
    database = DatabaseSettings(
        host=found.host,
        port=found.port,
        name=found.name,
        user=found.user,
        sslmode=found.sslmode,
        sslrootcert=found.ca_file,
        application_name=application,
    )
    return ConnectionSource(
        database, password or token_password(boto3.client("rds", config=QUICK), host=found.host, port=found.port, user=found.user)
    )
