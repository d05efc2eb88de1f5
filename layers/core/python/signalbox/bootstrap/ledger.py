"""The ledger's collaborators, shared by the ledger functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.errors import LedgerBusyError, LedgerUnavailableError
from signalbox.bootstrap.settings import DatabaseEnvironment

T = TypeVar("T")
RETRY_PAUSES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)  # a failover or restart of the database, within the function's timeout


def retried(
    unit: Callable[[], T],
    pause: Callable[[float], None],
    passing: tuple[type[Exception], ...] = (LedgerUnavailableError, LedgerBusyError),
) -> T:
    """Run a unit of work, again after a pause when the ledger is away or busy. It must be idempotent: a commit may come twice.

    passing: what is tried again here; where many accounts wait for their turn, one that is busy is not.
    """
    for wait in RETRY_PAUSES_SECONDS:
        try:
            return unit()
        except passing:
            pause(wait)
    return unit()


def connect_ledger(
    found: DatabaseEnvironment, *, application: str, password: Callable[[], str] | None = None
) -> ConnectionSource:
    """Return the (lazy) connection of a function; without `password` it logs in with an IAM token."""
    database = DatabaseSettings(
        host=found.host, port=found.port, name=found.name, user=found.user, sslmode=found.sslmode, application_name=application
    )
    return ConnectionSource(
        database, password or token_password(boto3.client("rds", config=QUICK), host=found.host, port=found.port, user=found.user)
    )
