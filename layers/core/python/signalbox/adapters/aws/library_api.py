"""The library over HTTP: one signed route for each verb, `POST /library/VERB` with a JSON object. A thin door.

The caller is as callers.py says, and the time is the gateway's. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from pydantic import ValidationError

from signalbox.adapters.aws.callers import UnsignedError, caller_of
from signalbox.adapters.aws.gateway import body_text, gateway_time, occurrence
from signalbox.errors import SignalboxError
from signalbox.inference.errors import BundleError
from signalbox.ledger_errors import LedgerError
from signalbox.library.commands import AnyLibraryRequest, parse_library_request
from signalbox.library.errors import (
    ApprovalRefusedError,
    ArtifactError,
    BundleMissingError,
    DeploymentConflictError,
    DeploymentRefusedError,
    DeploymentStateError,
    LibraryAccessError,
    LifecycleError,
    UnknownVersionError,
)
from signalbox.observation.errors import ObservationRulesError, ObservationStateError, UnknownObservationError
from signalbox.problems import MEDIA_TYPE, Problem, invalid_values, type_named
from signalbox.signing import AcceptedKeys
from signalbox.wire import WireError, checked, parse_object

MAX_LIBRARY_BODY: Final = 16_384  # bytes; the longest request has under two thousand
_STATUSES: Final[Mapping[type[SignalboxError], tuple[HTTPStatus, str]]] = {
    WireError: (HTTPStatus.BAD_REQUEST, "invalid-request"),
    UnsignedError: (HTTPStatus.UNAUTHORIZED, "unsigned"),
    UnknownVersionError: (HTTPStatus.NOT_FOUND, "unknown-version"),
    LifecycleError: (HTTPStatus.CONFLICT, "illegal-step"),
    ApprovalRefusedError: (HTTPStatus.CONFLICT, "approval-refused"),
    DeploymentConflictError: (HTTPStatus.CONFLICT, "deployment-conflict"),
    DeploymentStateError: (HTTPStatus.CONFLICT, "deployment-conflict"),
    DeploymentRefusedError: (HTTPStatus.CONFLICT, "deployment-refused"),
    LibraryAccessError: (HTTPStatus.FORBIDDEN, "role-missing"),
    ArtifactError: (HTTPStatus.UNPROCESSABLE_ENTITY, "bundle-refused"),
    BundleMissingError: (HTTPStatus.UNPROCESSABLE_ENTITY, "bundle-refused"),
    BundleError: (HTTPStatus.UNPROCESSABLE_ENTITY, "bundle-refused"),
    ObservationRulesError: (HTTPStatus.UNPROCESSABLE_ENTITY, "rules-refused"),
    ObservationStateError: (HTTPStatus.CONFLICT, "observation-conflict"),
    UnknownObservationError: (HTTPStatus.NOT_FOUND, "unknown-observation"),
    LedgerError: (HTTPStatus.SERVICE_UNAVAILABLE, "ledger-unavailable"),
}


class LibraryService(Protocol):
    """The part of the application that the routes use."""

    def answer(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:
        """Return the answer in JSON's types."""


def library_api(service: LibraryService, person_keys: AcceptedKeys | None = None) -> APIGatewayHttpResolver:
    """Return the routes for a library. person_keys: as of the orders API (trading_api.py)."""
    api = APIGatewayHttpResolver()

    @api.post("/library/<verb>")
    def asked(verb: str) -> Response[str]:
        who = caller_of(api, person_keys)
        text = body_text(api)
        facts = parse_object(text, max_bytes=MAX_LIBRARY_BODY) if text else {}
        if "verb" in facts:
            raise WireError("expected no verb in the body: the path has it")
        found = parse_library_request(verb, checked(facts))
        return _replied(HTTPStatus.OK, service.answer(found, who, gateway_time(api)))

    def refused(error: SignalboxError) -> Response[str]:
        known = (_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
        status, name = next(known, (HTTPStatus.CONFLICT, "refused"))
        return problem(status, name, str(error))

    def problem(status: HTTPStatus, name: str, detail: str, errors: Any = ()) -> Response[str]:
        found = Problem(
            type=type_named(name), title=status.phrase, status=int(status), detail=detail, instance=occurrence(api), errors=errors
        )
        return _replied(status, found.to_json(), MEDIA_TYPE)

    def invalid(error: ValidationError) -> Response[str]:
        values = invalid_values(error, skip=1)  # the first place is the verb
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "the request has wrong values", values)

    api.exception_handler(SignalboxError)(refused)
    api.exception_handler(ValidationError)(invalid)

    @api.not_found
    def nowhere(_error: Exception) -> Response[str]:
        return problem(HTTPStatus.NOT_FOUND, "no-route", f"no route {api.current_event.http_method} {api.current_event.raw_path}")

    return api


def _replied(status: HTTPStatus, body: Any, content_type: str = content_types.APPLICATION_JSON) -> Response[str]:
    return Response(status_code=int(status), content_type=content_type, body=json.dumps(body))
