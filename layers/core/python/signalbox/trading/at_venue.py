"""What a live account knows of its venue between two comparisons: its instruments, its doubts, what it asked for last.

A doubt is a difference that one view showed. A venue trades on while it is read, and lists some things late, so a difference
is a fact only when it stands after the settling time and a later view shows it again; until then the account takes no new
risk and asks again every few seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pydantic import TypeAdapter

from signalbox.exact import ZERO, exactly
from signalbox.frozen import Changing
from signalbox.market.candles import Symbol
from signalbox.orders.reconciliation import HaltAccount, VenueDifference
from signalbox.orders.terms import Side
from signalbox.orders.venue_port import SETTLE
from signalbox.orders.venue_view import VenueInstrument, VenueOrder, VenueStatus
from signalbox.risk.order import Instrument
from signalbox.risk.snapshot import Lock
from signalbox.trading.instruments import CRYPTO, FEE_BPS, INSTRUMENTS, MARGIN_FRACTION

LOOK_AGAIN: Final = timedelta(seconds=5)  # until the next view, while something is doubted or has no answer
DOUBTED_FOR: Final = timedelta(minutes=2)  # a difference that is another one in each view is a fact after this
VENUE_CLOSED: Final = "VENUE_CLOSED"  # reason of a lock: the venue takes reductions only in this symbol
KEPT_ABSENT: Final = timedelta(days=1)  # an order that ended because nobody saw it is asked about for this long
_UNLIMITED: Final = Decimal(10) ** 12  # where the venue names no maximum


@dataclass(frozen=True, slots=True)
class Doubt:
    """A difference that a view showed. `since`: that view; `first`: the first that showed this subject, with any figures."""

    difference: VenueDifference
    subject: str
    ledger: str
    venue: str
    since: datetime
    first: datetime
    told: bool = False  # it was confirmed and reported

    @property
    def key(self) -> tuple[VenueDifference, str]:
        """What it is about."""
        return self.difference, self.subject


@dataclass(frozen=True, slots=True)
class VanishedOrder:
    """An order that was recorded as over because no view showed it. A fill of it may still come."""

    client_order_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class ForeignOrder:
    """An open order that nobody here has sent: placed in the venue's own app. left: what may still fill, above 0."""

    venue_order_id: str
    symbol: str
    side: Side
    left: Decimal


