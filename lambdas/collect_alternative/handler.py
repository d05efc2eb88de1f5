"""collect_alternative (edge): every quarter of an hour, adds newly published data beside candles to the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.alternative.collection import SeriesOutcome
from signalbox.bootstrap.collect_alternative import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob

logger = Logger()
metrics = Metrics()


def make_handler(
    collect: Callable[[datetime], Sequence[SeriesOutcome]],
) -> Callable[[Mapping[str, object], LambdaContext], dict[str, int]]:
    """Return the Lambda handler for a collection of alternative data."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, int]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        found = collect(command.scheduled_at)
        for one in found:
            facts: dict[str, Any] = {"source": one.source, "kind": one.kind.value, "subject": one.subject}
            if one.problem is not None:
                logger.warning("series_not_collected", **facts, problem=one.problem, detail=one.detail)
            elif one.added or one.refused:
                logger.info("series_collected", **facts, added=one.added, revised=one.revised, late=one.late)
            for reason in one.refused[:20]:
                logger.warning("observation_refused", **facts, reason=reason)
        counts = {
            Metric.OBSERVATIONS_ADDED: sum(one.added for one in found),
            Metric.OBSERVATIONS_REFUSED: sum(len(one.refused) for one in found),
            Metric.ALTERNATIVE_FAILURES: sum(one.problem is not None for one in found),
        }
        metrics.add_metric(Metric.OBSERVATIONS_ADDED, MetricUnit.Count, counts[Metric.OBSERVATIONS_ADDED])
        for metric in (Metric.OBSERVATIONS_REFUSED, Metric.ALTERNATIVE_FAILURES):
            if counts[metric]:
                metrics.add_metric(metric, MetricUnit.Count, counts[metric])
        return {"series": len(found), "added": counts[Metric.OBSERVATIONS_ADDED], "failed": counts[Metric.ALTERNATIVE_FAILURES]}

    return handler


handler = make_handler(compose())
