"""The HTTP problem for each error of the trading service: type, title, status and remedy, each written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from signalbox.adapters.aws.callers import UnsignedError
from signalbox.errors import SignalboxError
from signalbox.orders.errors import OrderError
from signalbox.problems import InvalidValue, Problem, in_words, type_named
from signalbox.trading.errors import (
    AccessRefusedError,
    AccountDiffersError,
    AccountError,
    AccountNameError,
    AccountUnreadableError,
    CommandError,
    OrderUnknownError,
    RowRefusedError,
    UnpricedError,
)
from signalbox.wire import WireError


class InvalidRequestError(SignalboxError):
    """A request has invalid values. Each is reported with its place."""

    def __init__(self, values: tuple[InvalidValue, ...]) -> None:
        super().__init__(in_words(values))
        self.values = values


class NoRouteError(SignalboxError):
    """The API has no such path or method."""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type of problem. errors: the error classes that it is used for; if two types fit an error, the first is used."""

    name: str
    title: str
    status: HTTPStatus
    remedy: str | None
    errors: tuple[type[SignalboxError], ...]

    @property
    def uri(self) -> str:
        """The URI for the member `type`."""
        return type_named(self.name)


PROBLEM_TYPES: Final = (
    ProblemType(
        "unreadable",
        "The body cannot be read",
        HTTPStatus.BAD_REQUEST,
        "Send one JSON object within the limits of decision 0005.",
        (WireError,),
    ),
    ProblemType(
        "unsigned",
        "The request has no IAM identity",
        HTTPStatus.FORBIDDEN,
        "Sign it with SigV4 for the service execute-api.",
        (UnsignedError,),
    ),
    ProblemType(
        "access-refused",
        "The caller lacks the role",
        HTTPStatus.FORBIDDEN,
        "An owner grants it: signalbox accounts access grant.",
        (AccessRefusedError,),
    ),
    ProblemType("no-route", "No such route", HTTPStatus.NOT_FOUND, None, (NoRouteError,)),
    ProblemType(
        "invalid-request",
        "The request has invalid values",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Correct each value in errors and send it again.",
        (InvalidRequestError, AccountNameError),
    ),
    ProblemType(
        "row-refused",
        "The ledger cannot store the request",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Send other values; the same ones are refused again.",
        (RowRefusedError,),
    ),
    ProblemType(
        "account-differs",
        "The account exists with another configuration",
        HTTPStatus.CONFLICT,
        "Use the existing account as it is, or open one under another name.",
        (AccountDiffersError,),
    ),
    ProblemType(
        "account-unpriced",
        "An open position has no price yet",
        HTTPStatus.CONFLICT,
        "Send it again after the symbol's next bar.",
        (UnpricedError,),
    ),
    ProblemType(
        "account-unreadable",
        "The account's row in the ledger cannot be read",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Deploy the version that wrote the row, or correct the row (docs/runbooks/alarms.md).",
        (AccountUnreadableError,),
    ),
    ProblemType(
        "account-not-found",
        "No such account",
        HTTPStatus.NOT_FOUND,
        "List what you may see with GET /accounts, or open it with PUT /accounts/{account}.",
        (AccountError,),
    ),
    ProblemType(
        "order-not-found",
        "The account has no such order",
        HTTPStatus.NOT_FOUND,
        "Show the account's orders with GET /accounts/{account}.",
        (OrderUnknownError,),
    ),
    ProblemType(
        "command-refused", "The command does not fit the account's state or the clock", HTTPStatus.CONFLICT, None, (CommandError,)
    ),
    ProblemType("order-refused", "The order cannot take this command", HTTPStatus.CONFLICT, None, (OrderError,)),
)


def problem_for(error: SignalboxError, instance: str, types: Sequence[ProblemType] = PROBLEM_TYPES) -> Problem:
    """Return an API's answer to an error. types: the API's own. Raises LookupError if none of them covers the error."""
    kind = next((one for one in types if isinstance(error, one.errors)), None)
    if kind is None:
        raise LookupError(f"no problem type covers {type(error).__name__}; add it to the API's list")
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=int(kind.status),
        detail=str(error),
        instance=instance,
        errors=_values(error),
        remedy=kind.remedy,
    )


def _values(error: SignalboxError) -> tuple[InvalidValue, ...]:
    if isinstance(error, InvalidRequestError):
        return error.values
    if isinstance(error, AccountNameError):
        return (InvalidValue(pointer="#/account", detail=str(error)),)
    return ()