@dataclass(frozen=True)  # without slots: `after` copies one dictionary
class AtVenue(Changing):
    """Everything of it; stored as one JSON text. instruments: as of the newest view, none before the first.

    foreign: of the newest view. others: what others than us held there in the newest view that was compared, signed, by symbol;
    no zeros.
    """

    instruments: tuple[VenueInstrument, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    absent: tuple[VanishedOrder, ...] = ()
    asked_at: datetime | None = None  # when the newest view that was asked for is due
    foreign: tuple[ForeignOrder, ...] = ()
    others: tuple[tuple[str, Decimal], ...] = ()

    @property
    def open_doubts(self) -> tuple[Doubt, ...]:
        """Return the doubts that a next view may explain."""
        return tuple(doubt for doubt in self.doubts if not doubt.told)

    @exactly
    def held_by_others(self, symbol: str, side: Side) -> Decimal:
        """Return how much of a symbol orders of others have on a side: where a venue holds coins, no order of ours gets it."""
        return sum((one.left for one in self.foreign if (one.symbol, one.side) == (symbol, side)), ZERO)

    @property
    def steps(self) -> Mapping[str, Decimal]:
        """Return the steps of quantity by symbol."""
        return {one.symbol: one.step for one in self.instruments}

    def to_text(self) -> str:
        """Return it as it is stored; every number as exact decimal text."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_text(cls, text: str) -> AtVenue:
        """Return what `to_text` wrote. Raises pydantic.ValidationError."""
        return _ADAPTER.validate_json(text)


_ADAPTER: Final = TypeAdapter(AtVenue)


@lru_cache(maxsize=64)  # asked for by every snapshot, and changed by a view alone
def instruments_at(venue_instruments: tuple[VenueInstrument, ...]) -> Mapping[Symbol, Instrument]:
    """Return the venue's instruments as the checks judge them.

    Group, margin and fee are ours: no venue gives them in these terms.
    """
    found = {}
    for one in venue_instruments:
        symbol = Symbol(one.symbol)
        ours = INSTRUMENTS.get(symbol)
        found[symbol] = Instrument(
            symbol=symbol,
            group=CRYPTO if ours is None else ours.group,
            tick=one.tick,
            step=one.step,
            min_quantity=one.min_quantity,
            max_quantity=_UNLIMITED if one.max_quantity is None else one.max_quantity,
            min_notional=one.min_notional,
            max_notional=_UNLIMITED if one.max_notional is None else one.max_notional,
            margin_fraction=MARGIN_FRACTION if ours is None else ours.margin_fraction,
            fee_fraction=FEE_BPS / 10_000 if ours is None else ours.fee_fraction,
        )
    return MappingProxyType(found)


def venue_locks(venue_instruments: tuple[VenueInstrument, ...], at: datetime) -> tuple[Lock, ...]:
    """Return a lock for each symbol in which the venue takes no new position now."""
    until = at + timedelta.resolution
    return tuple(Lock(VENUE_CLOSED, Symbol(one.symbol), at, until, ZERO, ZERO) for one in venue_instruments if not one.can_open)


@exactly
def foreign_orders(shown: Iterable[VenueOrder], known: Collection[str]) -> tuple[ForeignOrder, ...]:
    """Return the open orders of a view that are none of these. One whose side the venue does not tell is left out."""
    return tuple(
        ForeignOrder(order.venue_order_id, order.symbol, order.side, order.quantity - order.filled)
        for order in shown
        if order.client_order_id not in known
        and order.status is VenueStatus.OPEN
        and order.side is not None
        and order.quantity > order.filled
    )


@dataclass(frozen=True, slots=True)
class DoubtReview:
    """The differences of one view: facts, and what is doubted after it. `new`: doubts that no view showed before."""

    facts: tuple[HaltAccount, ...]
    doubts: tuple[Doubt, ...]
    new: tuple[Doubt, ...]


def review_doubts(known: Iterable[Doubt], stops: Iterable[HaltAccount], asked_at: datetime) -> DoubtReview:
    """Return which of a view's differences are facts: those that an earlier view, SETTLE before it, showed alike.

    A trade of no known order is reported once, because views overlap and repeat it; anything else for as long as it lasts.
    """
    before = {doubt.key: doubt for doubt in known}
    facts: list[HaltAccount] = []
    doubts: list[Doubt] = []
    new: list[Doubt] = []
    for stop in stops:
        if not stop.difference.may_pass:
            facts.append(stop)
            continue
        old = before.get((stop.difference, stop.subject))
        first = asked_at if old is None else old.first
        same = old is not None and (old.ledger, old.venue) == (stop.ledger, stop.venue)
        since = old.since if old is not None and same else asked_at
        was_told = old is not None and old.told and same
        doubt = Doubt(stop.difference, stop.subject, stop.ledger, stop.venue, since, first, told=was_told)
        is_fact = was_told or asked_at - since >= SETTLE or asked_at - first >= DOUBTED_FOR
        if is_fact and not (was_told and stop.difference is VenueDifference.TRADE_UNKNOWN):
            facts.append(stop)
        if old is None:
            new.append(doubt)
        doubts.append(doubt if is_fact is was_told else replace(doubt, told=is_fact))
    return DoubtReview(tuple(facts), tuple(doubts), tuple(new))


def missed(known: Iterable[Doubt], asked_at: datetime) -> frozenset[str]:
    """Return the orders that a view, SETTLE before this instant, did not show."""
    return frozenset(
        doubt.subject
        for doubt in known
        if doubt.difference is VenueDifference.ORDER_VANISHED and asked_at - doubt.first >= SETTLE
    )
