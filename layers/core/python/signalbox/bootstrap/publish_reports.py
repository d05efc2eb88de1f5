"""Composes publish_reports: the ledger's accounts, the reports bucket, and the outbox for the summaries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.report_store import S3ReportStore
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import PublishReportsSettings
from signalbox.contracts import Function, emitted_by
from signalbox.reports.publishing import PublishRun, ReportStore, publish
from signalbox.reports.summaries import SummaryRun, summarise
from signalbox.signals.ports import EventPublisher
from signalbox.signals.publishing import publish_pending


@dataclass(frozen=True)
class NightlyReports:
    """What publish_reports does: reports at night, summaries when the stage's people are awake."""

    reports: PostgresReports
    store: ReportStore
    outbox: PostgresOutbox
    bus: EventPublisher

    def publish(self, at: datetime) -> PublishRun:
        """Publish the reports due at a scheduled instant."""
        return publish(at, source=self.reports, quality=self.reports, store=self.store, log=self.reports)

    def summarise(self, at: datetime) -> SummaryRun:
        """Put the summaries due at a scheduled instant into the outbox."""
        return summarise(at, source=self.reports, put=self.outbox.put)

    def send(self) -> int:
        """Publish the committed events; return how many. What this misses is published by relay_outbox."""
        return publish_pending(outbox=self.outbox, publisher=self.bus)


def compose(settings: PublishReportsSettings | None = None) -> NightlyReports:
    """Return the application, composed from the environment."""
    found = settings or PublishReportsSettings.read()
    connection = connect_ledger(found, application="publish_reports")
    return NightlyReports(
        reports=PostgresReports(connection),
        store=S3ReportStore(boto3.client("s3", config=QUICK), found.reports_bucket),
        outbox=PostgresOutbox(connection, emitted_by(Function.PUBLISH_REPORTS)),
        bus=outgoing_events(found),
    )
