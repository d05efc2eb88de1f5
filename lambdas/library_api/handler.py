"""library_api (ledger): answers questions about the library and carries out changes of versions and deployments, over HTTP.

`signalbox deploy` and the local cloud call it directly, with `{"starter": true}`, to register and deploy the starter bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.adapters.aws.library_api import library_api
from signalbox.application.manage_library import ManageLibrary
from signalbox.bootstrap.library_api import compose
from signalbox.contracts import Metric

logger = Logger()
metrics = Metrics()
_STARTER = {"starter": True}


class UnexpectedLibraryCallError(ValueError):
    """The function was invoked with what is neither an HTTP request nor the call that starts a stage."""


def make_handler(app: ManageLibrary) -> Callable[[dict[str, Any], LambdaContext], Any]:
    """Return the Lambda handler for a composition."""
    api = library_api(app, app.person_keys)

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics
    def handler(event: dict[str, Any], context: LambdaContext) -> Any:
        if "requestContext" in event:
            logger.append_keys(request=event["requestContext"].get("requestId"))
            answer = api.resolve(event, context)
            logger.info("library_asked", path=event.get("rawPath"), status=answer["statusCode"])
        elif event == _STARTER:
            answer = app.start(datetime.now(UTC))
            logger.info("starter_registered", version=answer["version"], deployment=answer["deployment"]["deployment"])
        else:
            raise UnexpectedLibraryCallError(f"expected an HTTP request or {_STARTER}, got keys {sorted(map(str, event))[:10]}")
        publish_or_leave(app.publish, logger=logger)
        for one in app.take_denied():
            logger.warning("access_refused", principal=one.principal, action=one.action, needed=one.needed, held=one.held)
            metrics.add_metric(Metric.ACCESS_REFUSED, MetricUnit.Count, 1)
        return answer

    return handler


handler = make_handler(compose())
