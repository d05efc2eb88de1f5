"""Errors for other programs: RFC 9457 problem details, in HTTP answers and in the `--json` output of commands.

`type` identifies the kind of problem and never changes. `title` is the same for every problem of a type; `detail` is about this
one. `errors` locates each wrong value with a JSON Pointer (RFC 6901, as a URI fragment) into the request: the body together with
the values from path and query. `remedy` says what to do next. `instance` identifies this occurrence in the logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from signalbox.errors import SignalboxError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:signalbox:problem:"
_MEMBER: Final = re.compile(r"<\w+\.\w+: ('[^']*'|-?\d+)>")  # of an Enum, as pydantic shows it: the value is enough
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Document(BaseModel):
    """Base model that ignores members it does not know (RFC 9457, section 3.2), so that a newer writer may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class InvalidValue(_Document):
    """One wrong value of a request. pointer: where it is, such as `#/configuration/capital`; detail: what is wrong with it."""

    pointer: str
    detail: str


class Problem(_Document):
    """A problem details object. `status` is the HTTP status; it is None for a command that talked to no server."""

    type: str = Field(examples=[f"{TYPE_PREFIX}account-not-found"])
    title: str
    status: int | None = None
    detail: str
    instance: str | None = None
    errors: tuple[InvalidValue, ...] = ()
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the members that are set, as JSON-ready values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def type_named(name: str) -> str:
    """Return the URI of a problem type."""
    return f"{TYPE_PREFIX}{name}"


def pointer_to(*places: str | int) -> str:
    """Return a JSON Pointer as a URI fragment. Without places it points to the whole document."""
    return "#" + "".join("/" + str(place).replace("~", "~0").replace("/", "~1") for place in places)


def problem_of(error: SignalboxError) -> Problem:
    """Return one of our errors as a problem. The class gives the type, the first line of its docstring the title."""
    kind = type(error)
    name = _WORD.sub("-", kind.__name__.removesuffix("Error")).lower()
    title = (kind.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Problem(type=type_named(name), title=title, detail=str(error))


def read_problem(document: Any) -> Problem | None:
    """Return the problem in a server's answer, or None if the answer is not a problem document."""
    try:
        return Problem.model_validate(document)
    except ValidationError:
        return None


def invalid_values(error: ValidationError, *, skip: int = 0) -> tuple[InvalidValue, ...]:
    """Return the invalid values that pydantic found. skip: how many leading parts of their places are not in the request."""
    return tuple(InvalidValue(pointer=pointer_to(*one["loc"][skip:]), detail=wrong_in_words(one)) for one in error.errors())


def wrong_in_words(found: ErrorDetails) -> str:
    """Return what is wrong with one value. A text of the wrong length is counted in characters, whatever checked it."""
    value, bounds = found["input"], found.get("ctx", {})
    if isinstance(value, str) and found["type"] in {"too_short", "string_too_short"}:
        return f"expected at least {bounds['min_length']} characters, got {len(value)}"
    if isinstance(value, str) and found["type"] in {"too_long", "string_too_long"}:
        return f"expected at most {bounds['max_length']} characters, got {len(value)}"
    return _MEMBER.sub(r"\1", found["msg"])


def in_words(values: Iterable[InvalidValue]) -> str:
    """Return wrong values as one line for people, each named in the form `configuration.capital`."""
    return "; ".join(f"{_place(one.pointer)}: {one.detail}" for one in values)


def _place(pointer: str) -> str:
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]) or "body"
