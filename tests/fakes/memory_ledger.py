"""The ledger in memory, keeping the promises of `signals.ports`; the contract suite runs on it and on PostgreSQL alike.

Several `MemoryLedger`s over one `MemoryDatabase` are what several workers over one PostgreSQL are.
"""

from __future__ import annotations

import json
import threading
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from signalbox.events import Event
from signalbox.ledger_errors import LedgerError, LedgerRefusedError
from signalbox.limits import MAX_EVENT_BYTES
from signalbox.market.candles import Bars, Candle, Symbol
from signalbox.signals.model import DeployedModel
from signalbox.signals.ports import (
    CandleWrites,
    CycleState,
    IssuedSignal,
    OutboxEvent,
    PartlyPublishedError,
    SymbolRefusal,
    SymbolStatus,
)
from signalbox.signals.rate_limit import Issued
from signalbox.signals.signal import Direction, Signal, Tier

K = TypeVar("K")
V = TypeVar("V")
Cycle = tuple[str, datetime]  # venue, cycle_at
ModelKey = tuple[str, str, str, str]  # deployment, stage, bundle, gates as JSON


@dataclass
class _Tables:
    """Rows by natural key. `candles` has one inner table a venue and symbol."""

    candles: dict[tuple[str, Symbol], MutableMapping[datetime, Candle]] = field(default_factory=dict)
    announced: dict[tuple[str, Symbol, datetime], datetime | None] = field(default_factory=dict)
    revisions: dict[tuple[str, Symbol, datetime, datetime], Candle] = field(default_factory=dict)  # what was replaced, and when
    parts: MutableMapping[tuple[str, datetime, int, int], bool] = field(default_factory=dict)
    decided: MutableMapping[Cycle, bool] = field(default_factory=dict)
    signals: MutableMapping[tuple[Symbol, datetime, str], Signal] = field(default_factory=dict)
    refusals: MutableMapping[tuple[str, datetime, Symbol], SymbolRefusal] = field(default_factory=dict)
    statuses: MutableMapping[Symbol, SymbolStatus] = field(default_factory=dict)
    models: MutableMapping[ModelKey, datetime] = field(default_factory=dict)
    outbox: MutableMapping[str, OutboxEvent] = field(default_factory=dict)

    def keyed(self) -> tuple[MutableMapping[Any, Any], ...]:
        return self.parts, self.decided, self.signals, self.refusals, self.models, self.outbox


class MemoryDatabase:
    """What several ledgers and outboxes share."""

    def __init__(self) -> None:
        self.tables = _Tables()
        self.published: set[str] = set()
        self.claimed: set[str] = set()
        self.mutex = threading.RLock()
        self.cycle_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._sequence = 0

    def next_sequence(self) -> int:
        with self.mutex:
            self._sequence += 1
            return self._sequence

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Committed signals, by instant and symbol."""
        return tuple(sorted(self.tables.signals.values(), key=lambda s: (s.decided_at, s.symbol, s.deployment)))

    @property
    def refusals(self) -> tuple[SymbolRefusal, ...]:
        """Committed refusals, by instant and symbol."""
        return tuple(sorted(self.tables.refusals.values(), key=lambda r: (r.cycle_at, r.symbol)))

    @property
    def models(self) -> dict[ModelKey, datetime]:
        """Committed models with the first cycle they decided."""
        return dict(self.tables.models)

    @property
    def events(self) -> tuple[OutboxEvent, ...]:
        """Committed events, published or not, in order."""
        return tuple(sorted(self.tables.outbox.values(), key=lambda e: e.sequence))

    @property
    def candles(self) -> tuple[tuple[str, Candle], ...]:
        """Committed candles with their venue, by venue, symbol and time."""
        return tuple((venue, t[k]) for (venue, _), t in sorted(self.tables.candles.items()) for k in sorted(t))


class MemoryLedger:
    """`signals.ports.Ledger` in memory."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = database or MemoryDatabase()
        self._open = False

    @contextmanager
    def transaction(self) -> Iterator[MemoryLedgerTransaction]:
        if self._open:
            raise LedgerError("a transaction is already open on this ledger; end it first")
        self._open = True
        try:
            with ExitStack() as locks:
                tx = MemoryLedgerTransaction(self.database, locks)
                yield tx
                tx.commit()
        finally:
            self._open = False


