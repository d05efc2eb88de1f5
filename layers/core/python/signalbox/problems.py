"""Errors as other programs read them: RFC 9457 problem details, over HTTP and in the `--json` output of commands.

`type` identifies the kind of problem and never changes, `title` is the same for every problem of a type, `detail` is about this
one. `errors` names each wrong value by a JSON Pointer (RFC 6901, as a URI fragment) into the request: the body together with what
path and query add to it. `remedy` says what to do next. `instance` identifies this occurrence in the logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalbox.errors import SignalboxError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:signalbox:problem:"
_MEMBER: Final = re.compile(r"<\w+\.\w+: ('[^']*'|-?\d+)>")  # of an Enum, as pydantic shows it: the value is enough
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Document(BaseModel):
    """A reader skips members that it does not know (RFC 9457, section 3.2), so that the writer may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class InvalidValue(_Document):
    """One wrong value of a request: where it is, as `#/configuration/capital`, and what is wrong with it."""

    pointer: str
    detail: str


class Problem(_Document):
    """A problem details object. `status` is the HTTP status; a command that talked to no server has none."""

    type: str = Field(examples=[f"{TYPE_PREFIX}account-not-found"])
    title: str
    status: int | None = None
    detail: str
    instance: str | None = None
    errors: tuple[InvalidValue, ...] = ()
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the members that it has."""
        return self.model_dump(mode="json", exclude_defaults=True)


def type_named(name: str) -> str:
    """Return the URI of a type of problem."""
    return f"{TYPE_PREFIX}{name}"


def pointer_to(*places: str | int) -> str:
    """Return a JSON Pointer as a URI fragment; without places, to the whole document."""
    return "#" + "".join("/" + str(place).replace("~", "~0").replace("/", "~1") for place in places)


def problem_of(error: SignalboxError) -> Problem:
    """Return an error of this project as a problem: its class is the type, and the first line of its docstring the title."""
    kind = type(error)
    name = _WORD.sub("-", kind.__name__.removesuffix("Error")).lower()
    title = (kind.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Problem(type=type_named(name), title=title, detail=str(error))


def read_problem(document: Any) -> Problem | None:
    """Return the problem that a server answered with, or None if it is none."""
    try:
        return Problem.model_validate(document)
    except ValidationError:
        return None


def invalid_values(error: ValidationError, *, skip: int = 0) -> tuple[InvalidValue, ...]:
    """Return what pydantic found wrong. skip: leading places that are not of the request, as the tag of a union."""
    return tuple(
        InvalidValue(pointer=pointer_to(*one["loc"][skip:]), detail=_MEMBER.sub(r"\1", one["msg"])) for one in error.errors()
    )


def in_words(values: Iterable[InvalidValue]) -> str:
    """Return wrong values as one line for people, each named as `configuration.capital`."""
    return "; ".join(f"{_place(one.pointer)}: {one.detail}" for one in values)


def _place(pointer: str) -> str:
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]) or "body"
