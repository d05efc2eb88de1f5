"""Ports of the cycle. Implementations: adapters.postgres, and an in-memory twin in tests/.

The contract suite checks these promises on every implementation (tests/integration/test_ledger_contract.py): nothing is visible
before the block ends without an error; an error undoes everything; every `add_*` is idempotent by natural key; `lock_cycle`
serialises the transactions of one venue's cycles.
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
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier


@dataclass(frozen=True, slots=True)
class CandleWrites:
    """The result of offering candles to the ledger."""

    inserted: int
    unchanged: int
    conflicting: tuple[Candle, ...]  # the same key with other numbers; the stored candle was kept
    revised: tuple[Candle, ...] = ()  # the same key with other numbers, announced later: it replaced the stored candle

    def __add__(self, other: CandleWrites) -> CandleWrites:
        """Return the results of both."""
        return CandleWrites(
            self.inserted + other.inserted,
            self.unchanged + other.unchanged,
            self.conflicting + other.conflicting,
            self.revised + other.revised,
        )


class CycleState(StrEnum):
    """State of a cycle after one of its parts was recorded."""

    WAITING = "WAITING"  # other parts are missing
    READY = "READY"  # all parts are recorded and the cycle is not decided
    DECIDED = "DECIDED"  # decided before, so this delivery is a duplicate


@dataclass(frozen=True, slots=True)
class SymbolStatus:
    """Whether a symbol could be decided at its last decided cycle. stale_since: None if it could."""

    symbol: Symbol
    stale_since: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class SymbolRefusal:
    """A symbol that got no signal in a cycle, and the reason. Its key is (venue, cycle_at, symbol)."""

    symbol: Symbol
    cycle_at: datetime
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A committed event that may not be published yet."""

    sequence: int
    event_id: str
    event_type: str
    detail: str  # JSON text
    created_at: datetime  # the scheduled instant that it belongs to


@dataclass(frozen=True, slots=True)
class IssuedSignal:
    """The part of an issued signal that decides its outcome."""

    symbol: Symbol
    decided_at: datetime
    stage: DeploymentStage
    direction: Direction
    tier: Tier
    price: Decimal
    market: str | None = None  # as Signal.market


class LedgerTransaction(Protocol):
    """Reads and writes within one unit of work."""

    def lock_cycle(self, venue: str) -> None:
        """Lock the venue's cycles, waiting for other transactions that decide one."""

    def record_part(self, venue: str, cycle_at: datetime, part: int, parts: int) -> CycleState:
        """Record one part and return the state of the cycle. Recording the part again changes nothing."""

    def newest_decided_cycle(self, venue: str) -> datetime | None:
        """Return the time of the newest decided cycle, or None."""

    def mark_decided(self, venue: str, cycle_at: datetime) -> None:
        """Record that the cycle was decided."""

    def add_candles(self, venue: str, candles: Sequence[Candle], announced_at: datetime | None = None) -> CandleWrites:
        """Insert new candles and replace those that the venue revised.

        announced_at: the cycle that fetched these candles. A stored candle of an earlier cycle is replaced and kept as a
        revision; one of the same or a later cycle stays. Without `announced_at` no stored candle is changed.
        """

    def bars(self, venue: str, symbol: Symbol, until: datetime, count: int) -> Bars:
        """Return the newest `count` bars with close_time <= until, oldest first."""

    def close_price(self, venue: str, symbol: Symbol, open_time: datetime) -> Decimal | None:
        """Return the exact close of one bar, or None if there is no such bar."""

    def add_signal(self, signal: Signal) -> bool:
        """Insert a signal; return False if its key exists."""

    def issued_signals(self, deployment: str, since: datetime, until: datetime) -> Sequence[Issued]:
        """Return the signals that a deployment issued with since < decided_at <= until, oldest first, then by symbol."""

    def signals_to_resolve(self, deployment: str, since: datetime, until: datetime) -> Sequence[IssuedSignal]:
        """Return those `issued_signals` that were not issued late, in the same order."""

    def add_deployed_model(self, model: DeployedModel, decided_at: datetime) -> bool:
        """Record which model decided, and its gates; return False if the same (deployment, stage, bundle, gates) is recorded."""

    def add_refusal(self, venue: str, refusal: SymbolRefusal) -> bool:
        """Record a refused symbol; return False if its key exists."""

    def symbol_status(self, symbol: Symbol) -> SymbolStatus:
        """Return the last status of a symbol; a healthy one if it was never recorded."""

    def set_symbol_status(self, status: SymbolStatus) -> None:
        """Replace the status of a symbol."""

    def add_event(self, event: Event, at: datetime) -> bool:
        """Put an event into the outbox; return False if its event_id exists."""


class Ledger(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Return a block that commits when it ends and rolls back when it raises."""


class PartlyPublishedError(SignalboxError):
    """The bus accepted some events and refused others. `published` holds the accepted ones."""

    def __init__(self, message: str, published: Sequence[OutboxEvent]) -> None:
        super().__init__(message)
        self.published = tuple(published)


class Outbox(Protocol):
    """Committed events that wait to be published on the bus."""

    def put(self, event: Event, at: datetime) -> bool:
        """Add an event outside any other unit of work and commit it; return False if its event_id exists."""

    def claim(self, limit: int, after: int = 0) -> AbstractContextManager[Sequence[OutboxEvent]]:
        """Yield unpublished events in order, hidden from other claimers. Leaving the block normally marks them as published.

        after: only events with a higher sequence, so that events the bus refuses do not block those behind them. An event that
        is too large for the bus (limits.MAX_EVENT_BYTES) is never yielded. If the block raises PartlyPublishedError, the events
        that it names are marked, and then it is raised again.
        """

    def too_large(self) -> Sequence[str]:
        """Return the event_ids of unpublished events that are too large for the bus, at most the first ten."""

    def oldest_unpublished(self) -> datetime | None:
        """Return `created_at` of the oldest unpublished event, or None."""


class EventPublisher(Protocol):
    """Publishes events on the bus."""

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Try to publish every event, so that no refused event blocks others.

        Then raise PartlyPublishedError if the bus refused any.

        Publishing an event twice is harmless, because consumers recognise its event_id.
        """
