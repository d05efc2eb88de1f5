"""route_events (edge): sends an event about one account to that account's message group, which a bus rule cannot do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.batches import event_in, failure_logged, fifo_handler, refused_for_good
from signalbox.adapters.aws.correlation import followed
from signalbox.adapters.aws.event_router import RouteEvents
from signalbox.bootstrap.route_events import compose
from signalbox.contracts import Metric
from signalbox.trading.routing import NotRoutedError, route_of

logger = Logger()
metrics = Metrics()


def make_handler(app: RouteEvents) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        with (
            followed(logger) as follow,
            failure_logged(logger, record),
            refused_for_good(logger, metrics, record, NotRoutedError),
        ):
            event = event_in(record)
            follow.event(event)
            route = route_of(event)
            app.send(record.body, route)
            logger.info("event_routed", event_id=event.event_id, queue=route.queue, group=route.group)
            metrics.add_metric(Metric.EVENTS_ROUTED, MetricUnit.Count, 1)

    return fifo_handler(record_handler, logger, metrics)


handler = make_handler(compose())
