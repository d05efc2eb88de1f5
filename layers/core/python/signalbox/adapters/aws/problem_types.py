"""How an error becomes an API's answer: a type of problem, and those that every HTTP API has. Each API lists its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from signalbox.adapters.aws.callers import UnsignedError
from signalbox.errors import SignalboxError
from signalbox.problems import InvalidValue, Problem, in_words, type_named
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


UNREADABLE: Final = ProblemType(
    "unreadable",
    "The body cannot be read",
    HTTPStatus.BAD_REQUEST,
    "Send one JSON object within the limits of decision 0005.",
    (WireError,),
)
UNSIGNED: Final = ProblemType(
    "unsigned",
    "The request has no IAM identity",
    HTTPStatus.FORBIDDEN,
    "Sign it with SigV4 for the service execute-api.",
    (UnsignedError,),
)
NO_ROUTE: Final = ProblemType("no-route", "No such route", HTTPStatus.NOT_FOUND, None, (NoRouteError,))


def problem_for(
    error: SignalboxError, instance: str, types: Sequence[ProblemType], values: tuple[InvalidValue, ...] = ()
) -> Problem:
    """Return an API's answer to an error. types: the API's own. Raises LookupError if none of them covers the error.

    values: the invalid ones, of an error that does not say them itself.
    """
    kind = next((one for one in types if isinstance(error, one.errors)), None)
    if kind is None:
        raise LookupError(f"no problem type covers {type(error).__name__}; add it to the API's list")
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=int(kind.status),
        detail=str(error),
        instance=instance,
        errors=error.values if isinstance(error, InvalidRequestError) else values,
        remedy=kind.remedy,
    )
