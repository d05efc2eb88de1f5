"""Handles queue records in batches: each failed record is logged and returned to its queue alone, if needed after a pause.

A batch never fails as a whole. Records that succeeded are done, and the response names those to deliver again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)

from signalbox.contracts import Metric
from signalbox.events import BusEvent, UnreadableEventError, read_event
from signalbox.wire import WireError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient


class RecordHandler(Protocol):
    """Handles one record. Powertools passes the record by name, so the parameter must be called `record`."""

    def __call__(self, record: SQSRecord) -> None:
        """Handle the record; an exception returns it to the queue."""


def process_standard(event: dict[str, Any], handle: RecordHandler, context: LambdaContext) -> Any:
    """Handle the records of a standard queue; return the failed ones, to be delivered again."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, handle, processor, context)


def process_fifo(event: dict[str, Any], handle: RecordHandler, context: LambdaContext) -> Any:
    """Handle the records of a FIFO queue. A failed record holds back later ones of its own message group only."""
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False
    return process_partial_response(event, handle, processor, context)


def fifo_handler(handle: RecordHandler, logger: Logger, metrics: Metrics) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler that only feeds records of a FIFO queue to `handle`."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        return process_fifo(event, handle, context)

    return handler


def event_in(record: SQSRecord) -> BusEvent:
    """Return the event that a rule of the bus put into the queue. After UnreadableEventError and WireError do not retry."""
    return read_event(record.body)


@contextmanager
def failure_logged(logger: Logger, record: SQSRecord, *, already_logged: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Log the error of a record and raise it again. Errors in `already_logged` are not logged a second time."""
    try:
        yield
    except already_logged:
        raise
    except Exception:
        # Powertools returns the message to the queue silently, so this is the only record of the reason
        logger.exception("record_failed", message_id=record.message_id)
        raise


@contextmanager
def refused_for_good(logger: Logger, metrics: Metrics, record: SQSRecord, *also: type[Exception]) -> Iterator[None]:
    """Finish a record that no retry can mend: log it with its body and count it for an alarm, so that it blocks no others.

    These are unreadable records and those that fail with an error in `also`.
    """
    final: tuple[type[Exception], ...] = (UnreadableEventError, WireError, *also)
    try:
        yield
    except final as error:
        reason = f"{type(error).__name__}: {error}"
        logger.error("message_refused", message_id=record.message_id, reason=reason, body=record.body[:4000])  # noqa: TRY400 - whole
        metrics.add_metric(Metric.EVENTS_REFUSED, MetricUnit.Count, 1)


@contextmanager
def put_off(
    record: SQSRecord,
    retry_in: Callable[[str, str, int], None],
    seconds: Callable[[Exception], int],
    on_pause: Callable[..., None],
) -> Iterator[None]:
    """Make a failing record visible again after the seconds that its error calls for, not after the queue's whole timeout.

    on_pause: called with the facts of the pause, to log and count it.
    """
    try:
        yield
    except Exception as error:
        wait = seconds(error)
        on_pause(message_id=record.message_id, wait_seconds=wait, reason=f"{type(error).__name__}: {error}")
        retry_in(record.receipt_handle, record.event_source_arn, wait)
        raise


def wait_seconds(asked: int | None, record: SQSRecord, *, first: int, longest: int) -> int:
    """Return the seconds that the other side `asked` for, or else a pause that starts at `first` and doubles with each delivery.

    The result is between 1 and `longest` seconds.
    """
    deliveries = int(record.attributes.approximate_receive_count)
    wanted = first * 2 ** min(deliveries - 1, 7) if asked is None else asked
    return min(max(wanted, 1), longest)


def visible_again(client: SQSClient, receipt_handle: str, queue_arn: str, seconds: int) -> None:
    """Make a message visible again after `seconds`."""
    url = client.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[1])["QueueUrl"]
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)
