"""Scoring over HTTP: takes API Gateway's payload 2.0 and answers errors with problem details (RFC 9457).

Routes: POST /score, GET /health, GET /openapi.json. The resolver's own validation stays off, as in trading_api: the body is read
once, within the limits of signalbox.wire. The time is the gateway's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from pydantic import ValidationError

from signalbox.adapters.aws.gateway import body_text, gateway_time, occurrence
from signalbox.adapters.aws.problem_types import (
    NO_ROUTE,
    UNREADABLE,
    InvalidRequestError,
    NoRouteError,
    ProblemType,
    problem_for,
)
from signalbox.application.current_scores import ModelUnavailableError, NothingServesError
from signalbox.application.score_signals import (
    MAX_SCORES,
    NoBarsError,
    ScoreAnswer,
    ScoreRequest,
    ScoreSignals,
    ScoringFailedError,
    ScoringInputError,
    WrongSchemaError,
)
from signalbox.errors import SignalboxError
from signalbox.ledger_errors import LedgerError
from signalbox.market.candles import MarketDataError
from signalbox.problems import MEDIA_TYPE, Problem, invalid_values
from signalbox.wire import parse_object

MAX_BODY: Final = 6_000_000  # bytes; a function takes 6 MiB in one call
VERSION: Final = "1"  # of the API; raise it with every breaking change
_SCHEMAS: Final = "#/components/schemas/"
SCORING_PROBLEMS: Final = (
    UNREADABLE,
    NO_ROUTE,
    ProblemType(
        "wrong-schema",
        "The features are of another schema",
        HTTPStatus.CONFLICT,
        "Compute them by the model's schema, or ask a model of theirs.",
        (WrongSchemaError,),
    ),
    ProblemType(
        "invalid-request",
        "The request has invalid values",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Correct each value and send it again.",
        (InvalidRequestError, ScoringInputError),
    ),
    ProblemType(
        "no-candles",
        "Symbols cannot be scored here",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Send windows or rows of features, or start the server with candles.",
        (NoBarsError, MarketDataError),
    ),
    ProblemType(
        "nothing-serves",
        "No model serves yet",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Deploy one: signalbox library deploy.",
        (NothingServesError,),
    ),
    ProblemType(
        "model-unavailable",
        "The model that serves cannot be loaded",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "See `signalbox library history`; if its bundle is damaged, roll back.",
        (ModelUnavailableError,),
    ),
    ProblemType(
        "ledger-unavailable",
        "The ledger does not answer",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Ask again in a few seconds.",
        (LedgerError,),
    ),
    ProblemType(
        "scoring-failed",
        "The model did not answer",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Look into its log.",
        (ScoringFailedError,),
    ),
)


def scoring_api(service: Callable[[], ScoreSignals]) -> APIGatewayHttpResolver:
    """Return the routes of a scoring service. service: called at each request that needs the model."""
    api = APIGatewayHttpResolver()

    @api.post("/score", summary="Score feature rows or symbols")
    def score() -> Response[str]:
        body = parse_object(body_text(api), max_bytes=MAX_BODY)
        try:
            request = ScoreRequest.model_validate(body)
        except ValidationError as error:
            raise InvalidRequestError(invalid_values(error)[:20]) from None
        return _answer(HTTPStatus.OK, service().score(request, gateway_time(api)).model_dump(mode="json", exclude_none=True))

    @api.get("/health", summary="Show the model that answers")
    def health() -> Response[str]:
        found = service()
        ensemble = found.ensemble
        facts = {
            "model": ensemble.name,
            **({} if found.deployment is None else {"deployment": found.deployment}),
            "schema_name": ensemble.schema.name,
            "schema_hash": ensemble.schema.hash,
            "window_bars": ensemble.window_bars,
            "features": list(ensemble.schema.names),
            "scores_symbols": found.bars is not None,
        }
        return _answer(HTTPStatus.OK, facts)

    @api.get("/openapi.json", summary="Describe this API")
    def described() -> Response[str]:
        return _answer(HTTPStatus.OK, scoring_openapi(api))

    def refused(error: SignalboxError) -> Response[str]:
        problem = problem_for(error, occurrence(api), SCORING_PROBLEMS)
        return _answer(HTTPStatus(problem.status or 500), problem.to_json(), MEDIA_TYPE)

    for kind in dict.fromkeys(kind for one in SCORING_PROBLEMS for kind in one.errors):
        api.exception_handler(kind)(refused)

    @api.not_found
    def nowhere(_error: Exception) -> Response[str]:
        return refused(NoRouteError(f"no route {api.current_event.http_method} {api.current_event.raw_path[:200]}"))

    return api


def scoring_openapi(api: APIGatewayHttpResolver) -> dict[str, Any]:
    """Return the OpenAPI document of the routes, with the bodies that the resolver does not know."""
    about = (
        f"Scores of one model. A request has at most {MAX_SCORES:,} decisions and {MAX_BODY:,} bytes. Every refusal is a problem"
        " details object (RFC 9457)."
    )
    document = parse_object(
        api.get_openapi_json_schema(title="Signalbox scoring API", version=VERSION, openapi_version="3.1.0", description=about)
    )
    schemas: dict[str, Any] = {}
    for model in (ScoreRequest, ScoreAnswer, Problem):
        found = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
        schemas |= found.pop("$defs", {})
        schemas[model.__name__] = found
    refused = {"description": "refused", "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_score = path == "/score"
            operation["operationId"] = {"/score": "score", "/health": "showHealth"}.get(path, "describe")
            schema = {"$ref": f"{_SCHEMAS}ScoreAnswer"} if is_score else {"type": "object"}
            operation["responses"] = {
                "200": {"description": "done", "content": {content_types.APPLICATION_JSON: {"schema": schema}}},
                "default": refused,
            }
            if is_score and method == "post":
                content = {content_types.APPLICATION_JSON: {"schema": {"$ref": f"{_SCHEMAS}ScoreRequest"}}}
                operation["requestBody"] = {"required": True, "content": content}
    document["components"] = {"schemas": dict(sorted(schemas.items()))}
    return document


def _answer(status: HTTPStatus, body: Mapping[str, Any], content_type: str = content_types.APPLICATION_JSON) -> Response[str]:
    return Response(status_code=int(status), content_type=content_type, body=json.dumps(body, allow_nan=False))
