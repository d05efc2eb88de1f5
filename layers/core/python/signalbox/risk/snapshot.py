"""RiskSnapshot: everything that a pre-trade decision may use, frozen at one instant. Adapters compose it.

Two snapshots with the same facts are equal and have the same `snapshot_id`, whatever the order of the facts and the way their
numbers were written.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from signalbox.exact import plain
from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk.errors import RiskError
from signalbox.risk.numbers import aware, exact, positive
from signalbox.risk.order import AccountId, Instrument, Position, ProposedOrder, WorkingOrder

Item = TypeVar("Item")


class Digest(Protocol):
    """A hash that is being computed, such as hashlib's."""

    def copy(self) -> Digest: ...

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class HaltLevel(StrEnum):
    """The kill switch. Every level except NONE admits true reductions only; FLATTEN also closes all positions."""

    NONE = "NONE"
    HALT = "HALT"
    REDUCE_ONLY = "REDUCE_ONLY"
    FLATTEN = "FLATTEN"


class LossRule(StrEnum):
    """The loss rules of an account, named as in the simulator's JSON."""

    MAX_DAILY_LOSS = "max_daily_loss"
    MAX_LOSS = "max_loss"


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest price of a symbol: the close of its newest bar, and when that bar closed. Snapshots require exact prices."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class LossFloor:
    """The lowest allowed equity between two instants: where the rule breaks, and the higher level where new risk is blocked.

    blocks_from: when the floor starts to block new risk, if that is before it is in force; None: at `starts_at`.
    """

    rule: LossRule
    breach_below: Decimal
    block_below: Decimal
    starts_at: datetime
    ends_at: datetime
    blocks_from: datetime | None = None

    def __post_init__(self) -> None:
        for key in ("breach_below", "block_below"):
            object.__setattr__(self, key, exact(getattr(self, key), key))
        for key in ("starts_at", "ends_at"):
            object.__setattr__(self, key, aware(getattr(self, key), f"{self.rule} {key}"))
        if self.starts_at >= self.ends_at:
            raise RiskError(f"{self.rule}: a floor must start before it ends")
        if self.block_below < self.breach_below:
            raise RiskError(f"{self.rule}: expected block_below >= breach_below, got {self.block_below} < {self.breach_below}")
        if self.blocks_from is not None:
            object.__setattr__(self, "blocks_from", aware(self.blocks_from, f"{self.rule} blocks_from"))

    def blocks(self, at: datetime, ahead: timedelta) -> bool:
        """Return whether new risk at `at` must respect the floor: it is in force, begins within `ahead`, or blocks already."""
        if self.ends_at <= at:
            return False
        return self.starts_at <= at + ahead or (self.blocks_from is not None and self.blocks_from <= at)


@dataclass(frozen=True, slots=True)
class Lock:
    """A pause of new entries in [since, until), with its reason and numbers. symbol: None locks the whole account."""

    reason: str
    symbol: Symbol | None
    since: datetime
    until: datetime
    limit: Decimal
    value: Decimal

    def __post_init__(self) -> None:
        object.__setattr__(self, "since", aware(self.since, "lock since"))
        object.__setattr__(self, "until", aware(self.until, "lock until"))
        object.__setattr__(self, "limit", exact(self.limit, "lock limit"))
        object.__setattr__(self, "value", exact(self.value, "lock value"))
        if self.since >= self.until:
            raise RiskError(f"lock {self.reason}: a lock must begin before it ends")

    def stops(self, symbol: str, at: datetime) -> bool:
        """Return whether the lock blocks new entries of a symbol at an instant."""
        return self.symbol in {None, symbol} and self.since <= at < self.until


