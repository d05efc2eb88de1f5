"""What nearly every parsed value of the library is: it never changes, and it has no field that nobody declared."""

from __future__ import annotations

import json.encoder
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Generic, Self, TypeVar, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import override

T = TypeVar("T")


class made_once(Generic[T]):  # noqa: N801 - used like property
    """A property of a value that never changes: made when it is first asked for, and kept in the value's dictionary.

    A value with it equals one without, has the same hash, and is written down alike: pydantic looks at fields alone.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._name, self.__doc__ = make, make.__name__, make.__doc__

    @overload
    def __get__(self, value: None, owner: type) -> Self: ...

    @overload
    def __get__(self, value: object, owner: type) -> T: ...

    def __get__(self, value: object | None, owner: type) -> Self | T:
        if value is None:
            return self
        made = value.__dict__[self._name] = self._make(value)
        return made


quoted: Final = json.encoder.encode_basestring  # a text as JSON, as pydantic writes it
quoted_ascii: Final = json.encoder.encode_basestring_ascii  # the same as json.dumps writes it
_OF_INSTANT: Final = TypeAdapter(datetime)


def instant_text(instant: datetime) -> str:
    """Return an instant as pydantic writes it."""
    if instant.tzinfo is UTC or not instant.utcoffset():
        return _utc_text(instant)
    text: str = _OF_INSTANT.dump_python(instant, mode="json")
    return text


@lru_cache(maxsize=4096)  # one batch has few instants, each in many texts; equal ones in UTC have one text
def _utc_text(instant: datetime) -> str:
    return f"{instant.replace(tzinfo=None).isoformat()}Z"


class FrozenModel(BaseModel):
    """An immutable model; an unknown field is an error, since a misspelt limit or price must not pass for an absent one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(made_once,))

    @classmethod
    def trusted(cls, **facts: Any) -> Self:
        """Return the model that validating these facts would make, without looking at them: every field of it or its default.

        For values that this library made itself, of their right types and within their bounds. Never for what came from outside.
        """
        made = cls.__new__(cls)
        _set(made, "__dict__", _defaults(cls) | facts)  # in the order of the fields, as they are written down
        _set_fields(made, set(facts))
        _set_extra(made, None)
        _set_private(made, None)
        return made

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        facts, fields = copied.__dict__, type(copied).__pydantic_fields__
        for name in [name for name in facts if name not in fields]:  # what was made of the facts before
            del facts[name]
        return copied


_set: Final = object.__setattr__
_set_fields: Final = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra: Final = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private: Final = BaseModel.__dict__["__pydantic_private__"].__set__


@lru_cache(maxsize=256)
def _defaults(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items()}
