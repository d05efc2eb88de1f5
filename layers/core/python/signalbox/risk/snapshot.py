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

from signalbox.market.candles import Symbol
from signalbox.risk.errors import RiskError
from signalbox.risk.numbers import aware, exact, plain, positive
from signalbox.risk.order import AccountId, Instrument, OrderId, Position, ProposedOrder, WorkingOrder

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
    """The price a symbol is valued at, and since when it is known."""

    price: Decimal
    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "price", positive(self.price, "mark"))
        object.__setattr__(self, "at", aware(self.at, "mark"))


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


@dataclass(frozen=True, slots=True)
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
    _words: _Words | None = field(default=None, init=False, repr=False, compare=False)
    _symbols: frozenset[Symbol] | None = field(default=None, init=False, repr=False, compare=False)
    _book: KeptBook | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for key in ("at", "account_at"):
            object.__setattr__(self, key, aware(getattr(self, key), f"snapshot {key}"))
        for key in ("balance", "accrued_costs"):
            object.__setattr__(self, key, exact(getattr(self, key), f"account {self.account} {key}"))
        for key in ("positions", "instruments", "marks"):
            object.__setattr__(self, key, _sorted(getattr(self, key)))
        named = [(s, p.symbol) for s, p in self.positions.items()] + [(s, i.symbol) for s, i in self.instruments.items()]
        for symbol, name in named:
            if name != symbol:
                raise RiskError(f"expected {symbol} under its own name, was {name}")
        object.__setattr__(self, "working", tuple(sorted(self.working, key=lambda w: w.order.order_id)))
        object.__setattr__(self, "locks", tuple(sorted(self.locks, key=lambda k: (k.reason, k.symbol or "", k.until))))
        object.__setattr__(self, "floors", tuple(sorted(self.floors, key=lambda f: (f.starts_at, f.rule))))
        object.__setattr__(self, "order_times", _in_turn(self.order_times))
        if len({w.order.order_id for w in self.working}) != len(self.working):
            raise RiskError(f"account {self.account}: expected each working order once")

    @property
    def snapshot_id(self) -> str:
        """sha256 of the canonical text of all facts."""
        words = self._words
        if words is None:
            words = _words_of(self)
            object.__setattr__(self, "_words", words)
        digest = words.digest.copy()
        digest.update(f"],[{','.join(words.working)}])".encode())
        return digest.hexdigest()

    @property
    def symbols(self) -> frozenset[Symbol]:
        """Every symbol held or working."""
        symbols = self._symbols
        if symbols is None:
            symbols = frozenset((*self.positions, *(w.order.symbol for w in self.working)))
            object.__setattr__(self, "_symbols", symbols)
        return symbols

    def is_working(self, order_id: OrderId) -> bool:
        """Return whether an order of that id is working."""
        place = bisect_left(self.working, order_id, key=_id_of)
        return place < len(self.working) and self.working[place].order.order_id == order_id

    def with_sent(self, order: ProposedOrder) -> RiskSnapshot:
        """Return the snapshot in which this order has been sent and may fill.

        Equal to one composed from all facts again; what is canonical and sorted here already is not looked at a second time.
        Raises RiskError if an order of that id is working.
        """
        place = bisect_left(self.working, order.order_id, key=_id_of)
        if place < len(self.working) and self.working[place].order.order_id == order.order_id:
            raise RiskError(f"account {self.account}: expected each working order once")
        sent = WorkingOrder(order, order.quantity)
        moment, when = self.at, bisect_right(self.order_times, self.at)
        after = object.__new__(RiskSnapshot)
        for name in _AS_BEFORE:
            _set(after, name, getattr(self, name))
        _set(after, "working", _inserted(self.working, place, sent))
        _set(after, "order_times", _inserted(self.order_times, when, moment))
        words, symbols, book = self._words, self._symbols, self._book
        is_newest = when == len(self.order_times)
        if words is not None and is_newest:
            words = words.with_sent(canonical_text(sent), place, _instant_text(moment), is_first=not self.order_times)
        _set(after, "_words", words if is_newest else None)
        if symbols is not None and order.symbol not in symbols:
            symbols |= {order.symbol}
        _set(after, "_symbols", symbols)
        _set(after, "_book", None if book is None else book.with_sent(sent))
        return after


_set: Final = object.__setattr__


def _id_of(working: WorkingOrder) -> OrderId:
    return working.order.order_id


_CHANGED_BY_SENDING: Final = {"working", "order_times", "_words", "_symbols", "_book"}
_AS_BEFORE: Final = tuple(name for name in RiskSnapshot.__slots__ if name not in _CHANGED_BY_SENDING)


class KeptBook(NamedTuple):
    """A book (exposure.Book, which is made of a snapshot and so is not known here) and the orders sent since it was made."""

    limits: object  # it was made under
    book: object
    sent: tuple[WorkingOrder, ...] = ()

    def with_sent(self, order: WorkingOrder) -> KeptBook:
        return KeptBook(self.limits, self.book, (*self.sent, order))


class _Words(NamedTuple):
    """The canonical text of a snapshot: the digest of all that stands before the working orders, and the text of each order."""

    digest: Digest
    working: tuple[str, ...]

    def with_sent(self, working: str, place: int, moment: str, *, is_first: bool) -> _Words:
        digest = self.digest.copy()
        digest.update((moment if is_first else f",{moment}").encode())
        return _Words(digest, _inserted(self.working, place, working))


_BEFORE: Final = ("account", "at", "account_at", "halt", "locks", "balance", "accrued_costs", "positions")


def _words_of(snapshot: RiskSnapshot) -> _Words:
    before = ",".join(canonical_text(getattr(snapshot, name)) for name in _BEFORE)
    instruments = ",".join(f"{canonical_text(symbol)}:{_rules_text(of)}" for symbol, of in snapshot.instruments.items())
    facts = f"{before},{{{instruments}}},{canonical_text(snapshot.marks)},{canonical_text(snapshot.floors)}"
    digest = hashlib.sha256(f"RiskSnapshot({facts},[{','.join(map(_instant_text, snapshot.order_times))}".encode())
    return _Words(digest, tuple(map(canonical_text, snapshot.working)))


@lru_cache(maxsize=256)
def _rules_text(instrument: Instrument) -> str:
    return canonical_text(instrument)


_instant_text: Final = lru_cache(maxsize=16_384)(datetime.isoformat)  # of instants in UTC; sends of a window come again and again


def _in_turn(instants: tuple[datetime, ...]) -> tuple[datetime, ...]:
    # there are as many as a window of sends holds, and nearly always they come in UTC and sorted
    if any(instant.tzinfo is not UTC for instant in instants):
        instants = tuple(aware(instant, "order time") for instant in instants)
    return tuple(sorted(instants))


def _inserted(items: tuple[Item, ...], place: int, item: Item) -> tuple[Item, ...]:
    return (*items[:place], item, *items[place:])


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
    return MappingProxyType({symbol: items[symbol] for symbol in sorted(items)})


@lru_cache(maxsize=64)
def _facts_of(kind: type) -> tuple[str, ...]:
    names = getattr(kind, "__dataclass_fields__", None)
    if names is None:
        raise RiskError(f"no canonical text for {kind.__name__}")
    return tuple(name for name in names if name[0] != "_")
