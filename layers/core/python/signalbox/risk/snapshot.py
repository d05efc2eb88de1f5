"""RiskSnapshot: everything a pre-trade decision may look at, frozen at one instant. Composing it is the adapters' work.

Two snapshots with the same facts are equal and have the same `snapshot_id`, whatever order the facts came in and however
their numbers were written.
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
    """A hash under way, as hashlib makes it."""

    def copy(self) -> Digest: ...

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class HaltLevel(StrEnum):
    """The kill switch. Every level but NONE lets only truly reducing orders through; FLATTEN also closes what is open."""

    NONE = "NONE"
    HALT = "HALT"
    REDUCE_ONLY = "REDUCE_ONLY"
    FLATTEN = "FLATTEN"


class LossRule(StrEnum):
    """Which loss limit of an account, named as in the simulator's JSON."""

    MAX_DAILY_LOSS = "max_daily_loss"
    MAX_LOSS = "max_loss"


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest price of a symbol: the close of its newest bar, and when that closed. A snapshot takes exact ones only."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class LossFloor:
    """Equity an account may not fall below between two instants: where the rule breaks, and where new risk stops before it.

    blocks_from: from then on new risk stops for it, although it is not in force yet; None: from `starts_at`.
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
            raise RiskError(f"{self.rule}: expected a floor that starts before it ends")
        if self.block_below < self.breach_below:
            raise RiskError(f"{self.rule}: expected the block inside the rule, was {self.block_below} < {self.breach_below}")
        if self.blocks_from is not None:
            object.__setattr__(self, "blocks_from", aware(self.blocks_from, f"{self.rule} blocks_from"))

    def blocks(self, at: datetime, ahead: timedelta) -> bool:
        """Return whether new risk at an instant is judged by it: in force until later, or to come within `ahead` of it."""
        if self.ends_at <= at:
            return False
        return self.starts_at <= at + ahead or (self.blocks_from is not None and self.blocks_from <= at)


@dataclass(frozen=True, slots=True)
class Lock:
    """A pause of new entries, of one symbol or (None) of the account, [since, until): why, and the numbers behind it."""

    reason: str
    symbol: Symbol | None
    since: datetime
    until: datetime
    limit: Decimal
    value: Decimal

    def __post_init__(self) -> None:
        for key in ("since", "until"):
            object.__setattr__(self, key, aware(getattr(self, key), f"lock {key}"))
        for key in ("limit", "value"):
            object.__setattr__(self, key, exact(getattr(self, key), f"lock {key}"))
        if self.since >= self.until:
            raise RiskError(f"lock {self.reason}: expected it to begin before it ends")

    def stops(self, symbol: str, at: datetime) -> bool:
        """Return whether it keeps new entries of a symbol out at an instant."""
        return self.symbol in {None, symbol} and self.since <= at < self.until


@dataclass(frozen=True)  # without slots: `with_sent` copies one dictionary
class RiskSnapshot:
    """An account at `at`, the instant of judgement. Balances and positions were read at `account_at`.

    balance: closed balance. accrued_costs: of open positions, not in the balance yet (swap, funding; below zero = gains).
    What an order more changes comes last, so that the digest of a batch's next snapshot begins where the last one's ended.
    order_times: when orders were sent lately. floors: the loss limits in force now and, if known, after the next midnight.
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
    # Made once and carried on by `with_sent`: a batch asks for many ids, and for the account's book before each order.
    _composed: _Composed = field(init=False, repr=False, compare=False)
    _sent: _Sent | None = field(default=None, init=False, repr=False, compare=False)
    _count: int = field(default=0, init=False, repr=False, compare=False)  # of what was sent, this many are its own
    _symbols: tuple[Symbol, ...] = field(init=False, repr=False, compare=False)
    _book: KeptBook | None = field(default=None, init=False, repr=False, compare=False)
    _weighed: KeptImpact | None = field(default=None, init=False, repr=False, compare=False)
    _fresh: FoundFresh | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        facts = self.__dict__  # frozen for everybody else
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
                    raise RiskError(f"expected {symbol} under its own name, was {named.symbol}")
        facts["working"] = working = tuple(sorted(self.working, key=_id_of))
        if len(self.locks) > 1:
            facts["locks"] = tuple(sorted(self.locks, key=lambda k: (k.reason, k.symbol or "", k.until)))
        if len(self.floors) > 1:
            facts["floors"] = tuple(sorted(self.floors, key=lambda f: (f.starts_at, f.rule)))
        facts["order_times"] = _in_turn(self.order_times)
        ids = frozenset([w.order.order_id for w in working])
        if len(ids) != len(working):
            raise RiskError(f"account {account}: expected each working order once")
        facts["_composed"] = _Composed(self.order_times, working, ids)
        facts["_symbols"] = tuple(sorted({*self.positions, *[w.order.symbol for w in working]}))

    def __getattr__(self, name: str) -> Any:
        """Make what `with_sent` left to whoever asks for it: few look at all orders of a snapshot in the middle of a batch."""
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
        """Return the orders that `with_sent` brought, oldest first."""
        return [] if self._sent is None else self._sent.orders[: self._count]

    @property
    def snapshot_id(self) -> str:
        """sha256 of the canonical text of all facts."""
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
        """Every symbol held or working, in order."""
        return self._symbols

    def is_working(self, order_id: ClientOrderId) -> bool:
        """Return whether an order of that id is working."""
        if order_id in self._composed.ids:
            return True
        return self._sent is not None and self._sent.places.get(order_id, self._count) < self._count

    def sent_after(self, instant: datetime) -> int:
        """Return how many orders were sent after an instant; one dated in the future counts too."""
        composed = self._composed
        if composed.counted is None or composed.counted[0] != instant:
            times = composed.order_times
            composed.counted = instant, len(times) - bisect_right(times, instant)
        return composed.counted[1] + (self._count if self.at > instant else 0)

    def with_sent(self, order: ProposedOrder) -> RiskSnapshot:
        """Return the snapshot in which this order has been sent and may fill.

        Equal to one composed from all facts again; what is canonical and sorted here already is not looked at a second time.
        Raises RiskError if an order of that id is working.
        """
        if self.is_working(order.order_id):
            raise RiskError(f"account {self.account}: expected each working order once")
        sent, count = self._sent, self._count
        if sent is None or len(sent.orders) != count:  # the first, or another one was sent after this snapshot already
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
    """A book (exposure.Book, which is made of a snapshot and so not known here), its limits, and how many orders sent it has."""

    limits: object
    book: object
    sent: int


