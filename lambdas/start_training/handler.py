"""start_training (edge): starts the pipeline, or a training job, for the instant of the weekly schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.application.start_training import StartTraining
from signalbox.bootstrap.start_training import compose
from signalbox.contracts import Metric
from signalbox.events import ScheduledJob

logger = Logger()
metrics = Metrics()


def make_handler(app: StartTraining) -> Callable[[Mapping[str, object], LambdaContext], dict[str, object]]:
    """Return the Lambda handler for a composition."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, object]:
        command = ScheduledJob.read(event, datetime.now(UTC))
        started = app.start(command.scheduled_at)
        logger.info("training_started", started=started.name, arn=started.arn, new=started.new)
        metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(not started.new))
        return {"name": started.name, "arn": started.arn, "new": started.new}

    return handler


handler = make_handler(compose())
