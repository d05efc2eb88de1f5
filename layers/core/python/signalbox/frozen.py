"""Base of nearly all parsed values in the library: immutable models that refuse undeclared fields."""

from __future__ import annotations

import json.encoder
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Generic, Self, TypeVar, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import override

T = TypeVar("T")


class made_once(Generic[T]):  # noqa: N801 - used like property
    """A cached property of an immutable value: computed on first use and kept in the value's `__dict__`.

    It does not affect equality, the hash or serialisation, because pydantic looks at fields alone.
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


class Changing:
    """Base of frozen dataclasses that have no slots and check nothing when they are made."""

    def after(self, **facts: Any) -> Self:
        """Return the value with these fields changed: `dataclasses.replace`, at a fraction of its cost.

        Raises TypeError for a name that is no field.
        """
        before = self.__dict__
        after = before | facts
        if len(after) != len(before):
            raise TypeError(f"{type(self).__name__}: no such field: {', '.join(facts.keys() - before.keys())}")
        changed = object.__new__(type(self))
        _set(changed, "__dict__", after)
        return changed


quoted: Final = json.encoder.encode_basestring  # encodes a text as JSON in the way pydantic does
quoted_ascii: Final = json.encoder.encode_basestring_ascii  # encodes a text in the way json.dumps does
_OF_INSTANT: Final = TypeAdapter(datetime)


def instant_text(instant: datetime) -> str:
    """Return an instant as text in the way pydantic writes it."""
    if instant.tzinfo is UTC or not instant.utcoffset():
        return _utc_text(instant)
    text: str = _OF_INSTANT.dump_python(instant, mode="json")
    return text


@lru_cache(maxsize=4096)  # a batch has few distinct instants, each in many texts; equal UTC instants have one text
def _utc_text(instant: datetime) -> str:
    return f"{instant.replace(tzinfo=None).isoformat()}Z"


class FrozenModel(BaseModel):
    """An immutable model. An unknown field is an error: a misspelt limit or price must not pass for a missing one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(made_once,))

    @classmethod
    def trusted(cls, **facts: Any) -> Self:
        """Return the model with these facts and the defaults of the other fields, without validation.

        Only for values that this library made itself, of the right types and within their bounds. Never for outside input.
        """
        made = cls.__new__(cls)
        _set(made, "__dict__", _defaults(cls) | facts)  # in field order, which is the order of serialisation
        _set_fields(made, set(facts))
        _set_extra(made, None)
        _set_private(made, None)
        return made

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return the model with these fields changed, without validation. Raises TypeError for a name that is no field."""
        mine, changed, fields = self.__dict__, update or {}, type(self).__pydantic_fields__
        if not changed.keys() <= fields.keys():
            raise TypeError(f"{type(self).__name__}: no such field: {', '.join(sorted(changed.keys() - fields.keys()))}")
        made = type(self).__new__(type(self))
        facts = {name: mine[name] for name in fields}  # without cached properties: they are of `mine`
        facts = {**(deepcopy(facts) if deep else facts), **changed}
        _set(made, "__dict__", facts)
        _set_fields(made, self.__pydantic_fields_set__ | changed.keys())
        _set_extra(made, None)
        _set_private(made, None)
        return made


_set: Final = object.__setattr__
_set_fields: Final = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra: Final = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private: Final = BaseModel.__dict__["__pydantic_private__"].__set__


@lru_cache(maxsize=256)
def _defaults(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items()}
