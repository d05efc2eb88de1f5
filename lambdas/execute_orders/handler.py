"""execute_orders (edge): sends the ledger's requests to venues and returns the results. An order is sent at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.batches import failure_logged, fifo_handler, put_off, refused_for_good, wait_seconds
from signalbox.adapters.aws.correlation import Follower, followed
from signalbox.application.execute_orders import ExecuteOrders, ViewNotDueError
from signalbox.bootstrap.execute_orders import EnvelopeError, compose
from signalbox.contracts import Metric
from signalbox.events import BusEvent
from signalbox.orders.agent_answers import CommandRefused, CommandTaken
from signalbox.orders.events import (
    OrderCancelRejected,
    OrderExpired,
    OrderRejected,
    OrderSubmitted,
    OrderUnconfirmed,
    OrderUpdateRejected,
)
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_facts import SEND_TOO_LATE
from signalbox.orders.venue_port import ExecutionError, VenueBusyError
from signalbox.signing import SealError

logger = Logger()
metrics = Metrics()

MAX_WAIT_SECONDS = 60  # the messages behind it in its group wait too; docs/live-trading.md adds the waits up


class UnexpectedRequestError(ValueError):
    """An event arrived that this function does not handle: a rule of the event bus is wrong."""


def _count(message: str, reports: tuple[BusEvent, ...], **more: Any) -> None:
    events = [event for report in reports if isinstance(report, ExecutionReported) for event in report.events]
    logger.info(message, reports=[r.event_id for r in reports], kinds=[event.kind for event in events], **more)
    refusals = [event for event in events if isinstance(event, OrderRejected)]
    for refusal in refusals:
        logger.warning("order_rejected", client_order_id=refusal.client_order_id, reason=refusal.reason, detail=refusal.detail)
    for event in events:
        if isinstance(event, (OrderCancelRejected, OrderUpdateRejected, OrderUnconfirmed)):
            asked = event.attempt if isinstance(event, OrderUnconfirmed) else event.request_id
            logger.warning(
                "order_not_done", client_order_id=event.client_order_id, kind=event.kind, request=asked, detail=event.detail
            )
    metrics.add_metric(Metric.ORDERS_SENT, MetricUnit.Count, sum(isinstance(event, OrderSubmitted) for event in events))
    counts = {
        Metric.ORDERS_UNCONFIRMED: sum(isinstance(event, OrderUnconfirmed) for event in events),
        Metric.VENUE_REFUSALS: len(refusals),
        Metric.REQUESTS_EXPIRED: sum(isinstance(event, OrderExpired) and event.reason == SEND_TOO_LATE for event in events),
    }
    for metric, count in counts.items():
        if count:  # an hour in which a metric is sent is paid for, and no alarm tells none from nothing
            metrics.add_metric(metric, MetricUnit.Count, count)


def _pass_on(app: ExecuteOrders, account: str, record: SQSRecord) -> None:
    """Announce an agent's report. A refused one is dropped: a bad signature never improves and would block later reports."""
    try:
        content = app.pass_on(account, record.body)
        match content:
            case CommandTaken():
                logger.info("command_taken", account=account, command=content.command)
            case CommandRefused():
                logger.error(
                    "command_refused", account=account, command=content.command, reason=content.reason, detail=content.detail
                )
                metrics.add_metric(Metric.COMMANDS_REFUSED, MetricUnit.Count, 1)
            case _:
                _count("report_passed_on", (content,))
    except EnvelopeError as error:
        logger.error("envelope_refused", message_id=record.message_id, reason=str(error))  # noqa: TRY400 - a stack trace adds nothing to a forgery
        metrics.add_metric(Metric.ENVELOPES_REFUSED, MetricUnit.Count, 1)


def _query(app: ExecuteOrders, request: VenueViewRequested) -> None:
    """Query a venue's view. A failed query is dropped: the next minute asks again, and an old one would only block it."""
    try:
        _count("view_carried_out", app.carry_out(request).events, request=request.event_id)
    except ViewNotDueError:
        raise  # the queue delivers it again when it is due
    except ExecutionError as error:
        logger.warning("view_failed", account=request.account, venue=request.venue, reason=f"{type(error).__name__}: {error}")
        metrics.add_metric(Metric.VIEWS_FAILED, MetricUnit.Count, 1)


def _check(app: ExecuteOrders, record: SQSRecord) -> None:
    """Look for an agent's answer to a command. Without one, halt the account; the alarm says that its agent is away or robbed."""
    missing = app.check(record.body)
    if missing is not None:
        logger.error("command_unacknowledged", account=missing.account, command=missing.command, request=missing.event_id)
        metrics.add_metric(Metric.COMMANDS_UNACKNOWLEDGED, MetricUnit.Count, 1)


def _handle(app: ExecuteOrders, record: SQSRecord, follow: Follower) -> None:
    """Handle a message as its queue prescribes, whatever it looks like: an agent's queue has only reports, never requests."""
    if (account := app.mailboxes.reporter(record.event_source_arn)) is not None:
        _pass_on(app, account, record)
        return
    if app.mailboxes.is_checks(record.event_source_arn):
        _check(app, record)
        return
    try:
        found = app.accept(record.body)
    except SealError as error:
        # retrying cannot mend a bad seal, and a forgery must not delay real orders
        reason = f"{type(error).__name__}: {error}"
        logger.error("request_refused", message_id=record.message_id, reason=reason, body=record.body[:4000])  # noqa: TRY400 - as above
        metrics.add_metric(Metric.REQUESTS_REFUSED, MetricUnit.Count, 1)
        return
    request = found.event
    follow.event(request)
    if isinstance(request, VenueViewRequested):
        _query(app, request)
    elif isinstance(request, ExecutionRequested):
        done = app.carry_out(request)
        if done.replayed is not None:
            logger.error("request_replayed", message_id=record.message_id, request=request.event_id, after=str(done.replayed))
            metrics.add_metric(Metric.REQUESTS_REFUSED, MetricUnit.Count, 1)
        _count("request_carried_out", done.events, request=request.event_id, sequence=found.seal.sequence)
    else:
        raise UnexpectedRequestError(f"expected ExecutionRequested or VenueViewRequested, got {request.type}")


def _postponed(**facts: Any) -> None:
    logger.warning("execution_postponed", **facts)
    metrics.add_metric(Metric.EXECUTIONS_POSTPONED, MetricUnit.Count, 1)


def make_handler(app: ExecuteOrders) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""

    def record_handler(record: SQSRecord) -> None:
        def pause(error: Exception) -> int:
            asked = error.retry_after if isinstance(error, VenueBusyError) else None
            return wait_seconds(asked, record, first=1, longest=MAX_WAIT_SECONDS)

        with (
            followed(logger) as follow,
            failure_logged(logger, record, already_logged=(ExecutionError,)),
            put_off(record, app.retry_in, pause, _postponed),
            refused_for_good(logger, metrics, record, UnexpectedRequestError),
        ):
            _handle(app, record, follow)

    return fifo_handler(record_handler, logger, metrics)


handler = make_handler(compose())
