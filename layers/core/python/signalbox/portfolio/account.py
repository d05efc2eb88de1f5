"""An account's books: cash, positions and lots, computed from its entries in the order in which they happened.

Equity has two formulas that agree to the last digit:
  equity = cash + sum(quantity * mark)          cash plus the value of the holdings
  equity = balance + sum(unrealised)            what was realised plus what closing the rest would bring
with balance = transfers + realised - fees + funding, and cash = balance - cost of the open positions.
Books are a pure function of the set of entries: `record` books the next entry, `book` takes all of them in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import assert_never

from signalbox.exact import ZERO, exactly
from signalbox.frozen import made_once
from signalbox.portfolio.entries import Entry, Fill, FundingPayment, Transfer, booking_order
from signalbox.portfolio.errors import EntryConflictError, OutOfOrderError, PortfolioError
from signalbox.portfolio.lots import Disposal, Lot, StandingOrder, lots_after, method_at
from signalbox.portfolio.position import BookedPosition, after_fill, after_funding


def _no_lots() -> Mapping[str, tuple[Lot, ...]]:
    return MappingProxyType({})


def _no_positions() -> Mapping[str, BookedPosition]:
    return MappingProxyType({})


@dataclass(frozen=True)  # without slots: what is asked of the same books again and again is kept in `__dict__`
class Books:
    """The books of an account. cash: a buy deducts its value and a sale adds it, as in spot trading, for margin accounts too."""

    account: str
    standing_orders: tuple[StandingOrder, ...] = ()
    cash: Decimal = ZERO
    transfers: Decimal = ZERO
    positions: Mapping[str, BookedPosition] = field(default_factory=_no_positions)
    lots: Mapping[str, tuple[Lot, ...]] = field(default_factory=_no_lots)
    newest: Entry | None = None

    @made_once
    @exactly
    def balance(self) -> Decimal:
        """Transfers plus realised profit, after fees and funding; a margin account calls this its balance."""
        total = self.transfers
        for position in self.positions.values():
            total += position.realised - position.fees + position.funding
        return total

    @made_once
    def held(self) -> Mapping[str, Decimal]:
        """Signed positions that are not flat, by symbol, in order."""
        positions = self.positions
        return MappingProxyType({symbol: quantity for symbol in sorted(positions) if (quantity := positions[symbol].quantity)})

    def position(self, symbol: str) -> BookedPosition:
        """Return the position of a symbol; a flat one if it was never traded."""
        return self.positions.get(symbol) or BookedPosition(symbol)


@dataclass(frozen=True, slots=True)
class BookingResult:
    """The account's books after some entries, and the lots that these entries closed, in the order of the entries."""

    books: Books
    disposals: tuple[Disposal, ...] = ()


@dataclass(frozen=True, slots=True)
class EquitySnapshot:
    """An account at one instant, valued at one set of marks. All amounts are in the account's currency."""

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
    """Return the books after the next entry. Booking the newest entry again changes nothing.

    Raises EntryConflictError if the newest entry comes again with other data, OutOfOrderError if the entry happened before the
    newest one (the caller then books all of the account's entries again), PortfolioError if it is of another account.
    """
    if entry.account != books.account:
        raise PortfolioError(f"expected an entry of account {books.account}, got {entry.entry_id}")
    if books.newest is not None and booking_order(entry) <= booking_order(books.newest):
        if entry.entry_id != books.newest.entry_id:
            raise OutOfOrderError(f"{books.account}: expected an entry after {books.newest.entry_id}, got {entry.entry_id}")
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
    """Return the books of all entries of an account. Their order and duplicates make no difference.

    Raises EntryConflictError if two entries have the same key but other data, and PortfolioError as `record` does.
    """
    return continue_books(Books(account, tuple(standing_orders)), entries)


def continue_books(books: Books, entries: Iterable[Entry]) -> BookingResult:
    """Return the books after more entries, starting from a checkpoint. Every entry must be after the checkpoint's newest one."""
    unique: dict[str, Entry] = {}
    for entry in entries:
        if (first := unique.setdefault(entry.entry_id, entry)) != entry:
            raise EntryConflictError(f"{books.account}: conflicting duplicates of {entry.entry_id}: {first!r} and {entry!r}")
    disposals: list[Disposal] = []
    for entry in sorted(unique.values(), key=booking_order):
        booked = record(books, entry)
        books = booked.books
        disposals += booked.disposals
    return BookingResult(books, tuple(disposals))


@exactly
def snapshot(books: Books, marks: Mapping[str, Decimal], at: datetime) -> EquitySnapshot:
    """Return the account's equity at these marks. Raises PortfolioError if an open position has no mark; none is invented."""
    worth, unrealised, exposure, realised, fees, funding = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    held: dict[str, Decimal] = {}
    for symbol, position in sorted(books.positions.items()):
        realised += position.realised
        fees += position.fees
        funding += position.funding
        if not position.quantity:
            continue
        if symbol not in marks:
            missing = ", ".join(sorted(name for name, p in books.positions.items() if p.quantity and name not in marks))
            raise PortfolioError(f"{books.account}: expected a mark for each open position, but {missing} has none")
        held[symbol] = mark = marks[symbol]
        value = position.quantity * mark
        worth += value
        unrealised += value - position.cost
        exposure += abs(value)
    return EquitySnapshot(
        account=books.account,
        at=at,
        cash=books.cash,
        balance=books.transfers + realised - fees + funding,
        unrealised=unrealised,
        equity=books.cash + worth,
        exposure=exposure,
        transfers=books.transfers,
        realised=realised,
        fees=fees,
        funding=funding,
        marks=MappingProxyType(held),
    )
