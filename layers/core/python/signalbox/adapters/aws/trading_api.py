"""The trading service over HTTP: takes API Gateway's payload 2.0 and answers errors with problem details (RFC 9457).

The caller is the IAM principal that the gateway verified, or the person of a chat that the bot names with its seal. A request
without a principal is refused here too, so that a route configured without authorisation gives no access. The time is the
gateway's. trading_problems.py maps errors to statuses. The resolver's own
validation stays off: it would read the body a second time, with json.loads instead of the limits of signalbox.wire, and turn
amounts into floats. docs/api/openapi.json is generated from these routes (tools.api_docs).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from pydantic import TypeAdapter, ValidationError

from signalbox.adapters.aws.callers import caller_of
from signalbox.adapters.aws.gateway import body_text, gateway_time, occurrence
from signalbox.adapters.aws.problem_types import InvalidRequestError, NoRouteError
from signalbox.adapters.aws.trading_problems import PROBLEM_TYPES, trading_problem
from signalbox.errors import SignalboxError
from signalbox.orders.messages import AccountName
from signalbox.problems import MEDIA_TYPE, InvalidValue, invalid_values, pointer_to
from signalbox.signing import AcceptedKeys
from signalbox.trading.access import Access, GrantAccess, RevokeAccess
from signalbox.trading.account import TradingAccount
from signalbox.trading.commands import COMMANDS, AnyCommand, check_clock
from signalbox.trading.documents import AccessDocument, AccountsDocument, OrderAnswerDocument, RoleDocument
from signalbox.trading.errors import AccountNameError, CommandError
from signalbox.trading.service import AccountOutcome, ReadinessReport
from signalbox.trading.state import AccountState
from signalbox.trading.view import account_view, configuration_view, order_view, readiness_view
from signalbox.wire import checked, parse_object

MAX_BODY: Final = 65_536  # bytes; the largest command has a few hundred
_ACCOUNT_COMMANDS: Final = (  # method, path, kind of the command, summary
    ("POST", "/accounts/<account>/halt", "halt", "Set the kill switch"),
    ("POST", "/accounts/<account>/resume", "resume", "Release the kill switch"),
    ("PUT", "/accounts/<account>", "open", "Open an account"),
    ("POST", "/accounts/<account>/confirm", "confirm", "Confirm the mode or the rules"),
    ("POST", "/accounts/<account>/lots", "lots", "Choose the tax lot method"),
    ("POST", "/accounts/<account>/adopt", "adopt", "Book a position that no order made"),
    ("POST", "/accounts/<account>/deposit", "deposit", "Book money that came in"),
    ("POST", "/accounts/<account>/withdraw", "withdraw", "Book money that was taken out"),
)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(AccountName)


class ApiTradingService(Protocol):
    """The part of the application that the routes use."""

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        """Carry out a command."""

    def change_access(self, command: GrantAccess | RevokeAccess, who: str) -> tuple[Access, ...]:
        """Grant or revoke a role; return everybody who has one on the account."""

    def access(self, account: str, at: datetime, who: str) -> tuple[Access, ...]:
        """Return everybody who has a role on an account."""

    def query(self, account: str, at: datetime, who: str) -> AccountState:
        """Return the current state of an account."""

    def readiness_report(self, account: str, at: datetime, who: str) -> ReadinessReport:
        """Return whether an account may trade live, and what is missing."""

    def listed(self, at: datetime, who: str) -> tuple[TradingAccount, ...]:
        """Return the accounts that `who` may see, sorted by name."""


def trading_api(  # noqa: C901 - one route each
    service: ApiTradingService,
    report: Callable[[tuple[AccountOutcome, ...]], None],
    person_keys: AcceptedKeys | None = None,
) -> APIGatewayHttpResolver:
    """Return the routes for a trading service. report: is called with the outcome of each command.

    person_keys: the bot's, with which it names a person; without them every request that names one is refused.
    """
    api = APIGatewayHttpResolver()
    principal = partial(caller_of, api, person_keys)

    def carry_out(facts: Mapping[str, Any]) -> AccountOutcome:
        now = gateway_time(api)
        who = principal()
        try:
            command = COMMANDS.validate_python({"requested_at": now, **checked(dict(facts))})
        except ValidationError as error:
            raise InvalidRequestError(invalid_values(error, skip=1)) from error  # the first place is the union's tag
        check_clock(command, now)
        handled = service.command(command, who)
        report((handled,))
        return handled

    def about(kind: str) -> Callable[[str], Response[str]]:
        def command_account(account: str) -> Response[str]:
            return _answer(HTTPStatus.OK, account_view(carry_out(_one({"kind": kind, "account": account}, _body(api))).state))

        return command_account

    def changed(kind: type[GrantAccess] | type[RevokeAccess], account: str) -> Response[str]:
        now, who = gateway_time(api), principal()
        command = kind.model_validate({"requested_at": now, **checked(_one({"account": account}, _body(api)))})
        check_clock(command, now)
        return _answer(HTTPStatus.OK, _access_view(account, service.change_access(command, who)))

    @api.post("/orders", summary="Submit an order")
    def submit() -> Response[str]:
        body = _body(api)
        if "requested_at" not in body:
            raise CommandError(
                "requested_at: expected it in the body, with the same value in every retry; the order's id depends on it"
            )
        handled = carry_out(_one({"kind": "submit"}, body))
        return _answer(HTTPStatus.OK if handled.order is None else HTTPStatus.CREATED, _ordered(handled))

    @api.delete("/orders/<client_order_id>", summary="Cancel an order")
    def cancel(client_order_id: str) -> Response[str]:
        facts = _one({"kind": "cancel", "client_order_id": client_order_id}, _query(api), _body(api))
        return _answer(HTTPStatus.OK, _ordered(carry_out(facts)))

    @api.put("/orders/<client_order_id>", summary="Change an open order")
    def change(client_order_id: str) -> Response[str]:
        facts = _one({"kind": "replace", "client_order_id": client_order_id}, _body(api))
        return _answer(HTTPStatus.OK, _ordered(carry_out(facts)))

    for method, path, command, summary in _ACCOUNT_COMMANDS:
        api.route(path, method, summary=summary)(about(command))

    @api.get("/accounts", summary="List the accounts you may see")
    def listed() -> Response[str]:
        seen = service.listed(gateway_time(api), principal())
        found: AccountsDocument = {"accounts": [configuration_view(account) for account in seen]}
        return _answer(HTTPStatus.OK, found)

    @api.get("/accounts/<account>/readiness", summary="Show whether an account may trade live")
    def ready(account: str) -> Response[str]:
        who = principal()
        return _answer(HTTPStatus.OK, readiness_view(service.readiness_report(_named(account), gateway_time(api), who)))

    @api.get("/accounts/<account>/access", summary="List who has a role on an account")
    def access(account: str) -> Response[str]:
        who = principal()
        return _answer(HTTPStatus.OK, _access_view(account, service.access(_named(account), gateway_time(api), who)))

    @api.post("/accounts/<account>/grant", summary="Give somebody a role")
    def grant(account: str) -> Response[str]:
        return changed(GrantAccess, account)

    @api.post("/accounts/<account>/revoke", summary="Take a role away")
    def revoke(account: str) -> Response[str]:
        return changed(RevokeAccess, account)

    @api.get("/accounts/<account>", summary="Show an account")
    def show_account(account: str) -> Response[str]:
        who = principal()
        return _answer(HTTPStatus.OK, account_view(service.query(_named(account), gateway_time(api), who)))

    def invalid(error: ValidationError) -> Response[str]:
        return refused(InvalidRequestError(invalid_values(error)))

    def refused(error: SignalboxError) -> Response[str]:
        problem = trading_problem(error, occurrence(api))
        return _answer(HTTPStatus(problem.status or 500), problem.to_json(), MEDIA_TYPE)

    for kind in dict.fromkeys(kind for one in PROBLEM_TYPES for kind in one.errors):
        api.exception_handler(kind)(refused)
    api.exception_handler(ValidationError)(invalid)

    @api.not_found
    def nowhere(_error: Exception) -> Response[str]:
        return refused(NoRouteError(f"no route {api.current_event.http_method} {api.current_event.raw_path}"))

    return api


def _contradiction(key: str) -> InvalidRequestError:
    """Return the error for a request that gives one value in two places differently: nobody guesses which one was meant."""
    words = f"expected the same {key} wherever the request gives it, but path, query and body differ"
    return InvalidRequestError((InvalidValue(pointer=pointer_to(key), detail=words),))


def _one(*places: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values from all places of a request. Raises InvalidRequestError if two places differ."""
    found: dict[str, Any] = {}
    for place in places:
        for key, value in place.items():
            if found.setdefault(key, value) != value:
                raise _contradiction(key)
    return found