@dataclass(frozen=True)  # without slots, because `with_sent` copies the instance's dictionary
class RiskSnapshot:
    """An account at `at`, the instant of the pre-trade checks. Balances and positions were read at `account_at`.

    balance: closed balance. accrued_costs: swap and funding of open positions that is not in the balance yet (negative = gains).
    order_times: when recent orders were sent. floors: the loss limits in force now and, if known, after the next midnight.
    The fields that one more order changes come last, so that the next snapshot of a batch continues the digest of this one.
    """

    account: AccountId
    at: datetime
    account_at: datetime
    halt: HaltLevel
    locks: tuple[Lock, ...]
    balance: Decimal
    accrued_costs: Decimal
    positions: Mapping[Symbol, Position]
    instruments: Mapping[Symbol, Instrument]
    marks: Mapping[Symbol, Mark]
    floors: tuple[LossFloor, ...]
    order_times: tuple[datetime, ...]
    working: tuple[WorkingOrder, ...]
    # Computed once and passed on by `with_sent`: a batch needs many ids, and the account's book before each order.
    _composed: _Composed = field(init=False, repr=False, compare=False)
    _sent: _Sent | None = field(default=None, init=False, repr=False, compare=False)
    _count: int = field(default=0, init=False, repr=False, compare=False)  # how many of the shared sent orders belong to it
    _symbols: tuple[Symbol, ...] = field(init=False, repr=False, compare=False)
    _book: KeptBook | None = field(default=None, init=False, repr=False, compare=False)
    _weighed: KeptImpact | None = field(default=None, init=False, repr=False, compare=False)
    _fresh: FoundFresh | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        facts = self.__dict__  # the instance is frozen; only its construction writes here
        account = self.account
        facts["at"] = aware(self.at, "snapshot at")
        facts["account_at"] = aware(self.account_at, "snapshot account_at")
        facts["balance"] = exact(self.balance, "account", account, "balance")
        facts["accrued_costs"] = exact(self.accrued_costs, "account", account, "accrued_costs")
        for key in ("positions", "instruments", "marks"):
            facts[key] = _sorted(facts[key])
        facts["marks"] = MappingProxyType({symbol: _admitted(mark) for symbol, mark in self.marks.items()})
        for of in (self.positions, self.instruments):
            for symbol, named in of.items():
                if named.symbol != symbol:
                    raise RiskError(f"{symbol}: the entry under this symbol is about {named.symbol}")
        facts["working"] = working = tuple(sorted(self.working, key=_id_of))
        if len(self.locks) > 1:
            facts["locks"] = tuple(sorted(self.locks, key=lambda k: (k.reason, k.symbol or "", k.until)))
        if len(self.floors) > 1:
            facts["floors"] = tuple(sorted(self.floors, key=lambda f: (f.starts_at, f.rule)))
        facts["order_times"] = _in_turn(self.order_times)
        ids = frozenset([w.order.order_id for w in working])
        if len(ids) != len(working):
            raise RiskError(f"account {account}: a working order id occurs twice")
        facts["_composed"] = _Composed(self.order_times, working, ids)
        facts["_symbols"] = tuple(sorted({*self.positions, *[w.order.symbol for w in working]}))

    def __getattr__(self, name: str) -> Any:
        """Compute the facts that `with_sent` leaves out; within a batch few snapshots are asked for all their orders."""
        facts = self.__dict__
        if name == "working" and "_composed" in facts:
            found: Any = tuple(sorted((*self._composed.working, *self.sent()), key=_id_of))
        elif name == "order_times" and "_composed" in facts:
            times = self._composed.order_times
            place = bisect_right(times, self.at)
            found = (*times[:place], *(self.at,) * self._count, *times[place:])
        else:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        facts[name] = found
        return found

    def sent(self) -> list[WorkingOrder]:
        """Return the orders that `with_sent` added, oldest first."""
        return [] if self._sent is None else self._sent.orders[: self._count]

    @property
    def snapshot_id(self) -> str:
        """The sha256 of the canonical text of all facts."""
        composed, sent = self._composed, self._sent
        digest, texts = composed.digest, composed.texts
        if digest is None:
            digest = composed.digest = _digest_of(self, composed.order_times)
            texts = composed.texts = [working_text(w) for w in composed.working]
        if sent is not None and self._count:
            digest, texts = sent.words(self, self._count, digest)
        digest = digest.copy()
        digest.update(f"],[{','.join(texts)}])".encode())
        return digest.hexdigest()

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """All symbols held or working, sorted."""
        return self._symbols

    def is_working(self, order_id: ClientOrderId) -> bool:
        """Return whether an order of that id is working."""
        if order_id in self._composed.ids:
            return True
        return self._sent is not None and self._sent.places.get(order_id, self._count) < self._count

    def sent_after(self, instant: datetime) -> int:
        """Return how many orders were sent after an instant, including any dated in the future."""
        composed = self._composed
        if composed.counted is None or composed.counted[0] != instant:
            times = composed.order_times
            composed.counted = instant, len(times) - bisect_right(times, instant)
        return composed.counted[1] + (self._count if self.at > instant else 0)

    def with_sent(self, order: ProposedOrder) -> RiskSnapshot:
        """Return the snapshot with this order added: it is working and may fill.

        The result equals a snapshot composed from all facts; facts that are already canonical and sorted are not checked again.
        Raises RiskError if an order with that id is working.
        """
        if self.is_working(order.order_id):
            raise RiskError(f"account {self.account}: order {order.order_id} is working already")
        sent, count = self._sent, self._count
        if sent is None or len(sent.orders) != count:  # the first one, or another order was already sent after this snapshot
            sent = _Sent(self.sent())
        sent.add(WorkingOrder.whole(order))
        after = object.__new__(RiskSnapshot)
        facts = after.__dict__
        facts.update(self.__dict__)
        facts.pop("working", None)
        facts.pop("order_times", None)
        facts["_sent"], facts["_count"] = sent, count + 1
        if order.symbol not in self._symbols:
            facts["_symbols"] = tuple(sorted((*self._symbols, order.symbol)))
        return after


