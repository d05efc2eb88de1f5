"""relay_outbox (ledger): every minute, publishes events that a crash left unpublished after their commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.relay_outbox import OutboxRelay, compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob
from signalbox.signals.ports import PartlyPublishedError

logger = Logger()
metrics = Metrics()


def make_handler(
    relay: OutboxRelay,
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a relay."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        waiting = relay.read_waiting()
        age = max((command.scheduled_at - waiting.oldest).total_seconds(), 0.0) if waiting.oldest is not None else 0.0
        metrics.add_metric(Metric.OUTBOX_OLDEST_AGE, MetricUnit.Seconds, age)
        metrics.flush_metrics()  # before the bus: what cannot be reached may also take the rest of the function's time
        if waiting.too_large:
            logger.error("outbox_events_too_large", event_ids=waiting.too_large)  # the age alarms until they are gone
        published = 0
        try:
            published = relay.publish()
        except PartlyPublishedError as error:
            published = len(error.published)
            raise
        finally:
            metrics.add_metric(Metric.OUTBOX_PUBLISHED, MetricUnit.Count, published)
            if published:
                logger.warning("outbox_relayed", published=published, oldest_age_seconds=age)
        return {"published": published}

    return handler


handler = make_handler(compose())
