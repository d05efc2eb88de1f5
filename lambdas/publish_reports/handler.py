"""publish_reports (ledger): every night, writes yesterday's reports of every account to the reports bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.publish_reports import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob
from signalbox.reports.publishing import PublishError, PublishRun

logger = Logger()
metrics = Metrics()


def _report(run: PublishRun) -> None:
    for failure in run.failures:
        logger.error("report_not_published", account=failure.account, report=failure.what, reason=failure.reason)
    for order in run.unmeasured:
        logger.warning("order_not_measured", order=order.client_order_id, symbol=order.symbol, reason=order.reason)
    logger.info("reports_published", files=len(run.published), changed=run.changed, orders_measured=run.measured)
    metrics.add_metric(Metric.REPORTS_PUBLISHED, MetricUnit.Count, len(run.published))
    metrics.add_metric(Metric.ORDERS_UNMEASURED, MetricUnit.Count, len(run.unmeasured))


def make_handler(
    publish: Callable[[datetime], PublishRun],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a publication."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        run = publish(command.scheduled_at)
        _report(run)
        if run.failures:
            first = run.failures[0]
            raise PublishError(
                f"{len(run.failures)} reports were not published, first {first.account} {first.what}: {first.reason}"
            )
        return {
            "files": len(run.published),
            "changed": run.changed,
            "measured": run.measured,
            "unmeasured": len(run.unmeasured),
        }

    return handler


handler = make_handler(compose())
