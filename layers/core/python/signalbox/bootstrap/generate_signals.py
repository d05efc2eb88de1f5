"""Composes generate_signals: the ledger, its outbox, the bus, the deployments and their bundles."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.bundles import S3Bundles
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.application.generate_signals import GenerateSignals
from signalbox.application.serving import ServingModels
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import GenerateSignalsSettings
from signalbox.contracts import Function, emitted_by


def compose(settings: GenerateSignalsSettings | None = None) -> GenerateSignals:
    """Return the application, composed from the environment."""
    found = settings or GenerateSignalsSettings.read()
    connection = connect_ledger(found, application="generate_signals")
    bundles = S3Bundles(boto3.client("s3", config=QUICK), bucket=found.models_bucket)
    models = ServingModels(PostgresDeployments(connection), bundles)
    return GenerateSignals(
        ledger=PostgresLedger(connection),
        outbox=PostgresOutbox(connection, emitted_by(Function.GENERATE_SIGNALS)),
        bus=outgoing_events(found),
        models=models,
        limits=found.limits,
        challengers=models.challengers,
    )
