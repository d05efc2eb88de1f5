"""monitor_risk (ledger): every minute, applies new prices to each account, checks its rules, and reports missing data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave, report_missed
from signalbox.adapters.aws.correlation import log_changes
from signalbox.adapters.aws.trading_metrics import counted
from signalbox.application.manage_orders import ManageOrders
from signalbox.bootstrap.monitor_risk import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob

logger = Logger()
metrics = Metrics()


def make_handler(app: ManageOrders) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a composition."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        handled = app.on_minute(command.scheduled_at)
        log_changes(logger, handled, logger.warning)
        counts = counted(handled)
        for metric, count in counts.items():
            if count:  # an hour in which a metric is sent is paid for, and no alarm tells none from nothing
                metrics.add_metric(metric, MetricUnit.Count, count)
        publish_or_leave(app.publish, logger=logger)
        report_missed(app, logger, metrics)
        return {"accounts": len(handled), "halts": counts[Metric.TRADING_HALTS]}

    return handler


handler = make_handler(compose())
