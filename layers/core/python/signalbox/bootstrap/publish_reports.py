"""Composes publish_reports: the ledger's accounts and the reports bucket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.report_store import S3ReportStore
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.bootstrap.ledger import connect_ledger
from signalbox.bootstrap.settings import PublishReportsSettings
from signalbox.reports.publishing import PublishRun, publish


def compose(settings: PublishReportsSettings | None = None) -> Callable[[datetime], PublishRun]:
    """Return the function that publishes the reports due at a scheduled instant."""
    found = settings or PublishReportsSettings.read()
    reports = PostgresReports(connect_ledger(found, application="publish_reports"))
    store = S3ReportStore(boto3.client("s3", config=QUICK), found.reports_bucket)
    return partial(publish, source=reports, quality=reports, store=store, log=reports)
