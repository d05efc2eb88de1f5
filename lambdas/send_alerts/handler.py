"""send_alerts (edge): turns an alertable event into one message per chat. Each chat has its own order and its own waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent, SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ValidationError

from signalbox.adapters.aws.batches import event_in, failure_logged, process_fifo, put_off, refused_for_good, wait_seconds
from signalbox.adapters.aws.correlation import followed
from signalbox.adapters.aws.deliveries import DELIVERY, delivery_in
from signalbox.alerts.delivery import EMAIL, Delivery, Move
from signalbox.application.chat_deliveries import DeliveryResult, DeliveryState
from signalbox.application.send_alerts import SendAlerts
from signalbox.bootstrap.send_alerts import compose
from signalbox.chat.messenger import MessengerError
from signalbox.contracts import Metric
from signalbox.events import AlertUndeliverable, BusEvent
from signalbox.wire import WireError, parse_object

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 6 * 3600  # a pause that is known, within the twelve hours that a queue can hide a message
MAX_PAUSE_SECONDS = 900  # if nobody names a pause


def _report_lost(lost: AlertUndeliverable) -> None:
    logger.error("alert_undeliverable", alert_id=lost.alert_id, chat_id=lost.chat_id, reason=lost.reason, text=lost.text)
    metrics.add_metric(Metric.ALERTS_UNDELIVERABLE, MetricUnit.Count, 1)


def _fan_out(app: SendAlerts, event: BusEvent) -> None:
    found = app.fan_out(event)
    logger.info("alert_queued", alert_id=event.event_id, chats=found.queued, mails=found.mailed)
    if found.undeliverable is not None:
        _report_lost(found.undeliverable)
    for problem in found.problems:
        logger.error("chat_settings_refused", problem=problem)
    if found.problems:
        metrics.add_metric(Metric.CHAT_SETTINGS_REFUSED, MetricUnit.Count, len(found.problems))


def _report_move(app: SendAlerts, move: Move) -> None:
    """Report a chat's new id: to the operator by log and alarm, to the chat by a message, which may be lost."""
    logger.warning("chat_moved", chat_id=move.chat_id, new_id=move.new_id)
    metrics.add_metric(Metric.CHATS_MOVED, MetricUnit.Count, 1)
    try:
        app.report_move(move)
    except MessengerError as error:
        logger.warning("chat_move_not_announced", chat_id=move.new_id, reason=str(error))


def _report(delivery: Delivery, result: DeliveryResult) -> None:
    """Log and count how one delivery ended."""
    with followed(logger) as follow:
        follow.ids(delivery.correlation_id, event_id=delivery.alert_id)
        if result.chart_missing:
            logger.error("chart_missing", alert_id=delivery.alert_id)
            metrics.add_metric(Metric.CHARTS_MISSING, MetricUnit.Count, 1)
        if result.lost is not None:
            _report_lost(result.lost)
        elif not result.comes_again:
            duplicate = result.state is DeliveryState.DUPLICATE
            logger.info("alert_handled", alert_id=delivery.alert_id, chat_id=delivery.chat_id, duplicate=duplicate)
            sent = Metric.ALERTS_MAILED if delivery.chat_id == EMAIL else Metric.ALERTS_SENT
            metrics.add_metric(sent, MetricUnit.Count, int(not duplicate))
            metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, int(duplicate))


def _come_again(app: SendAlerts, record: SQSRecord, delivery: Delivery, result: DeliveryResult) -> None:
    """Hide a message as long as it has to wait: the pause that is known, or one that grows from try to try."""
    known = result.seconds is not None
    wait = wait_seconds(result.seconds, record, first=5, longest=MAX_WAIT_SECONDS if known else MAX_PAUSE_SECONDS)
    held = result.state is DeliveryState.HELD
    facts: dict[str, Any] = {
        "alert_id": delivery.alert_id,
        "chat_id": delivery.chat_id,
        "wait_seconds": wait,
        "reason": result.reason,
    }
    if held:
        logger.info("alert_held", **facts)
    else:
        _postponed(**facts)
    app.retry_in(record.receipt_handle, record.event_source_arn, wait)


def _deliver(app: SendAlerts, records: Sequence[tuple[SQSRecord, Delivery]]) -> list[str]:
    """Carry out deliveries and return the ids of the messages that come again."""
    results = app.deliver([delivery for _, delivery in records], lambda move: _report_move(app, move))
    again = []
    for (record, delivery), result in zip(records, results, strict=True):
        _report(delivery, result)
        if result.comes_again:
            again.append(record.message_id)
            with failure_logged(logger, record):
                _come_again(app, record, delivery, result)
    return again


def _deliveries_in(event: dict[str, Any]) -> list[tuple[SQSRecord, Delivery]]:
    """Return the deliveries of a batch of the deliveries queue; what is no delivery is refused for good."""
    found = []
    for record in SQSEvent(event).records:
        with refused_for_good(logger, metrics, record, ValidationError):
            found.append((record, delivery_in(parse_object(record.body))))
    return found


def _is_of_deliveries(event: dict[str, Any]) -> bool:
    """Whether a batch comes from the deliveries queue: a batch is of one queue, and only there a message has this key."""
    for record in event.get("Records", ()):
        try:
            if DELIVERY in parse_object(record.get("body")):
                return True
        except WireError:
            continue
    return False


def make_handler(app: SendAlerts) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        with (
            followed(logger) as follow,
            failure_logged(logger, record),
            put_off(record, app.retry_in, lambda _: wait_seconds(None, record, first=5, longest=MAX_PAUSE_SECONDS), _postponed),
            refused_for_good(logger, metrics, record, ValidationError),
        ):
            event = event_in(record)
            follow.event(event)
            _fan_out(app, event)

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        if _is_of_deliveries(event):
            again = _deliver(app, _deliveries_in(event))
            return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}
        return process_fifo(event, record_handler, context)

    return handler


def _postponed(**facts: Any) -> None:
    logger.warning("alert_postponed", **facts)
    metrics.add_metric(Metric.ALERTS_POSTPONED, MetricUnit.Count, 1)


handler = make_handler(compose())
