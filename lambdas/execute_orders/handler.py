"""execute_orders (edge): requests of the ledger go to venues, what happened comes back; an order is sent at most once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.venues.mt5_mailbox import EnvelopeError, is_envelope
from signalbox.bootstrap.execute_orders import ExecuteOrders, compose
from signalbox.contracts import Metric
from signalbox.events import BusEvent, parse_event
from signalbox.orders.events import OrderRejected, OrderSubmitted, OrderUnconfirmed
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_port import ExecutionError, VenueBusyError

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 120  # a request is worth little later


class UnexpectedEventError(ValueError):
    """An event that this function has no business with."""


def _wait_seconds(error: Exception, receive_count: int) -> int:
    """Return what the venue asked for, else a pause that doubles with each try."""
    wanted = error.retry_after if isinstance(error, VenueBusyError) else 2 ** min(receive_count - 1, 7)
    return min(max(wanted, 1), MAX_WAIT_SECONDS)


def _count(message: str, reports: tuple[BusEvent, ...], **more: str) -> None:
    events = [event for report in reports if isinstance(report, ExecutionReported) for event in report.events]
    logger.info(message, reports=[r.event_id for r in reports], kinds=[event.kind for event in events], **more)
    refusals = [event for event in events if isinstance(event, OrderRejected)]
    for refusal in refusals:
        logger.warning("order_rejected", client_order_id=refusal.client_order_id, reason=refusal.reason)
    for metric, kind in ((Metric.ORDERS_SENT, OrderSubmitted), (Metric.ORDERS_UNCONFIRMED, OrderUnconfirmed)):
        metrics.add_metric(metric, MetricUnit.Count, sum(isinstance(event, kind) for event in events))
    metrics.add_metric(Metric.VENUE_REFUSALS, MetricUnit.Count, len(refusals))


def make_handler(app: ExecuteOrders) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda entry over any composition."""

    def record_handler(record: SQSRecord) -> None:
        try:
            handle(record)
        except (ExecutionError, EnvelopeError) as error:
            wait = _wait_seconds(error, int(record.attributes.approximate_receive_count))
            refused = isinstance(error, EnvelopeError)
            name = "envelope_refused" if refused else "execution_postponed"
            logger.warning(name, message_id=record.message_id, wait_seconds=wait, reason=str(error))
            metrics.add_metric(Metric.ENVELOPES_REFUSED if refused else Metric.EXECUTIONS_POSTPONED, MetricUnit.Count, 1)
            app.retry_in(record.receipt_handle, record.event_source_arn, wait)
            raise
        except Exception:
            # Powertools hands the message back to the queue without a word; the log must say why
            logger.exception("record_failed", message_id=record.message_id)
            raise

    def handle(record: SQSRecord) -> None:
        if is_envelope(record.body):
            _count("report_passed_on", app.pass_on(record.body))
            return
        envelope = json.loads(record.body)
        request = parse_event(envelope["detail-type"], envelope["detail"])
        if not isinstance(request, (ExecutionRequested, VenueViewRequested)):
            raise UnexpectedEventError(f"expected a request to a venue, was {request.type}")
        _count("request_carried_out", app.carry_out(request), request=request.event_id)

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        processor = SqsFifoPartialProcessor(skip_group_on_error=True)
        processor.raise_on_entire_batch_failure = False
        return process_partial_response(event, record_handler, processor, context)

    return handler


handler = make_handler(compose())