class KeptImpact(NamedTuple):
    """The order that was judged last, and what it was weighed as (exposure.ExposureImpact)."""

    order: ProposedOrder
    weighed: object


class FoundFresh(NamedTuple):
    """The symbols whose prices and rules are all there and recent, as checks.py found under these limits."""

    limits: object
    symbols: tuple[Symbol, ...]


class _Composed:
    """What a snapshot was composed with, and the words of it once somebody asked: the same for all snapshots of a batch."""

    __slots__ = ("counted", "digest", "ids", "order_times", "texts", "working")

    def __init__(
        self, order_times: tuple[datetime, ...], working: tuple[WorkingOrder, ...], ids: frozenset[ClientOrderId]
    ) -> None:
        self.order_times, self.working, self.ids = order_times, working, ids
        self.counted: tuple[datetime, int] | None = None  # an instant, and how many of order_times are after it
        self.digest: Digest | None = None  # of all that stands before the working orders
        self.texts: list[str] = []  # of the working orders, by id


class _Sent:
    """Orders sent one after the other. Only added to; snapshots of a batch share it, and each knows how many are its own."""

    __slots__ = ("_digest", "_ids", "_texts", "_worded", "orders", "places")

    def __init__(self, orders: list[WorkingOrder]) -> None:
        self.orders = orders
        self.places = {w.order.order_id: place for place, w in enumerate(orders)}
        self._worded = 0  # so many of them are in the three below
        self._digest: Digest | None = None
        self._ids: list[ClientOrderId] = []
        self._texts: list[str] = []

    def add(self, working: WorkingOrder) -> None:
        self.places[working.order.order_id] = len(self.orders)
        self.orders.append(working)

    def words(self, snapshot: RiskSnapshot, count: int, composed_digest: Digest) -> tuple[Digest, list[str]]:
        """Return the digest of all that stands before the working orders, and their texts, of a snapshot with `count` sent."""
        composed = snapshot._composed  # noqa: SLF001 - both are this module's
        times = composed.order_times
        if count < self._worded or (times and times[-1] > snapshot.at):  # an older one; or a send of now is not the newest
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
    text = instrument._text  # noqa: SLF001 - kept there for this function alone
    if text is None:
        text = canonical_text(instrument)
        object.__setattr__(instrument, "_text", text)
    return text


def _admitted(mark: Mark) -> Mark:
    """Return a mark in UTC. Raises RiskError unless its price is above 0 and exact; how that is written is the venue's."""
    positive(mark.price, "mark")
    return mark if mark.at.tzinfo is UTC else Mark(mark.price, aware(mark.at, "mark"))


def _mark_text(mark: Mark) -> str:
    return f"Mark({plain(mark.price)},{_instant_text(mark.at)})"


def working_text(working: WorkingOrder) -> str:
    """Return the canonical text of an order that works: `canonical_text`, written out, for a batch asks for many."""
    order = working.order
    price, stop = order.price, order.stop_price
    return (
        f"WorkingOrder(ProposedOrder({str(order.order_id)!r},{str(order.symbol)!r},{_SIDE_TEXTS[order.side]},"
        f"{_plain(order.quantity)},{None if price is None else _plain(price)},{None if stop is None else _plain(stop)},"
        f"{order.reduce_only!r},{order.is_stop!r},{order.is_exit!r}),{_plain(working.remaining)})"
    )


_SIDE_TEXTS: Final = {side: repr(str(side)) for side in Side}


def _plain(number: Decimal) -> str:
    """Return `plain` of a number in its canonical form."""
    text = str(number)
    return text if "E" not in text else plain(number)


_instant_text: Final = lru_cache(maxsize=16_384)(datetime.isoformat)  # of instants in UTC; sends of a window come again and again


def _in_turn(instants: tuple[datetime, ...]) -> tuple[datetime, ...]:
    # there are as many as a window of sends holds, and nearly always they come in UTC and sorted
    if {instant.tzinfo for instant in instants} != {UTC}:
        instants = tuple(aware(instant, "order time") for instant in instants)
    return tuple(sorted(instants))


def canonical_text(value: object) -> str:
    """Return one text for equal facts: numbers without exponent, instants in UTC, mappings by key."""
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
