"""How the ledger seals what it asks of venues, and for how long a seal is good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from signalbox.contracts import SIGNED_REPORTS, SIGNED_REQUESTS
from signalbox.events import BusEvent
from signalbox.signing import SigningKey, sealed

REQUEST_LIFE: Final = timedelta(hours=1)  # of a request's seal; longer than its queue tries it, and than a bus that is away
MAY_ASK: Final = frozenset(SIGNED_REQUESTS)
MAY_REPORT: Final = frozenset(SIGNED_REPORTS)


class RequestSealer:
    """Seals requests with the ledger's key.

    key: gives the current one, or raises KeyUnavailableError, and then what asks of a venue is not committed but comes again.
    clock: the world's, since an executor judges the end by it; the instants of a request may be those of a bar long closed.
    """

    def __init__(self, key: Callable[[], SigningKey], clock: Callable[[], datetime]) -> None:
        self._key, self._clock = key, clock

    def detail(self, event: BusEvent, sequence: int) -> str:
        """Return the JSON text of a request, sealed as the account's `sequence`-th."""
        end = self._clock() + REQUEST_LIFE
        return sealed(event.type.value, event.to_detail(), self._key(), sequence=sequence, expires_at=end)