class MemoryLedgerTransaction:
    """Writes go to tables of its own, laid over the committed ones; a commit moves them down."""

    def __init__(self, database: MemoryDatabase, locks: ExitStack) -> None:
        self._database, self._locks = database, locks
        self._held: set[str] = set()
        base = database.tables
        self._own = _Tables()
        self._seen = _Tables(
            candles={},
            parts=ChainMap(self._own.parts, base.parts),
            decided=ChainMap(self._own.decided, base.decided),
            signals=ChainMap(self._own.signals, base.signals),
            refusals=ChainMap(self._own.refusals, base.refusals),
            statuses=ChainMap(self._own.statuses, base.statuses),
            models=ChainMap(self._own.models, base.models),
            outbox=ChainMap(self._own.outbox, base.outbox),
        )

    def commit(self) -> None:
        with self._database.mutex:
            base = self._database.tables
            for key, rows in self._own.candles.items():
                committed = base.candles.setdefault(key, {})
                _add_missing(committed, rows)
                committed.update({at: c for at, c in rows.items() if any((*key, at) == r[:3] for r in self._own.revisions)})
            base.announced |= self._own.announced
            base.revisions |= self._own.revisions
            for committed, rows in zip(base.keyed(), self._own.keyed(), strict=True):
                _add_missing(committed, rows)
            base.statuses.update(self._own.statuses)

    def lock_cycle(self, venue: str) -> None:
        if venue in self._held:
            return
        with self._database.mutex:
            lock = self._database.cycle_locks[venue]
        self._locks.enter_context(lock)
        self._held.add(venue)

    def record_part(self, venue: str, cycle_at: datetime, part: int, parts: int) -> CycleState:
        _demand(1 <= part <= parts, f"expected a part from 1 to {parts}, got {part}")
        _demand(_is_whole_minute(cycle_at), f"expected a whole minute, got {cycle_at.isoformat()}")
        with self._database.mutex:
            self._seen.parts.setdefault((venue, cycle_at, parts, part), True)
            if (venue, cycle_at) in self._seen.decided:
                return CycleState.DECIDED
            counts: defaultdict[int, int] = defaultdict(int)
            for key in self._seen.parts:
                if key[:2] == (venue, cycle_at):
                    counts[key[2]] += 1
        return CycleState.READY if any(found == split for split, found in counts.items()) else CycleState.WAITING

    def newest_decided_cycle(self, venue: str) -> datetime | None:
        with self._database.mutex:
            return max((at for found, at in self._seen.decided if found == venue), default=None)

    def mark_decided(self, venue: str, cycle_at: datetime) -> None:
        self._seen.decided[venue, cycle_at] = True

    def add_candles(self, venue: str, candles: Sequence[Candle], announced_at: datetime | None = None) -> CandleWrites:
        inserted, conflicting, revised = 0, [], []
        with self._database.mutex:
            for candle in candles:
                rows = self._candles(venue, candle.symbol)
                key = (venue, candle.symbol, candle.open_time)
                kept = rows.get(candle.open_time)
                if kept is None:
                    rows[candle.open_time] = candle
                    self._own.announced[key] = announced_at
                    inserted += 1
                elif kept != candle:
                    before = ChainMap(self._own.announced, self._database.tables.announced).get(key)
                    if announced_at is None or (before is not None and before >= announced_at):
                        conflicting.append(candle)
                        continue
                    self._own.revisions[(*key, announced_at)] = kept
                    self._own.announced[key] = announced_at
                    rows[candle.open_time] = candle
                    revised.append(candle)
        unchanged = len(candles) - inserted - len(conflicting) - len(revised)
        return CandleWrites(inserted, unchanged, tuple(conflicting), tuple(revised))

    def bars(self, venue: str, symbol: Symbol, until: datetime, count: int) -> Bars:
        with self._database.mutex:
            rows = self._candles(venue, symbol)
            found = sorted((c for c in rows.values() if c.close_time <= until), key=lambda c: c.open_time)
        return Bars.from_candles(symbol, found).last(count)

    def close_price(self, venue: str, symbol: Symbol, open_time: datetime) -> Decimal | None:
        found = self._candles(venue, symbol).get(open_time)
        return None if found is None else found.close

    def add_signal(self, signal: Signal) -> bool:
        _demand(0.0 <= signal.probability_up <= 1.0, f"expected a probability, got {signal.probability_up}")
        _demand((signal.direction is Direction.HOLD) == (signal.tier is Tier.LOW), "expected tier LOW exactly for HOLD")
        takes_likelier_side = {
            Direction.BUY: signal.probability_up > 0.5,
            Direction.SELL: signal.probability_up < 0.5,
            Direction.HOLD: True,
        }
        _demand(signal.held_back is None or signal.direction is not Direction.HOLD, "expected no HOLD to be held back")
        _demand(takes_likelier_side[signal.direction], f"expected another side than {signal.direction}")
        return self._add(self._seen.signals, (signal.symbol, signal.decided_at, signal.deployment), lambda: signal)

    def issued_signals(self, deployment: str, since: datetime, until: datetime) -> Sequence[Issued]:
        own = [
            s for s in self._seen.signals.values() if s.deployment == deployment and s.issued and since < s.decided_at <= until
        ]
        return [Issued(s.symbol, s.decided_at, s.tier) for s in sorted(own, key=lambda s: (s.decided_at, s.symbol))]

    def signals_to_resolve(self, deployment: str, since: datetime, until: datetime) -> Sequence[IssuedSignal]:
        own = [s for s in self._seen.signals.values() if s.deployment == deployment and s.issued and not s.late]
        found = sorted((s for s in own if since < s.decided_at <= until), key=lambda s: (s.decided_at, s.symbol))
        return [IssuedSignal(s.symbol, s.decided_at, s.stage, s.direction, s.tier, s.price, s.market) for s in found]

    def add_deployed_model(self, model: DeployedModel, decided_at: datetime) -> bool:
        key = (model.deployment, model.stage.value, model.bundle, json.dumps(dict(model.gates), sort_keys=True))
        return self._add(self._seen.models, key, lambda: decided_at)

    def add_refusal(self, venue: str, refusal: SymbolRefusal) -> bool:
        return self._add(self._seen.refusals, (venue, refusal.cycle_at, refusal.symbol), lambda: refusal)

    def symbol_status(self, symbol: Symbol) -> SymbolStatus:
        return self._seen.statuses.get(symbol, SymbolStatus(symbol, None, None))

    def set_symbol_status(self, status: SymbolStatus) -> None:
        _demand((status.stale_since is None) == (status.reason is None), "expected a reason exactly while stale")
        self._seen.statuses[status.symbol] = status

    def add_event(self, event: Event, at: datetime) -> bool:
        def row() -> OutboxEvent:
            detail = json.dumps(event.to_detail(), separators=(",", ":"), allow_nan=False)
            return OutboxEvent(self._database.next_sequence(), event.event_id, event.type.value, detail, at)

        return self._add(self._seen.outbox, event.event_id, row)

    def _candles(self, venue: str, symbol: Symbol) -> MutableMapping[datetime, Candle]:
        with self._database.mutex:
            own = self._own.candles.setdefault((venue, symbol), {})
            return ChainMap(own, self._database.tables.candles.setdefault((venue, symbol), {}))

    def _add(self, rows: MutableMapping[K, V], key: K, row: Callable[[], V]) -> bool:
        with self._database.mutex:
            if key in rows:
                return False
            rows[key] = row()
            return True


