"""Composes the connection to the ledger and the path of its events to the bus, alike for every function that has both."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import boto3
from botocore.session import get_session

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.aws.outgoing_events import OutgoingEvents
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.bootstrap.database import database_settings
from signalbox.bootstrap.settings import DatabaseEnvironment, LedgerSettings, trace_header


def connect_ledger(
    found: DatabaseEnvironment, *, application: str, password: Callable[[], str] | None = None
) -> ConnectionSource:
    """Return a function's connection, which opens on first use. Without `password` it logs in with an IAM token.

    The modules loaded by now stay as long as the process, so the garbage collector need not look at them again.
    """
    database = database_settings(found, application=application)
    source = ConnectionSource(
        database, password or token_password(get_session(), host=found.host, port=found.port, user=found.user)
    )
    gc.freeze()  # without a collection before it, which takes 80 ms of a cold start
    return source


def outgoing_events(found: LedgerSettings) -> OutgoingEvents:
    """Return the table through which the events of a ledger function travel to the bus."""
    return OutgoingEvents(boto3.client("dynamodb", config=QUICK), found.outgoing_events_table, time.time, trace_header)
