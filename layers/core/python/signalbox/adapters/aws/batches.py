"""Records of a queue, a batch an invocation: each failure is logged and returned alone, and may ask for a pause.

A batch never fails as a whole: what succeeded is done, and the answer names what has to come again.
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
    """Handles one record. Powertools passes it by this name, so a handler has to call it `record`."""

    def __call__(self, record: SQSRecord) -> None:
        """Handle it; an exception gives it back."""


def process_standard(event: dict[str, Any], handle: RecordHandler, context: LambdaContext) -> Any:
    """Handle the records of a standard queue; return those to give back."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, handle, processor, context)


def process_fifo(event: dict[str, Any], handle: RecordHandler, context: LambdaContext) -> Any:
    """Handle the records of a FIFO queue; a failure holds back what is behind it in its group, and no other group."""
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False
    return process_partial_response(event, handle, processor, context)


def event_in(record: SQSRecord) -> BusEvent:
    """Return the event that a rule of the bus put into the queue. Raises UnreadableEventError or WireError: final."""
    return read_event(record.body)


@contextmanager
def failure_logged(logger: Logger, record: SQSRecord, *, already_logged: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Log why a record fails, and let it fail. An error in `already_logged` passes without a second line."""
    try:
        yield
    except already_logged:
        raise
    except Exception:
        # Powertools hands the message back to the queue without a word; the log must say why
        logger.exception("record_failed", message_id=record.message_id)
        raise


@contextmanager
def refused_for_good(logger: Logger, metrics: Metrics, record: SQSRecord, *also: type[Exception]) -> Iterator[None]:
    """End a record that no repetition mends: logged with its body, counted for an alarm, and out of the way of those behind it.

    That is what cannot be read, and what is of a kind in `also`.
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
    """Let a record that fails come again after `seconds` of its error, not after the queue's whole timeout.

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
    """Return what the other side `asked` for, else a pause that starts at `first` and doubles with each delivery.

    Both are bounded to 1 … `longest` seconds.
    """
    deliveries = int(record.attributes.approximate_receive_count)
    wanted = first * 2 ** min(deliveries - 1, 7) if asked is None else asked
    return min(max(wanted, 1), longest)


def visible_again(client: SQSClient, receipt_handle: str, queue_arn: str, seconds: int) -> None:
    """Make a message visible again after `seconds`."""
    url = client.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[1])["QueueUrl"]
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)
