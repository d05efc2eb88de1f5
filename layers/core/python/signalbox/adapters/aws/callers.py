"""Who makes a request of an HTTP API: the IAM principal that the gateway verified, or the person of a chat that the bot names.

The bot signs for everybody who types; a header that it seals names the person (trading.person_seal). Whoever has no key of the
bot accepts no request that names one.
"""

from __future__ import annotations

from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from signalbox.adapters.aws.gateway import gateway_time
from signalbox.errors import SignalboxError
from signalbox.library.routes import REQUEST_ID_HEADER
from signalbox.signing import AcceptedKeys, SealError
from signalbox.trading.person_seal import HEADER, SealedRequest, open_person

NO_KEY: Final = "this function has no key of the bot, so it accepts no request that the bot makes for a person"


class UnsignedError(SignalboxError):
    """A request without a verified principal, or with a person's name that the bot did not seal."""


def caller_of(api: APIGatewayHttpResolver, person_keys: AcceptedKeys | None) -> str:
    """Return who makes the current request. Raises UnsignedError."""
    event = api.current_event
    authorizer = event.request_context.get("authorizer") or {}
    who = (authorizer.get("iam") or {}).get("userArn")
    if not who:
        raise UnsignedError("expected a request signed with an IAM identity")
    named = event.headers.get(HEADER)
    if named is None:
        return str(who)
    if person_keys is None:
        raise UnsignedError(NO_KEY)
    try:
        path = f"{event.raw_path}?{event.raw_query_string}" if event.raw_query_string else event.raw_path
        request_id = event.headers.get(REQUEST_ID_HEADER) or ""
        request = SealedRequest(event.http_method, path, (event.decoded_body or "").encode(), request_id)
        return open_person(named, request, person_keys, gateway_time(api))
    except (SealError, ValueError) as error:
        raise UnsignedError(str(error)) from error
