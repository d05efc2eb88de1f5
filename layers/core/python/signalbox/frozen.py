"""What nearly every parsed value of the library is: it never changes, and it has no field that nobody declared."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable model; an unknown field is an error, since a misspelt limit or price must not pass for an absent one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def trusted(cls, **facts: Any) -> Self:
        """Return the model that validating these facts would make, without looking at them: every field of it or its default.

        For values that this library made itself, of their right types and within their bounds. Never for what came from outside.
        """
        made = cls.__new__(cls)
        _set(made, "__dict__", _defaults(cls) | facts)  # in the order of the fields, as they are written down
        _set(made, "__pydantic_fields_set__", set(facts))
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made


_set: Final = object.__setattr__


@lru_cache(maxsize=256)
def _defaults(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items()}
