"""send_alerts (edge): events people should know become Telegram messages, in order, each once a chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.batches import each_in_its_group, event_in, failure_told, wait_seconds
from signalbox.bootstrap.send_alerts import SendAlerts, compose
from signalbox.chat.messenger import MessengerBusyError, MessengerError
from signalbox.contracts import Metric

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 900


def make_handler(app: SendAlerts) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda entry over any composition."""

    def record_handler(record: SQSRecord) -> None:
        with failure_told(logger, record, told=(MessengerError,)):
            handle(record)

    def handle(record: SQSRecord) -> None:
        event = event_in(record)
        try:
            report = app.deliver(event)
        except MessengerError as error:
            asked = error.retry_after if isinstance(error, MessengerBusyError) else None
            wait = wait_seconds(asked, record, first=5, longest=MAX_WAIT_SECONDS)
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
        return each_in_its_group(event, record_handler, context)

    return handler


handler = make_handler(compose())
