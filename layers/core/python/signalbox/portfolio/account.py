"""An account's books: cash, positions and lots, made from its entries in the order in which they happened.

Two views of the same money, equal to the last digit:
  equity = cash + sum(quantity * mark)          what is there, and what the holdings are worth
  equity = balance + sum(unrealised)            what was closed, and what closing the rest would bring
with balance = transfers + realised - fees + funding, and cash = balance - cost of the open positions.
Books are a pure function of the set of entries: `record` books the next one, `book` all of them in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import assert_never

from signalbox.exact import ZERO, exactly
from signalbox.portfolio.entries import Entry, Fill, FundingPayment, Transfer, booking_order
from signalbox.portfolio.errors import EntryConflictError, OutOfOrderError, PortfolioError
from signalbox.portfolio.lots import Disposal, Lot, StandingOrder, lots_after, method_at
from signalbox.portfolio.position import BookedPosition, after_fill, after_funding


def _no_lots() -> Mapping[str, tuple[Lot, ...]]:
    return MappingProxyType({})


def _no_positions() -> Mapping[str, BookedPosition]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Books:
    """The state of an account. `cash`: all money that moved, spot-wise: a buy takes its value, a sale brings it."""

    account: str
    standing_orders: tuple[StandingOrder, ...] = ()
    cash: Decimal = ZERO
    transfers: Decimal = ZERO
    positions: Mapping[str, BookedPosition] = field(default_factory=_no_positions)
    lots: Mapping[str, tuple[Lot, ...]] = field(default_factory=_no_lots)
    newest: Entry | None = None

    @property
    @exactly
    def balance(self) -> Decimal:
        """Transfers plus everything realised, after fees and funding: what a margin account calls its balance."""
        return self.transfers + sum((p.net_realised for p in self.positions.values()), ZERO)

    def position(self, symbol: str) -> BookedPosition:
        """Return the position of a symbol; flat when it was never traded."""
        return self.positions.get(symbol) or BookedPosition(symbol)


@dataclass(frozen=True, slots=True)
class BookingResult:
    """Books after entries, and the lots those entries closed, in order."""

    books: Books
    disposals: tuple[Disposal, ...] = ()


@dataclass(frozen=True, slots=True)
class EquitySnapshot:
    """An account at one instant and one set of marks; all of it in the account's currency."""

    account: str
    at: datetime
    cash: Decimal
    balance: Decimal
    unrealised: Decimal
    equity: Decimal
    exposure: Decimal  # sum of the absolute values of the positions
    transfers: Decimal
    realised: Decimal
    fees: Decimal
    funding: Decimal
    marks: Mapping[str, Decimal]


@exactly
def record(books: Books, entry: Entry) -> BookingResult:
    """Book the next entry; the newest one again changes nothing.

    Raises EntryConflictError when it is the newest one with other data, OutOfOrderError when it happened before it (the
    caller books the account again from all of its entries), PortfolioError when it is of another account.
    """
    if entry.account != books.account:
        raise PortfolioError(f"expected an entry of {books.account}, was {entry.entry_id}")
    if books.newest is not None and booking_order(entry) <= booking_order(books.newest):
        if entry.entry_id != books.newest.entry_id:
            raise OutOfOrderError(f"{books.account}: expected an entry after {books.newest.entry_id}, was {entry.entry_id}")
        if entry != books.newest:
            raise EntryConflictError(f"{books.account}: conflicting duplicate of {entry.entry_id}")
        return BookingResult(books)
    match entry:
        case Fill():
            return _record_fill(books, entry)
        case FundingPayment():
            after = after_funding(books.position(entry.symbol), entry)
            moved = replace(books, positions=_with(books.positions, entry.symbol, after), cash=books.cash + entry.amount)
            return BookingResult(replace(moved, newest=entry))
        case Transfer():
            cash, transfers = books.cash + entry.amount, books.transfers + entry.amount
            return BookingResult(replace(books, cash=cash, transfers=transfers, newest=entry))
        case _:
            assert_never(entry)


def _record_fill(books: Books, fill: Fill) -> BookingResult:
    method = method_at(books.standing_orders, fill.at)
    lots, disposals = lots_after(books.lots.get(fill.symbol, ()), fill, method)
    symbol = fill.symbol
    after = Books(
        books.account,
        books.standing_orders,
        books.cash - fill.signed_quantity * fill.price - fill.fee,
        books.transfers,
        _with(books.positions, symbol, after_fill(books.position(symbol), fill)),
        MappingProxyType({**books.lots, symbol: lots}),
        fill,
    )
    return BookingResult(after, disposals)


def _with(positions: Mapping[str, BookedPosition], symbol: str, position: BookedPosition) -> Mapping[str, BookedPosition]:
    return MappingProxyType({**positions, symbol: position})


def book(account: str, entries: Iterable[Entry], standing_orders: Sequence[StandingOrder] = ()) -> BookingResult:
    """Return the books of all entries of an account, whatever their order and however often each is given.

    Raises EntryConflictError when a key comes with two different contents, PortfolioError as `record` does.
    """
    return continue_books(Books(account, tuple(standing_orders)), entries)


def continue_books(books: Books, entries: Iterable[Entry]) -> BookingResult:
    """As `book`, from books that are kept as a checkpoint; every entry has to be after their newest one."""
    unique: dict[str, Entry] = {}
    for entry in entries:
        if (first := unique.setdefault(entry.entry_id, entry)) != entry:
            raise EntryConflictError(f"{books.account}: conflicting duplicate of {entry.entry_id}: {first!r} and {entry!r}")
    disposals: list[Disposal] = []
    for entry in sorted(unique.values(), key=booking_order):
        booked = record(books, entry)
        books = booked.books
        disposals += booked.disposals
    return BookingResult(books, tuple(disposals))


@exactly
def snapshot(books: Books, marks: Mapping[str, Decimal], at: datetime) -> EquitySnapshot:
    """Return the account's equity at these marks. Raises PortfolioError when an open position has no mark: none is made up."""
    held = {symbol: p for symbol, p in sorted(books.positions.items()) if p.quantity}
    if missing := sorted(held.keys() - marks.keys()):
        raise PortfolioError(f"{books.account}: expected a mark for each open position, none for {', '.join(missing)}")
    values = [p.value(marks[symbol]) for symbol, p in held.items()]
    every = books.positions.values()
    return EquitySnapshot(
        account=books.account,
        at=at,
        cash=books.cash,
        balance=books.balance,
        unrealised=sum((p.unrealised(marks[symbol]) for symbol, p in held.items()), ZERO),
        equity=books.cash + sum(values, ZERO),
        exposure=sum((abs(value) for value in values), ZERO),
        transfers=books.transfers,
        realised=sum((p.realised for p in every), ZERO),
        fees=sum((p.fees for p in every), ZERO),
        funding=sum((p.funding for p in every), ZERO),
        marks=MappingProxyType({symbol: marks[symbol] for symbol in held}),
    )
