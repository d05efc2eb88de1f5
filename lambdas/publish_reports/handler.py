"""publish_reports (ledger): at night, writes yesterday's reports of every account; in the morning, sends their summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.bootstrap.publish_reports import compose
from signalbox.contracts import SUMMARY_JOB, Metric
from signalbox.events import ScheduledJob
from signalbox.reports.publishing import PublishError, PublishFailure, PublishRun
from signalbox.reports.summaries import SummaryRun

logger = Logger()
metrics = Metrics()


class Nightly(Protocol):
    """The application."""

    def publish(self, at: datetime) -> PublishRun:
        """Publish the reports due at a scheduled instant."""

    def summarise(self, at: datetime) -> SummaryRun:
        """Put the summaries due at a scheduled instant into the outbox."""

    def send(self) -> int:
        """Publish the committed events."""


def _failed(failures: tuple[PublishFailure, ...]) -> None:
    """Log what could not be written, and fail the run for it."""
    for failure in failures:
        logger.error("report_not_published", account=failure.account, report=failure.what, reason=failure.reason)
    if failures:
        first = failures[0]
        raise PublishError(f"{len(failures)} reports were not published, first {first.account} {first.what}: {first.reason}")


def _report(run: PublishRun) -> None:
    for order in run.unmeasured:
        logger.warning("order_not_measured", order=order.client_order_id, symbol=order.symbol, reason=order.reason)
    logger.info("reports_published", files=len(run.published), changed=run.changed, orders_measured=run.measured)
    metrics.add_metric(Metric.REPORTS_PUBLISHED, MetricUnit.Count, len(run.published))
    metrics.add_metric(Metric.ORDERS_UNMEASURED, MetricUnit.Count, len(run.unmeasured))


def make_handler(app: Nightly) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a composition."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        if command.job == SUMMARY_JOB:
            summaries = app.summarise(command.scheduled_at)
            publish_or_leave(app.send, logger=logger)
            logger.info("accounts_summarised", new=summaries.new)
            _failed(summaries.failures)
            return {"new": summaries.new}
        run = app.publish(command.scheduled_at)
        _report(run)
        _failed(run.failures)
        return {
            "files": len(run.published),
            "changed": run.changed,
            "measured": run.measured,
            "unmeasured": len(run.unmeasured),
        }

    return handler


handler = make_handler(compose())