def _named(account: str) -> str:
    """Return the account name in a path. Raises AccountNameError, so that a misspelt name does not pass for a missing account."""
    try:
        return _NAME.validate_python(account)
    except ValidationError:
        raise AccountNameError(f"expected 1 to 40 of a-z, 0-9 and '-', not beginning with '-', got {account!r}") from None


def _body(api: APIGatewayHttpResolver) -> dict[str, Any]:
    text = body_text(api)
    if not text:
        return {}
    return parse_object(text, max_bytes=MAX_BODY, numbers=str)  # numbers stay text, because a float would round amounts


def _query(api: APIGatewayHttpResolver) -> dict[str, str]:
    return dict(api.current_event.query_string_parameters or {})


def _access_view(account: str, found: tuple[Access, ...]) -> AccessDocument:
    rows: list[RoleDocument] = [
        {"principal": one.principal, "role": one.role, "who": one.who, "at": one.at.isoformat()} for one in found
    ]
    return {"account": account, "access": rows}


def _ordered(handled: AccountOutcome) -> OrderAnswerDocument:
    found = None if handled.order is None else order_view(handled.order)
    return {"account": handled.account.account, "order": found}


def _answer(status: HTTPStatus, body: Mapping[str, Any], content_type: str = content_types.APPLICATION_JSON) -> Response[str]:
    return Response(status_code=int(status), content_type=content_type, body=json.dumps(body))
