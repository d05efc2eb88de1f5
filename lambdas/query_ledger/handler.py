"""query_ledger (ledger, read only): answers one question of a person with what that person may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.application.query_ledger import QueryLedger
from signalbox.bootstrap.query_ledger import compose
from signalbox.contracts import Metric
from signalbox.wire import checked

logger = Logger()
metrics = Metrics()


def make_handler(app: QueryLedger) -> Callable[[Mapping[str, object], LambdaContext], dict[str, Any]]:
    """Return the Lambda handler for a composition. An error, such as that of a ledger that does not answer, fails the call."""

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handler(event: Mapping[str, object], _context: LambdaContext) -> dict[str, Any]:
        found = app.answer(checked(dict(event)), datetime.now(UTC))
        for one in app.take_denied():
            logger.warning("access_refused", account=one.account, principal=one.principal, action=one.action, needed=one.needed)
            metrics.add_metric(Metric.ACCESS_REFUSED, MetricUnit.Count, 1)
        logger.info("question_answered", question=event.get("kind"), who=event.get("who"), refused=found.refused)
        return found.model_dump(mode="json")

    return handler


handler = make_handler(compose())
