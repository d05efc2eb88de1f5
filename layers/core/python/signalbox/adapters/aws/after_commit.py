"""After a commit: what the ledger holds for the bus is published at once, and when that fails, by the relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from signalbox.contracts import Metric

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics


def publish_or_leave(publish: Callable[[], int], *, logger: Logger, metrics: Metrics) -> None:
    """Publish the outbox and count it. A failure is logged and never raised: what is committed must not be done again for it."""
    try:
        metrics.add_metric(Metric.OUTBOX_PUBLISHED, MetricUnit.Count, publish())
    except Exception:
        # what is committed stays in the outbox, and the relay publishes it within a minute
        logger.exception("outbox_not_published")