def _id_of(working: WorkingOrder) -> ClientOrderId:
    return working.order.order_id


class KeptBook(NamedTuple):
    """A cached exposure book, its limits, and how many sent orders it includes. exposure.py defines the book's type."""

    limits: object
    book: object
    sent: int


class KeptImpact(NamedTuple):
    """The order that was checked last and its impact (exposure.ExposureImpact)."""

    order: ProposedOrder
    weighed: object


class FoundFresh(NamedTuple):
    """The symbols for which checks.py found, under these limits, all instruments and recent prices."""

    limits: object
    symbols: tuple[Symbol, ...]


class _Composed:
    """The facts that a snapshot was composed from, with their texts once computed; shared by all snapshots of a batch."""

    __slots__ = ("counted", "digest", "ids", "order_times", "texts", "working")

    def __init__(
        self, order_times: tuple[datetime, ...], working: tuple[WorkingOrder, ...], ids: frozenset[ClientOrderId]
    ) -> None:
        self.order_times, self.working, self.ids = order_times, working, ids
        self.counted: tuple[datetime, int] | None = None  # an instant, and how many order_times are after it
        self.digest: Digest | None = None  # of all facts before the working orders
        self.texts: list[str] = []  # of the working orders, sorted by id


class _Sent:
    """Orders sent in sequence. The list only grows; the snapshots of a batch share it, and each knows how many are its own."""

    __slots__ = ("_digest", "_ids", "_texts", "_worded", "orders", "places")

    def __init__(self, orders: list[WorkingOrder]) -> None:
        self.orders = orders
        self.places = {w.order.order_id: place for place, w in enumerate(orders)}
        self._worded = 0  # how many orders the three fields below include
        self._digest: Digest | None = None
        self._ids: list[ClientOrderId] = []
        self._texts: list[str] = []

    def add(self, working: WorkingOrder) -> None:
        self.places[working.order.order_id] = len(self.orders)
        self.orders.append(working)

    def words(self, snapshot: RiskSnapshot, count: int, composed_digest: Digest) -> tuple[Digest, list[str]]:
        """Return the digest of the facts before the working orders, and the orders' texts, for a snapshot with `count` sent."""
        composed = snapshot._composed  # noqa: SLF001 - both are this module's
        times = composed.order_times
        if count < self._worded or (times and times[-1] > snapshot.at):  # an older snapshot, or order times in the future
            return _digest_of(snapshot, snapshot.order_times), [working_text(w) for w in snapshot.working]
        if self._digest is None:
            self._digest, self._texts = composed_digest.copy(), [*composed.texts]
            self._ids = [_id_of(w) for w in composed.working]
        moment = _instant_text(snapshot.at)
        for working in self.orders[self._worded : count]:
            self._digest.update((f",{moment}" if times or self._worded else moment).encode())
            place = bisect_left(self._ids, working.order.order_id)
            self._ids.insert(place, working.order.order_id)
            self._texts.insert(place, working_text(working))
            self._worded += 1
        return self._digest, self._texts


