"""The HTTP problem for each error of the trading service: type, title, status and remedy, each written once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from signalbox.adapters.aws.problem_types import NO_ROUTE, UNREADABLE, UNSIGNED, InvalidRequestError, ProblemType, problem_for
from signalbox.errors import SignalboxError
from signalbox.orders.errors import OrderError
from signalbox.problems import InvalidValue, Problem
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

PROBLEM_TYPES: Final = (
    UNREADABLE,
    UNSIGNED,
    ProblemType(
        "access-refused",
        "The caller lacks the role",
        HTTPStatus.FORBIDDEN,
        "An owner grants it: signalbox accounts access grant.",
        (AccessRefusedError,),
    ),
    NO_ROUTE,
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


def trading_problem(error: SignalboxError, instance: str) -> Problem:
    """Return the API's answer to an error. Raises LookupError if no type covers it."""
    values = (InvalidValue(pointer="#/account", detail=str(error)),) if isinstance(error, AccountNameError) else ()
    return problem_for(error, instance, PROBLEM_TYPES, values)
