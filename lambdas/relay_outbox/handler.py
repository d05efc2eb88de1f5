"""relay_outbox (ledger): every minute, publishes events that a crash left unpublished after their commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.relay_outbox import RelayRun, compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob

logger = Logger()
metrics = Metrics()


def make_handler(
    relay: Callable[[], RelayRun],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a relay."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        run = relay()
        age = max((command.scheduled_at - run.oldest).total_seconds(), 0.0) if run.oldest is not None else 0.0
        metrics.add_metric(Metric.OUTBOX_OLDEST_AGE, MetricUnit.Seconds, age)
        metrics.add_metric(Metric.OUTBOX_PUBLISHED, MetricUnit.Count, run.published)
        if run.published:
            logger.warning("outbox_relayed", published=run.published, oldest_age_seconds=age)
        if run.too_large:
            logger.error("outbox_events_too_large", event_ids=run.too_large)  # the age alarm stays on until they are removed
        if run.refused is not None:
            raise run.refused
        return {"published": run.published}

    return handler


handler = make_handler(compose())
