"""send_alerts (edge): events people should know become Telegram messages, in order, each once a chat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.bootstrap.send_alerts import SendAlerts, compose
from signalbox.chat.messenger import MessengerBusyError, MessengerError
from signalbox.contracts import Metric
from signalbox.events import parse_event

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 900


def _wait_seconds(error: MessengerError, receive_count: int) -> int:
    """Return what the messenger asked for, else a pause that doubles with each try."""
    wanted = error.retry_after if isinstance(error, MessengerBusyError) else 5 * 2 ** min(receive_count - 1, 7)
    return min(max(wanted, 1), MAX_WAIT_SECONDS)


def make_handler(app: SendAlerts) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda entry over any composition."""

    def record_handler(record: SQSRecord) -> None:
        try:
            handle(record)
        except MessengerError:
            raise  # told already, and expected
        except Exception:
            # Powertools hands the message back to the queue without a word; the log must say why
            logger.exception("record_failed", message_id=record.message_id)
            raise

    def handle(record: SQSRecord) -> None:
        envelope = json.loads(record.body)
        event = parse_event(envelope["detail-type"], envelope["detail"])
        try:
            report = app.deliver(event)
        except MessengerError as error:
            wait = _wait_seconds(error, int(record.attributes.approximate_receive_count))
            logger.warning("alert_postponed", alert_id=event.event_id, wait_seconds=wait, reason=str(error))
            metrics.add_metric(Metric.ALERTS_POSTPONED, MetricUnit.Count, 1)
            app.retry_in(record.receipt_handle, record.event_source_arn, wait)
            raise
        for lost in report.undeliverable:
            logger.error("alert_undeliverable", alert_id=lost.alert_id, chat_id=lost.chat_id, reason=lost.reason, text=lost.text)
        logger.info("alert_handled", alert_id=event.event_id, sent=report.sent, duplicates=report.duplicates)
        metrics.add_metric(Metric.ALERTS_SENT, MetricUnit.Count, report.sent)
        metrics.add_metric(Metric.DUPLICATES_IGNORED, MetricUnit.Count, report.duplicates)
        metrics.add_metric(Metric.ALERTS_UNDELIVERABLE, MetricUnit.Count, len(report.undeliverable))

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        app.log.register(context)
        processor = SqsFifoPartialProcessor(skip_group_on_error=True)
        processor.raise_on_entire_batch_failure = False
        return process_partial_response(event, record_handler, processor, context)

    return handler


handler = make_handler(compose())