def _digest_of(snapshot: RiskSnapshot, order_times: tuple[datetime, ...]) -> Digest:
    positions, marks = snapshot.positions.values(), snapshot.marks.values()
    facts = (
        repr(str(snapshot.account)),
        _instant_text(snapshot.at),
        _instant_text(snapshot.account_at),
        repr(str(snapshot.halt)),
        canonical_text(snapshot.locks),
        plain(snapshot.balance),
        plain(snapshot.accrued_costs),
        "{" + ",".join([f"{str(p.symbol)!r}:{canonical_text(p)}" for p in positions]) + "}",
        "{" + ",".join([f"{str(i.symbol)!r}:{_rules_text(i)}" for i in snapshot.instruments.values()]) + "}",
        "{" + ",".join([f"{str(s)!r}:{_mark_text(m)}" for s, m in zip(snapshot.marks, marks, strict=True)]) + "}",
        canonical_text(snapshot.floors),
        f"[{','.join(map(_instant_text, order_times))}",
    )
    return hashlib.sha256(f"RiskSnapshot({','.join(facts)}".encode())


def _rules_text(instrument: Instrument) -> str:
    text = instrument._text  # noqa: SLF001 - the attribute exists for this function alone
    if text is None:
        text = canonical_text(instrument)
        object.__setattr__(instrument, "_text", text)
    return text


def _admitted(mark: Mark) -> Mark:
    """Return a mark in UTC. Raises RiskError unless its price is exact and above 0; its number of digits is the venue's."""
    positive(mark.price, "mark")
    return mark if mark.at.tzinfo is UTC else Mark(mark.price, aware(mark.at, "mark"))


def _mark_text(mark: Mark) -> str:
    return f"Mark({plain(mark.price)},{_instant_text(mark.at)})"


def working_text(working: WorkingOrder) -> str:
    """Return the canonical text of a working order. Faster than `canonical_text`, because a batch needs many."""
    order = working.order
    price, stop = order.price, order.stop_price
    return (
        f"WorkingOrder(ProposedOrder({str(order.order_id)!r},{str(order.symbol)!r},{_SIDE_TEXTS[order.side]},"
        f"{_plain(order.quantity)},{None if price is None else _plain(price)},{None if stop is None else _plain(stop)},"
        f"{order.reduce_only!r},{order.is_stop!r},{order.is_exit!r}),{_plain(working.remaining)})"
    )


_SIDE_TEXTS: Final = {side: repr(str(side)) for side in Side}


def _plain(number: Decimal) -> str:
    """Return `plain` of a number that is in canonical form."""
    text = str(number)
    return text if "E" not in text else plain(number)


_instant_text: Final = lru_cache(maxsize=16_384)(datetime.isoformat)  # of instants in UTC; those of a window recur


def _in_turn(instants: tuple[datetime, ...]) -> tuple[datetime, ...]:
    # there may be as many as fit into a rate window, and nearly always they are in UTC and sorted
    if {instant.tzinfo for instant in instants} != {UTC}:
        instants = tuple(aware(instant, "order time") for instant in instants)
    return tuple(sorted(instants))


def canonical_text(value: object) -> str:
    """Return a text that is the same for equal facts: numbers without exponent, instants in UTC, mappings sorted by key."""
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case str() | bool() | int() | None:
            return repr(str(value)) if isinstance(value, str) else repr(value)
        case Mapping():
            return "{" + ",".join(f"{canonical_text(k)}:{canonical_text(value[k])}" for k in sorted(value)) + "}"
        case tuple():
            return "[" + ",".join(canonical_text(item) for item in value) + "]"
        case _:
            kind: Any = type(value)
            return f"{kind.__name__}({','.join([canonical_text(getattr(value, name)) for name in _facts_of(kind)])})"


def _sorted(items: Mapping[Symbol, Item]) -> Mapping[Symbol, Item]:
    return MappingProxyType(dict(sorted(items.items())) if len(items) > 1 else dict(items))


@lru_cache(maxsize=64)
def _facts_of(kind: type) -> tuple[str, ...]:
    names = getattr(kind, "__dataclass_fields__", None)
    if names is None:
        raise RiskError(f"no canonical text for {kind.__name__}")
    return tuple(name for name in names if name[0] != "_")
