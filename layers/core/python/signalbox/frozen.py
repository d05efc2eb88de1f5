"""What nearly every parsed value of the library is: it never changes, and it has no field that nobody declared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable model; an unknown field is an error, since a misspelt limit or price must not pass for an absent one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
