"""telegram_bot (edge): answers updates from the queue, one after the other in each chat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.batches import failure_logged, fifo_handler, put_off, refused_for_good, wait_seconds
from signalbox.application.telegram_bot import TelegramBot
from signalbox.bootstrap.telegram_bot import compose
from signalbox.chat.messenger import MessengerBusyError, MessengerRefusedError
from signalbox.contracts import Metric

logger = Logger()
metrics = Metrics()

LONGEST_PAUSE = 60  # seconds


def _paused(**facts: Any) -> None:
    logger.warning("answer_postponed", **facts)


def make_handler(app: TelegramBot) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        def pause(error: Exception) -> int:  # somebody waits for the answer: a second at first, not the queue's whole timeout
            asked = error.retry_after if isinstance(error, MessengerBusyError) else None
            return wait_seconds(asked, record, first=1, longest=LONGEST_PAUSE)

        sent_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
        with (
            failure_logged(logger, record),
            put_off(record, app.retry_in, pause, _paused),
            refused_for_good(logger, metrics, record),
        ):
            try:
                found = app.handle(record.body, sent_at, datetime.now(UTC))
            except MessengerRefusedError as error:  # the token is revoked, or the chat is gone: nobody can be answered
                logger.error("answer_lost", message_id=record.message_id, reason=str(error))  # noqa: TRY400 - the reason is all
                metrics.add_metric(Metric.ANSWERS_LOST, MetricUnit.Count, 1)
                return
            logger.info("update_handled", user=found.user, parts=found.parts, duplicate=found.is_duplicate)
            if (both := found.approval) is not None:
                logger.warning(
                    "command_approved", account=both.account, kind=both.kind, request_id=both.request_id,
                    asked_by=both.asked_by, approved_by=both.approved_by,
                )  # fmt: skip
            if found.is_new_person:
                logger.warning("person_let_in", user=found.user)
            metrics.add_metric(Metric.ANSWERS_SENT, MetricUnit.Count, int(found.parts > 0))

    return fifo_handler(record_handler, logger, metrics)


handler = make_handler(compose())
