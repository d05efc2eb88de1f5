"""Composes generate_signals: the ledger, its outbox, the bus, the deployed model."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.deployed_model import ModelProvider
from signalbox.adapters.aws.deployments import S3Deployments
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.application.generate_signals import GenerateSignals
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import GenerateSignalsSettings
from signalbox.contracts import Function, emitted_by


def compose(settings: GenerateSignalsSettings | None = None) -> GenerateSignals:
    """Return the application, composed from the environment."""
    found = settings or GenerateSignalsSettings.read()
    connection = connect_ledger(found, application="generate_signals")
    deployments = S3Deployments(
        boto3.client("s3", config=QUICK),
        models_bucket=found.models_bucket,
        starter_bucket=found.starter_bucket,
        starter_key=found.starter_key,
    )
    return GenerateSignals(
        ledger=PostgresLedger(connection),
        outbox=PostgresOutbox(connection, emitted_by(Function.GENERATE_SIGNALS)),
        bus=outgoing_events(found),
        models=ModelProvider(deployments),
        limits=found.limits,
    )
