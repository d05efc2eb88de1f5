"""send_alerts (edge): turns an alertable event into one message per chat. Each chat has its own order and its own waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from signalbox.adapters.aws.batches import event_in, failure_logged, process_fifo, put_off, refused_for_good, wait_seconds
from signalbox.adapters.aws.correlation import followed
from signalbox.adapters.aws.deliveries import DELIVERY, delivery_in
from signalbox.application.send_alerts import SendAlerts
from signalbox.bootstrap.send_alerts import compose
from signalbox.chat.messenger import Delivery, MessengerBusyError, MessengerError, Move
from signalbox.contracts import Metric
from signalbox.events import AlertUndeliverable, BusEvent
from signalbox.wire import parse_object

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 6 * 3600  # the messenger's own pause, within the twelve hours that a queue can hide a message
MAX_PAUSE_SECONDS = 900  # if the messenger names no pause


def _report_lost(lost: AlertUndeliverable) -> None:
    logger.error("alert_undeliverable", alert_id=lost.alert_id, chat_id=lost.chat_id, reason=lost.reason, text=lost.text)
    metrics.add_metric(Metric.ALERTS_UNDELIVERABLE, MetricUnit.Count, 1)


def _fan_out(app: SendAlerts, event: BusEvent) -> None:
    found = app.fan_out(event)
    logger.info("alert_queued", alert_id=event.event_id, chats=found.queued)
    if found.undeliverable is not None:
        _report_lost(found.undeliverable)


def _report_move(app: SendAlerts, move: Move) -> None:
    """Report a chat's new id: to the operator by log and alarm, to the chat by a message, which may be lost."""
    logger.warning("chat_moved", chat_id=move.chat_id, new_id=move.new_id)
    metrics.add_metric(Metric.CHATS_MOVED, MetricUnit.Count, 1)
    try:
        app.report_move(move)
    except MessengerError as error:
        logger.warning("chat_move_not_announced", chat_id=move.new_id, reason=str(error))


def _deliver(app: SendAlerts, delivery: Delivery) -> None:
    report = app.deliver(delivery, lambda move: _report_move(app, move))
    if report.undeliverable is not None:
        _report_lost(report.undeliverable)
        return
    logger.info("alert_handled", alert_id=delivery.alert_id, chat_id=delivery.chat_id, duplicate=report.is_duplicate)
    metrics.add_metric(Metric.ALERTS_SENT, MetricUnit.Count, int(not report.is_duplicate))
    metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(report.is_duplicate))


def _postponed(**facts: Any) -> None:
    logger.warning("alert_postponed", **facts)
    metrics.add_metric(Metric.ALERTS_POSTPONED, MetricUnit.Count, 1)


def make_handler(app: SendAlerts) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        def pause(error: Exception) -> int:
            if isinstance(error, MessengerBusyError):
                return wait_seconds(error.retry_after, record, first=1, longest=MAX_WAIT_SECONDS)
            return wait_seconds(None, record, first=5, longest=MAX_PAUSE_SECONDS)

        with (
            followed(logger) as follow,
            failure_logged(logger, record, already_logged=(MessengerError,)),
            put_off(record, app.retry_in, pause, _postponed),
            refused_for_good(logger, metrics, record, ValidationError),
        ):
            body = parse_object(record.body)
            if DELIVERY in body:
                delivery = delivery_in(body)
                follow.ids(delivery.correlation_id, event_id=delivery.alert_id)
                _deliver(app, delivery)
            else:
                event = event_in(record)
                follow.event(event)
                _fan_out(app, event)

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        app.log.register(context)
        return process_fifo(event, record_handler, context)

    return handler


handler = make_handler(compose())