class MemoryOutbox:
    """`signals.ports.Outbox` in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def put(self, event: Event, at: datetime) -> bool:
        detail = json.dumps(event.to_detail(), separators=(",", ":"), allow_nan=False)
        with self._database.mutex:
            row = OutboxEvent(self._database.next_sequence(), event.event_id, event.type.value, detail, at)
            return self._database.tables.outbox.setdefault(event.event_id, row) is row

    @contextmanager
    def claim(self, limit: int, after: int = 0) -> Iterator[Sequence[OutboxEvent]]:
        with self._database.mutex:
            free = (e for e in self._unpublished() if e.event_id not in self._database.claimed and e.sequence > after)
            events = tuple(e for e in free if len(e.detail.encode()) <= MAX_EVENT_BYTES)[:limit]
            self._database.claimed.update(e.event_id for e in events)
        try:
            yield events
            self._database.published.update(e.event_id for e in events)
        except PartlyPublishedError as error:
            self._database.published.update(e.event_id for e in error.published)
            raise
        finally:
            self._database.claimed.difference_update(e.event_id for e in events)

    def too_large(self) -> Sequence[str]:
        return tuple(e.event_id for e in self._unpublished() if len(e.detail.encode()) > MAX_EVENT_BYTES)[:10]

    def oldest_unpublished(self) -> datetime | None:
        return min((e.created_at for e in self._unpublished()), default=None)

    def _unpublished(self) -> tuple[OutboxEvent, ...]:
        with self._database.mutex:
            return tuple(e for e in self._database.events if e.event_id not in self._database.published)


def _add_missing(committed: MutableMapping[K, V], rows: MutableMapping[K, V]) -> None:
    for key, row in rows.items():
        committed.setdefault(key, row)


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise LedgerRefusedError(message)


def _is_whole_minute(moment: datetime) -> bool:
    utc = moment.astimezone(UTC)
    return not (utc.second or utc.microsecond)
