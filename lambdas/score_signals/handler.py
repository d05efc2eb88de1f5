"""score_signals (ledger, read only): scores feature rows, or symbols on the newest candles, with the deployment that serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from signalbox.adapters.aws.scoring_api import scoring_api
from signalbox.application.current_scores import CurrentScores
from signalbox.bootstrap.score_signals import compose

logger = Logger()


def make_handler(app: CurrentScores) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
    """Return the Lambda handler for a composition."""
    api = scoring_api(app.service)

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        answer = api.resolve(event, context)
        context_of = event.get("requestContext", {})
        who = context_of.get("authorizer", {}).get("iam", {}).get("userArn")
        logger.info(
            "scores_asked", request=context_of.get("requestId"), path=event.get("rawPath"), who=who, status=answer["statusCode"]
        )
        return answer

    return handler


handler = make_handler(compose())
