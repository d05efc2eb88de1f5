"""Faults that a test or an operator requests: which fault, for whom, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar


class VenueFault(StrEnum):
    """Faults of the exchange: what it does instead of answering correctly."""

    SERVER_ERROR = "SERVER_ERROR"  # 500
    RATE_LIMITED = "RATE_LIMITED"  # 429
    TIMEOUT = "TIMEOUT"  # never answers
    UNSORTED = "UNSORTED"  # rows in a scrambled order
    DUPLICATE = "DUPLICATE"  # every row twice
    OVERLAPPING = "OVERLAPPING"  # rows from before the requested window, with other prices
    NEGATIVE = "NEGATIVE"  # the newest row has a negative low
    NAN = "NAN"  # the newest row has a NaN close
    FUTURE = "FUTURE"  # rows of bars that have not begun
    UNFINISHED = "UNFINISHED"  # the bar that is still open, as the real exchange may return it
    EMPTY = "EMPTY"  # []
    MALFORMED = "MALFORMED"  # a page of HTML
    DROPPED = "DROPPED"  # the minutes in [since, until) are missing


class MessengerFault(StrEnum):
    """Faults of Telegram: what it does instead of accepting a message."""

    RATE_LIMITED = "RATE_LIMITED"  # 429 with parameters.retry_after
    FORBIDDEN = "FORBIDDEN"  # 403, the bot was blocked
    KICKED = "KICKED"  # 403, the bot is no longer in the group
    DEACTIVATED = "DEACTIVATED"  # 403, the user's account is gone
    SERVER_ERROR = "SERVER_ERROR"  # 500
    TIMEOUT = "TIMEOUT"  # never answers
    TIMEOUT_AFTER = "TIMEOUT_AFTER"  # accepted, never answered
    BAD_GATEWAY_AFTER = "BAD_GATEWAY_AFTER"  # accepted, then a 502 of the gateway in HTML
    PHOTO_REFUSED = "PHOTO_REFUSED"  # 400 for a photo, nothing for a text


class TradingFault(StrEnum):
    """Faults of trading: what the exchange does instead of executing an instruction and confirming it."""

    SERVER_ERROR = "SERVER_ERROR"  # 500, nothing done
    SERVER_ERROR_AFTER = "SERVER_ERROR_AFTER"  # done, then 500
    LOST_ACKNOWLEDGEMENT = "LOST_ACKNOWLEDGEMENT"  # done, then the connection is closed without an answer
    TIMEOUT_AFTER = "TIMEOUT_AFTER"  # done, never answered
    DROPPED = "DROPPED"  # the connection is closed, nothing done
    RATE_LIMITED = "RATE_LIMITED"  # 429 with Retry-After, nothing done
    MALFORMED_AFTER = "MALFORMED_AFTER"  # done, then a page of HTML


Kind = TypeVar("Kind", VenueFault, MessengerFault, TradingFault)


@dataclass(slots=True, eq=False)
class Fault(Generic[Kind]):
    """One fault. scope: a symbol or chat id, None for all. times: how many requests it hits, None until it is removed."""

    kind: Kind
    scope: str | None = None
    times: int | None = None
    since: datetime | None = None  # DROPPED: first missing minute
    until: datetime | None = None  # DROPPED: first minute that is present again
    retry_after: int = 1  # seconds
    hits: int = field(default=0, init=False)


class Faults(Generic[Kind]):
    """The active faults."""

    def __init__(self) -> None:
        self._faults: list[Fault[Kind]] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault[Kind]) -> Fault[Kind]:
        """Activate a fault. Pass the same object to `remove` to end it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault[Kind]) -> None:
        """End a fault. Does nothing if it has already ended."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, scope: str) -> tuple[Fault[Kind], ...]:
        """Return the faults that apply to this request, oldest first, and count the hit."""
        with self._lock:
            hit = tuple(f for f in self._faults if f.scope in {None, scope})
            for fault in hit:
                fault.hits += 1
                if fault.times is not None and fault.hits >= fault.times:
                    self._faults.remove(fault)
            return hit
