"""The history of an account that the protections need: recent exits and equity peaks. Stored as JSON text.

Only equity points that can still become the highest of a window are kept: equity falls along the tuple, so it stays short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from signalbox.risk.protections import EquityPoint, Exit


@dataclass(frozen=True, slots=True)
class ProtectionMemory:
    """Recent exits, and equity points that are each higher than all later ones; both oldest first."""

    exits: tuple[Exit, ...] = ()
    peaks: tuple[EquityPoint, ...] = ()

    def to_text(self) -> str:
        """Return the JSON text to store, with every number as exact decimal text."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_text(cls, text: str) -> ProtectionMemory:
        """Return the object that `to_text` wrote. Raises pydantic.ValidationError."""
        return _ADAPTER.validate_json(text)


_ADAPTER: Final = TypeAdapter(ProtectionMemory)
