"""Composes score_signals: the deployment that serves, its bundle, and the ledger's candles. It writes nothing."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.bundles import S3Bundles
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.scoring_bars import LedgerBars
from signalbox.application.current_scores import CurrentScores
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import ScoreSignalsSettings
from signalbox.contracts import Function


def compose(settings: ScoreSignalsSettings | None = None) -> CurrentScores:
    """Return the application, composed from the environment."""
    found = settings or ScoreSignalsSettings.read()
    connection = connect_ledger(found, application=Function.SCORE_SIGNALS.value)
    bundles = S3Bundles(boto3.client("s3", config=QUICK), bucket=found.models_bucket)
    return CurrentScores(PostgresDeployments(connection), bundles, LedgerBars(connection, found.venue))
