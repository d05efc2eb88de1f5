"""The library over HTTP: the routes of library/routes.py as resources. A thin door.

The caller is as callers.py says, and the time is the gateway's. The resolver's own validation stays off,
as in trading_api: the body is read once, within the limits of signalbox.wire, and the request's model checks every field.
library_problems.py maps errors to statuses. docs/api/library.json is generated from these routes (tools.api_docs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Protocol

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from pydantic import ValidationError

from signalbox.adapters.aws.callers import caller_of
from signalbox.adapters.aws.gateway import body_text, gateway_time, occurrence
from signalbox.adapters.aws.library_problems import (
    LIBRARY_PROBLEMS,
    ClockSkewError,
    RequestIdMissingError,
    RevisionMissingError,
)
from signalbox.adapters.aws.problem_types import InvalidRequestError, NoRouteError, problem_for
from signalbox.errors import SignalboxError
from signalbox.library.commands import AnyLibraryRequest, parse_library_request
from signalbox.library.documents import LibraryHealthDocument
from signalbox.library.errors import RevisionConflictError
from signalbox.library.routes import (
    HEALTH,
    LIBRARY_ROUTES,
    REQUEST_ID_HEADER,
    REVISION_HEADER,
    LibraryRoute,
    etag,
    facts_in_path,
)
from signalbox.problems import MEDIA_TYPE, InvalidValue, invalid_values, pointer_to
from signalbox.signing import AcceptedKeys
from signalbox.wire import checked, parse_object

MAX_LIBRARY_BODY: Final = 16_384  # bytes; the longest request has under two thousand
MAX_SKEW: Final = timedelta(minutes=5)  # as AWS verifies signatures
_ETAG: Final = re.compile(r'"(0|[1-9][0-9]{0,8})"')
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_SIGNED_AT: Final = "%Y%m%dT%H%M%SZ"
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class LibraryService(Protocol):
    """The part of the application that the routes use."""

    def answer(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:
        """Return the answer in JSON's types."""

    def health(self, who: str) -> LibraryHealthDocument:
        """Return that the ledger answers, and the caller's role."""


def library_api(service: LibraryService, person_keys: AcceptedKeys | None = None) -> APIGatewayHttpResolver:
    """Return the routes for a library. person_keys: as of the orders API (trading_api.py)."""
    api = APIGatewayHttpResolver()

    def asked_by(route: LibraryRoute) -> Callable[..., Response[str]]:
        def ask(**in_path: str) -> Response[str]:
            who = _caller(api, person_keys)
            if route is HEALTH:
                return _replied(HTTPStatus.OK, service.health(who))
            found = _request(api, route, in_path)
            return _answered(route, service.answer(found, who, gateway_time(api)))

        return ask

    for route in LIBRARY_ROUTES:
        path = re.sub(r"{(\w+)}", r"<\1>", route.path)
        api.route(path, route.method, summary=route.summary)(asked_by(route))

    def refused(error: SignalboxError) -> Response[str]:
        problem = problem_for(error, occurrence(api), LIBRARY_PROBLEMS)
        return _replied(HTTPStatus(problem.status or 500), problem.to_json(), MEDIA_TYPE)

    def invalid(error: ValidationError) -> Response[str]:
        return refused(InvalidRequestError(invalid_values(error, skip=1)))  # the first place is the verb

    api.exception_handler(SignalboxError)(refused)
    api.exception_handler(ValidationError)(invalid)

    @api.not_found
    def nowhere(_error: Exception) -> Response[str]:
        event = api.current_event
        return refused(NoRouteError(f"no route {event.http_method} {event.raw_path[:200]}"))

    return api


def _caller(api: APIGatewayHttpResolver, person_keys: AcceptedKeys | None) -> str:
    """Return the caller. Raises UnsignedError, and ClockSkewError for a signature that AWS would not take."""
    who = caller_of(api, person_keys)
    given = api.current_event.headers.get("x-amz-date")
    if given is not None:
        now = gateway_time(api)
        try:
            signed_at = datetime.strptime(given, _SIGNED_AT).replace(tzinfo=UTC)
        except ValueError:
            raise ClockSkewError(f"expected when the request was signed as 20261128T120000Z, got {given[:40]!r}") from None
        if abs(now - signed_at) > MAX_SKEW:
            raise ClockSkewError(
                f"expected a request signed within {MAX_SKEW.seconds // 60} minutes of {now.isoformat()},"
                f" got one of {signed_at.isoformat()}"
            )
    return who


def _request(api: APIGatewayHttpResolver, route: LibraryRoute, in_path: Mapping[str, str]) -> AnyLibraryRequest:
    """Return the request of a route: path, headers, and the query of a question or the body of a change."""
    fixed: dict[str, Any] = facts_in_path(in_path)
    if route.method == "GET":
        given: dict[str, Any] = {
            key: _typed(key, value) for key, value in (api.current_event.query_string_parameters or {}).items()
        }
    else:
        if asked := sorted(api.current_event.query_string_parameters or {}):
            words = "expected a change in the body alone, got a parameter of a query"
            raise InvalidRequestError(tuple(InvalidValue(pointer=pointer_to(key[:100]), detail=words) for key in asked[:20]))
        text = body_text(api)
        given = parse_object(text, max_bytes=MAX_LIBRARY_BODY) if text else {}
        fixed |= _in_headers(api, route)
    doubled = sorted(given.keys() & {"verb", "request_id", "revision", *fixed, *route.parameters})
    if doubled:
        words = "expected it in the path or in a header alone"
        raise InvalidRequestError(tuple(InvalidValue(pointer=pointer_to(key), detail=words) for key in doubled))
    return parse_library_request(route.verb, checked({**given, **fixed}))


def _in_headers(api: APIGatewayHttpResolver, route: LibraryRoute) -> dict[str, Any]:
    headers = api.current_event.headers
    request_id = headers.get(REQUEST_ID_HEADER)
    if request_id is None:
        raise RequestIdMissingError(f"expected the header {REQUEST_ID_HEADER} on every change, got none")
    if route.verb != "change":
        return {"request_id": request_id}
    tag = headers.get(REVISION_HEADER)
    if tag is None:
        raise RevisionMissingError(f"expected the header {REVISION_HEADER} with the entity's ETag, got none")
    found = _ETAG.fullmatch(tag.strip())
    if found is None:
        raise RevisionConflictError(f"expected the entity's ETag in {REVISION_HEADER}, such as {etag(3)}, got {tag[:40]!r}")
    return {"request_id": request_id, "revision": int(found[1])}


def _typed(key: str, value: str) -> Any:
    """Return a value of a query in the type of its field; any other text stays text, which the model refuses."""
    if key == "limit" and _DIGITS.fullmatch(value):
        return int(value)
    return _BOOLEANS.get(value, value) if key == "archived" else value


def _answered(route: LibraryRoute, found: Any) -> Response[str]:
    made = route.makes and found.get("new", True)
    headers = {"ETag": etag(found["revision"])} if route.verb in {"entity", "create", "change"} else {}
    return _replied(HTTPStatus.CREATED if made else HTTPStatus.OK, found, headers=headers)


def _replied(
    status: HTTPStatus, body: Any, content_type: str = content_types.APPLICATION_JSON, headers: Mapping[str, str] | None = None
) -> Response[str]:
    return Response(
        status_code=int(status), content_type=content_type, body=json.dumps(body, allow_nan=False), headers=dict(headers or {})
    )
