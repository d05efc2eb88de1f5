"""What the cycle needs from the outside, owned by the cycle. Implementations: adapters.postgres, and a memory twin in tests/.

Promises that the contract suite checks on every implementation (tests/integration/test_ledger_contract.py):
nothing is visible before the block ends without an error; an error undoes all of it; every `add_*` is idempotent by
natural key; `lock_cycle` serialises the transactions of one venue's cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from signalbox.errors import SignalboxError
from signalbox.events import Event
from signalbox.market.candles import Bars, Candle, Symbol
from signalbox.signals.model import DeployedModel
from signalbox.signals.rate_limit import Issued
from signalbox.signals.signal import Signal


@dataclass(frozen=True, slots=True)
class CandleWrites:
    """What happened to candles that were offered to the ledger."""

    inserted: int
    unchanged: int
    conflicting: tuple[Candle, ...]  # same key, other numbers, not announced later than those that are there, which stay
    revised: tuple[Candle, ...] = ()  # same key, other numbers, announced later: they replaced those that were there


class CycleState(StrEnum):
    """Where a cycle stands after one of its parts was recorded."""

    WAITING = "WAITING"  # other parts are still to come
    READY = "READY"  # all parts are here and nobody decided yet
    DECIDED = "DECIDED"  # decided before: this delivery is a duplicate


@dataclass(frozen=True, slots=True)
class SymbolStatus:
    """Whether a symbol could be decided at its last decided cycle; `stale_since` is None while it is healthy."""

    symbol: Symbol
    stale_since: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class SymbolRefusal:
    """One symbol that got no signal in one cycle, and why; key (venue, cycle_at, symbol)."""

    symbol: Symbol
    cycle_at: datetime
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event that is committed and perhaps not yet published."""

    sequence: int
    event_id: str
    event_type: str
    detail: str  # JSON text
    created_at: datetime  # the scheduled instant it belongs to


class LedgerTransaction(Protocol):
    """The writes and reads of one unit of work."""

    def lock_cycle(self, venue: str) -> None:
        """Wait for other transactions that decide cycles of this venue."""

    def record_part(self, venue: str, cycle_at: datetime, part: int, parts: int) -> CycleState:
        """Record one part (again changes nothing) and return where the cycle stands."""

    def newest_decided_cycle(self, venue: str) -> datetime | None:
        """Return the newest decided cycle."""

    def mark_decided(self, venue: str, cycle_at: datetime) -> None:
        """Record that the cycle was decided."""

    def add_candles(self, venue: str, candles: Sequence[Candle], announced_at: datetime | None = None) -> CandleWrites:
        """Insert what is new, and replace what the venue revised.

        announced_at: the cycle whose collection brought them. Numbers that an earlier cycle brought are replaced and kept as a
        revision; those of the same or a later cycle stay, and without an instant everything does.
        """

    def bars(self, venue: str, symbol: Symbol, until: datetime, count: int) -> Bars:
        """Return the newest `count` bars with close_time <= until, oldest first."""

    def close_price(self, venue: str, symbol: Symbol, open_time: datetime) -> Decimal | None:
        """Return the exact close of one bar, or None when it is absent."""

    def add_signal(self, signal: Signal) -> bool:
        """Insert a signal; False when its key exists."""

    def issued_signals(self, deployment: str, since: datetime, until: datetime) -> Sequence[Issued]:
        """Return what a deployment issued with since < decided_at <= until, oldest first, by symbol."""

    def add_deployed_model(self, model: DeployedModel, decided_at: datetime) -> bool:
        """Record which model decided, with its gates; False when it did before (same deployment, stage, bundle and gates)."""

    def add_refusal(self, venue: str, refusal: SymbolRefusal) -> bool:
        """Record a refused symbol; False when its key exists."""

    def symbol_status(self, symbol: Symbol) -> SymbolStatus:
        """Return the last known status; healthy when never seen."""

    def set_symbol_status(self, status: SymbolStatus) -> None:
        """Replace the status of a symbol."""

    def add_event(self, event: Event, at: datetime) -> bool:
        """Put an event into the outbox; False when its event_id exists."""


class Ledger(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Commit when the block ends, roll back when it raises."""


class PartlyPublishedError(SignalboxError):
    """The bus took some of the events and not the others; `published` are those it took."""

    def __init__(self, message: str, published: Sequence[OutboxEvent]) -> None:
        super().__init__(message)
        self.published = tuple(published)


class Outbox(Protocol):
    """Committed events on their way to the bus."""

    def put(self, event: Event, at: datetime) -> bool:
        """Put an event in that belongs to no other unit of work, and commit it; False when its event_id exists."""

    def claim(self, limit: int, after: int = 0) -> AbstractContextManager[Sequence[OutboxEvent]]:
        """Yield unpublished events in order, hidden from other claimers; leaving the block normally marks them published.

        after: the sequence behind which it begins, so that what the bus refuses keeps nothing behind it back. An event that is
        larger than the bus takes (limits.MAX_EVENT_BYTES) is never yielded. Leaving the block with PartlyPublishedError marks
        those it names, and raises it once they are.
        """

    def too_large(self) -> Sequence[str]:
        """Return the event_ids of unpublished events that are larger than the bus takes, the first ten of them."""

    def oldest_unpublished(self) -> datetime | None:
        """Return `created_at` of the oldest event still to publish."""


class EventPublisher(Protocol):
    """The bus."""

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Publish all of them, or raise PartlyPublishedError once each was tried: one that the bus refuses keeps no other back.

        Publishing twice is harmless because consumers know the event_id.
        """
