"""The connection to the ledger, composed in the same way for every function that uses it."""

from __future__ import annotations

import gc
from collections.abc import Callable

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.bootstrap.settings import DatabaseEnvironment


def database_settings(found: DatabaseEnvironment, *, application: str) -> DatabaseSettings:
    """Return where a function's ledger is, under the name that the server lists it by."""
    return DatabaseSettings(
        host=found.host,
        port=found.port,
        name=found.name,
        user=found.user,
        sslmode=found.sslmode,
        sslrootcert=found.ca_file,
        application_name=application,
    )


def connect_ledger(
    found: DatabaseEnvironment, *, application: str, password: Callable[[], str] | None = None
) -> ConnectionSource:
    """Return a function's connection, which opens on first use. Without `password` it logs in with an IAM token.

    The modules loaded by now stay as long as the process, so the garbage collector need not look at them again.
    """
    database = database_settings(found, application=application)
    source = ConnectionSource(
        database, password or token_password(boto3.client("rds", config=QUICK), host=found.host, port=found.port, user=found.user)
    )
    gc.freeze()  # without a collection before it, which takes 80 ms of a cold start
    return source
