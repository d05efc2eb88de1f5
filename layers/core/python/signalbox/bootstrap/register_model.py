"""Composes register_model: the library in the ledger, its outbox, the bus, the models bucket."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.artifacts import S3Artifacts
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.application.register_model import RegisterModel
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import RegisterModelSettings
from signalbox.contracts import TRAINING_PREFIX, Function, emitted_by


def compose(settings: RegisterModelSettings | None = None) -> RegisterModel:
    """Return the application, composed from the environment."""
    found = settings or RegisterModelSettings.read()
    connection = connect_ledger(found, application="register_model")
    return RegisterModel(
        library=PostgresLibrary(connection),
        artifacts=S3Artifacts(boto3.client("s3", config=QUICK), bucket=found.models_bucket, prefix=TRAINING_PREFIX),
        outbox=PostgresOutbox(connection, emitted_by(Function.REGISTER_MODEL)),
        bus=outgoing_events(found),
    )
