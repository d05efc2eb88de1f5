"""What each HTTP API reads from a request of API Gateway (payload 2.0): body, time, and the name of this occurrence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from signalbox.wire import WireError

_OCCURRENCE: Final = "urn:signalbox:request:"


def body_text(api: APIGatewayHttpResolver) -> str:
    """Return the body as text, empty without one. Raises WireError for base64 of bytes that are not text."""
    try:
        return api.current_event.decoded_body or ""
    except ValueError as error:
        raise WireError(f"the body is not JSON: {error}") from None


def gateway_time(api: APIGatewayHttpResolver) -> datetime:
    """Return when the gateway received the request."""
    return datetime.fromtimestamp(int(api.current_event.request_context["timeEpoch"]) / 1000, UTC)


def occurrence(api: APIGatewayHttpResolver) -> str:
    """Return the URI of this request for a problem's `instance`; the logs have the same id."""
    return f"{_OCCURRENCE}{api.current_event.request_context.get('requestId', '')}"
