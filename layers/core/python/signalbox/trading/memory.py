"""What the protections remember of an account: the exits and the equity peaks of their windows. Stored as JSON text.

The peaks are the points that can still be the highest of a window: equities fall along the tuple, so it stays short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from signalbox.risk.protections import EquityPoint, Exit


@dataclass(frozen=True, slots=True)
class ProtectionMemory:
    """Exits oldest first, and equity points of falling equity, oldest first."""

    exits: tuple[Exit, ...] = ()
    peaks: tuple[EquityPoint, ...] = ()

    def to_text(self) -> str:
        """Return it as it is stored; every number as exact decimal text."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_text(cls, text: str) -> ProtectionMemory:
        """Return what `to_text` wrote. Raises pydantic.ValidationError."""
        return _ADAPTER.validate_json(text)


_ADAPTER: Final = TypeAdapter(ProtectionMemory)
