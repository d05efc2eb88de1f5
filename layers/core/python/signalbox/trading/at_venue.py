"""The state of a live account at its venue between two reconciliations: instruments, doubts, and the last request for a view.

A doubt is a difference between ledger and venue that one view showed. A venue goes on trading while it is read and lists some
things late. So a difference becomes a fact only when a view taken after the settling time shows it again. Until then the
account takes no new risk and asks for another view every few seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

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

NEXT_VIEW_AFTER: Final = timedelta(seconds=5)  # wait before the next view while a doubt is open or a view is missing
DOUBTED_FOR: Final = timedelta(minutes=2)  # a difference whose figures change in each view becomes a fact after this long
VENUE_CLOSED: Final = "VENUE_CLOSED"  # reason of a lock: the venue accepts only reductions in this symbol
KEPT_ABSENT: Final = timedelta(days=1)  # how long we keep asking about an order that was ended because no view showed it
_UNLIMITED: Final = Decimal(10) ** 12  # stands for "no maximum"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A difference that a view showed. since: the first view with these figures. first: the first view with this key."""

    difference: VenueDifference
    subject: str
    ledger: str
    venue: str
    since: datetime
    first: datetime
    # the difference was confirmed and reported; stored as `told`, as earlier releases read it
    reported: Annotated[bool, Field(alias="told")] = False

    @property
    def key(self) -> tuple[VenueDifference, str]:
        """Identifies the doubt: the kind of difference and its subject."""
        return self.difference, self.subject


@dataclass(frozen=True, slots=True)
class VanishedOrder:
    """An order that was ended in the ledger because no view showed it. The venue may still report a fill of it."""

    client_order_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class ForeignOrder:
    """An open order that Signalbox did not send, for example from the venue's own app. `left`: open quantity, above 0."""

    venue_order_id: str
    symbol: str
    side: Side
    left: Decimal


@dataclass(frozen=True)  # without slots: `after` copies one dictionary
class AtVenue(Changing):
    """The whole state, stored as one JSON text. instruments: those of the newest view; none before the first view.

    instruments: from the newest view; empty before the first view. foreign: open orders of others in the newest view. others:
    signed positions of others by symbol, in the newest view that was compared; zeros are left out.
    """

    instruments: tuple[VenueInstrument, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    absent: tuple[VanishedOrder, ...] = ()
    asked_at: datetime | None = None  # due time of the newest view that was asked for
    foreign: tuple[ForeignOrder, ...] = ()
    others: tuple[tuple[str, Decimal], ...] = ()

    @property
    def open_doubts(self) -> tuple[Doubt, ...]:
        """Return the doubts that the next view may still explain."""
        return tuple(doubt for doubt in self.doubts if not doubt.reported)

    @exactly
    def held_by_others(self, symbol: str, side: Side) -> Decimal:
        """Return the open quantity of orders in a symbol and side that are not ours. On spot venues they reserve coins."""
        return sum((one.left for one in self.foreign if (one.symbol, one.side) == (symbol, side)), ZERO)

    @property
    def steps(self) -> Mapping[str, Decimal]:
        """Return the quantity step of each symbol."""
        return {one.symbol: one.step for one in self.instruments}

    def to_text(self) -> str:
        """Return the JSON text to store, with every number as exact decimal text."""
        return _ADAPTER.dump_json(self, by_alias=True).decode()

    @classmethod
    def from_text(cls, text: str) -> AtVenue:
        """Return the object that `to_text` wrote. Raises pydantic.ValidationError."""
        return _ADAPTER.validate_json(text)


_ADAPTER: Final = TypeAdapter(AtVenue)


@lru_cache(maxsize=64)  # every snapshot asks for it, and only a new view changes it
def instruments_at(venue_instruments: tuple[VenueInstrument, ...]) -> Mapping[Symbol, Instrument]:
    """Return the venue's instruments as the pre-trade checks need them.

    Group, margin and fee come from our own table, because no venue reports them in these terms.
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
    """Return a lock for each symbol in which the venue accepts no new position now."""
    until = at + timedelta.resolution
    return tuple(Lock(VENUE_CLOSED, Symbol(one.symbol), at, until, ZERO, ZERO) for one in venue_instruments if not one.can_open)


@exactly
def foreign_orders(shown: Iterable[VenueOrder], known: Collection[str]) -> tuple[ForeignOrder, ...]:
    """Return the open orders of a view that are not in `known`. An order whose side the venue does not report is left out."""
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
    """The result of reviewing one view: confirmed facts, doubts that remain, and `new` doubts that no earlier view showed."""

    facts: tuple[HaltAccount, ...]
    doubts: tuple[Doubt, ...]
    new: tuple[Doubt, ...]


def review_doubts(known: Iterable[Doubt], stops: Iterable[HaltAccount], asked_at: datetime) -> DoubtReview:
    """Sort a view's differences into facts and doubts. A difference is a fact when a view at least SETTLE earlier showed it too.

    A difference whose figures keep changing is a fact after DOUBTED_FOR. An unknown trade is reported once, because views overlap
    and repeat it; every other fact is reported for as long as it lasts.
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
        was_reported = old is not None and old.reported and same
        doubt = Doubt(stop.difference, stop.subject, stop.ledger, stop.venue, since, first, reported=was_reported)
        is_fact = was_reported or asked_at - since >= SETTLE or asked_at - first >= DOUBTED_FOR
        if is_fact and not (was_reported and stop.difference is VenueDifference.TRADE_UNKNOWN):
            facts.append(stop)
        if old is None:
            new.append(doubt)
        doubts.append(doubt if is_fact is was_reported else replace(doubt, reported=is_fact))
    return DoubtReview(tuple(facts), tuple(doubts), tuple(new))


def missed(known: Iterable[Doubt], asked_at: datetime) -> frozenset[str]:
    """Return the orders that were missing already in a view at least SETTLE before `asked_at`."""
    return frozenset(
        doubt.subject
        for doubt in known
        if doubt.difference is VenueDifference.ORDER_VANISHED and asked_at - doubt.first >= SETTLE
    )
