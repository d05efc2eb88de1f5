"""manage_orders (ledger): applies signals, cycles, venue reports and commands, from queues or over HTTP, to accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave, report_missed
from signalbox.adapters.aws.batches import failure_logged, process_fifo
from signalbox.adapters.aws.correlation import followed, log_changes
from signalbox.adapters.aws.trading_api import trading_api
from signalbox.adapters.aws.trading_metrics import counted
from signalbox.adapters.aws.trading_queue import Door, MessageRefusedError, ReportRefusedError, handle_message
from signalbox.application.manage_orders import ManageOrders
from signalbox.bootstrap.manage_orders import compose
from signalbox.contracts import Metric
from signalbox.trading.errors import UnpricedError
from signalbox.trading.service import AccountOutcome

logger = Logger()
metrics = Metrics()


def make_handler(app: ManageOrders) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""
    api = trading_api(app, _report, app.person_keys)

    def record_handler(record: SQSRecord) -> None:
        facts = record.attributes
        with followed(logger) as follow, failure_logged(logger, record, already_logged=(UnpricedError,)):
            try:
                door = Door.KILL_SWITCH if record.event_source_arn == app.kill_switch_arn else Door.TRADING
                handled = handle_message(
                    app,
                    record.body,
                    sender=facts.sender_id,
                    sent_ms=facts.sent_timestamp,
                    keys=app.report_keys,
                    door=door,
                    follow=follow,
                )
                _report(handled)
                logger.info("message_handled", accounts=[one.account.account for one in handled])
            except ReportRefusedError as error:
                _refuse_report(record, error)
            except MessageRefusedError as error:
                logger.exception("message_refused", message_id=record.message_id, reason=str(error), body=record.body[:4000])
                metrics.add_metric(Metric.EVENTS_REFUSED, MetricUnit.Count, 1)
            except UnpricedError as error:
                # The queue delivers it again after its visibility timeout: a ledger function cannot reach a queue to set another
                deliveries = facts.approximate_receive_count
                logger.warning("message_postponed", message_id=record.message_id, deliveries=deliveries, reason=str(error))
                raise

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        over_http = "requestContext" in event
        if over_http:
            # the same id as in the gateway's log and in problem details
            logger.append_keys(request=event["requestContext"].get("requestId"))
        answer = api.resolve(event, context) if over_http else process_fifo(event, record_handler, context)
        publish_or_leave(app.publish, logger=logger)
        _report_refused(app)
        _report_denied(app)
        report_missed(app, logger, metrics)
        return answer

    return handler


def _refuse_report(record: SQSRecord, error: ReportRefusedError) -> None:
    """Log and drop a report that the executor did not seal: nothing in it is trusted, and it must not block later ones."""
    logger.error("report_refused", message_id=record.message_id, reason=str(error), body=record.body[:4000])
    metrics.add_metric(Metric.REPORTS_REFUSED, MetricUnit.Count, 1)


def _report_refused(app: ManageOrders) -> None:
    while app.refused:
        name, reason = app.refused.popitem()
        logger.error("account_not_opened", account=name, reason=reason)
        metrics.add_metric(Metric.ACCOUNTS_NOT_OPENED, MetricUnit.Count, 1)


def _report_denied(app: ManageOrders) -> None:
    for one in app.take_denied():
        logger.warning("access_refused", account=one.account, principal=one.principal, action=one.action, needed=one.needed)
        metrics.add_metric(Metric.ACCESS_REFUSED, MetricUnit.Count, 1)


def _report(handled: tuple[AccountOutcome, ...]) -> None:
    log_changes(logger, handled, logger.info)
    for metric, count in counted(handled).items():
        if count:  # an hour in which a metric is sent is paid for, and no alarm tells none from nothing
            metrics.add_metric(metric, MetricUnit.Count, count)


handler = make_handler(compose())
