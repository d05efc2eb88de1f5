"""The facts that reports are made from: those of one account and period, all from one snapshot of the ledger.

Implementations: adapters.postgres.report_source, and an in-memory twin in tests/fakes. Reports are pure functions of these facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from signalbox.exact import ZERO
from signalbox.market.candles import Candle
from signalbox.orders.order import Order
from signalbox.portfolio.account import BookingResult, Books, EquitySnapshot, continue_books, snapshot
from signalbox.portfolio.entries import Entry, Fill, booking_order
from signalbox.portfolio.errors import PortfolioError
from signalbox.portfolio.lots import Disposal, StandingOrder
from signalbox.reports.curve import EquityCurve, EquitySample
from signalbox.reports.errors import ReportSourceError
from signalbox.reports.measurement import MeasuredOrder
from signalbox.reports.period import ReportPeriod
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import Mark
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import RiskEvent
from signalbox.trading.state import Halt, Trade


@dataclass(frozen=True, slots=True)
class Valuation:
    """The books at one instant, and their value then."""

    at: datetime
    books: Books
    snapshot: EquitySnapshot
    marks: Mapping[str, Mark]  # of the open positions


@dataclass(frozen=True)
class AccountPeriod:
    """One account from the start of a period until `until`, which is the period's end or the instant of reading if earlier.

    entries: all from the account's beginning, with at < until. marks: each symbol's newest price at each instant of
    `period.boundaries(until)`. curve: the snapshots recorded in the period. orders, trades: those decided, filled or closed in
    it. disposals: lots closed in it. window_fills: fills of all accounts of the same taxpayer, from 30 days before the period
    until 30 days after. days: every finished day under the account's rules, since it began. quality: orders that closed in the
    period.
    """

    account: TradingAccount
    period: ReportPeriod
    until: datetime
    entries: tuple[Entry, ...]
    marks: Mapping[datetime, Mapping[str, Mark]]
    standing_orders: tuple[StandingOrder, ...] = ()
    curve: EquityCurve = field(default_factory=EquityCurve)
    orders: tuple[Order, ...] = ()
    trades: tuple[Trade, ...] = ()
    disposals: tuple[Disposal, ...] = ()
    window_fills: tuple[Fill, ...] = ()
    risk_events: tuple[RiskEvent, ...] = ()
    halt: Halt | None = None
    days: tuple[AccountDay, ...] = ()
    quality: tuple[MeasuredOrder, ...] = ()

    @property
    def start(self) -> datetime:
        """The first instant of the period."""
        return self.period.start

    @property
    def is_running(self) -> bool:
        """Whether the period had not ended when the facts were read."""
        return self.until < self.period.end

    @cached_property
    def booked_entries(self) -> tuple[Entry, ...]:
        """The entries in booking order."""
        return tuple(sorted(self.entries, key=booking_order))

    @cached_property
    def inside(self) -> tuple[Entry, ...]:
        """The entries within the period."""
        return tuple(entry for entry in self.booked_entries if entry.at >= self.start)

    @cached_property
    def _booked(self) -> tuple[tuple[Valuation, ...], tuple[Disposal, ...]]:
        booked = BookingResult(Books(self.account.account, self.standing_orders))
        found: list[Valuation] = []
        disposals: list[Disposal] = []
        index, entries = 0, self.booked_entries
        for boundary in self.period.boundaries(self.until):
            upto = index
            while upto < len(entries) and entries[upto].at < boundary:
                upto += 1
            booked = continue_books(booked.books, entries[index:upto])
            if found:
                disposals += booked.disposals
            index = upto
            found.append(self._valued(boundary, booked.books))
        return tuple(found), tuple(disposals)

    def _valued(self, at: datetime, books: Books) -> Valuation:
        known = self.marks.get(at, MappingProxyType({}))
        held = {symbol: known[symbol] for symbol, p in books.positions.items() if p.quantity and symbol in known}
        try:
            taken = snapshot(books, {symbol: mark.price for symbol, mark in held.items()}, at)
        except PortfolioError as error:
            raise ReportSourceError(
                f"{error} at {at.isoformat()}: {self.account.market} has no candle that closed before it"
            ) from error
        return Valuation(at, books, taken, MappingProxyType(held))

    @property
    def valuations(self) -> tuple[Valuation, ...]:
        """The account at the period's start and at the end of each part. Raises ReportSourceError if a price is missing."""
        return self._booked[0]

    @property
    def booked_disposals(self) -> tuple[Disposal, ...]:
        """The lots that the period's entries close, computed from the books."""
        return self._booked[1]

    @property
    def opening(self) -> Valuation:
        """The account at the start of the period."""
        return self.valuations[0]

    @property
    def closing(self) -> Valuation:
        """The account at the end of the period."""
        return self.valuations[-1]

    @cached_property
    def whole_curve(self) -> EquityCurve:
        """The recorded curve between the account's valuations at start and end."""
        return self.curve.between(_point(self.opening), _point(self.closing))


def _point(valuation: Valuation) -> EquitySample:
    taken = valuation.snapshot
    return EquitySample(taken.at, taken.equity, taken.transfers, taken.exposure or ZERO)


class ReportSource(Protocol):
    """Reads accounts and periods. All facts of one period come from one snapshot of the ledger."""

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account, sorted by name."""

    def period(self, account: str, period: ReportPeriod, until: datetime) -> AccountPeriod:
        """Return the facts of the period until min(period.end, until).

        Raises AccountError if there is no such account, PeriodError if the account did not exist in the period.
        """


class QualityLedger(Protocol):
    """Stores measurements of execution quality, and reads what they are made from."""

    def closed_orders(self, account: str, since: datetime, until: datetime) -> Sequence[Order]:
        """Return the orders that were sent, and closed in [since, until), ordered by closing time."""

    def bars(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        """Return the bars with start <= open_time < end, oldest first."""

    def save_quality(self, rows: Sequence[MeasuredOrder]) -> int:
        """Store one row for each order, replacing earlier ones; return how many are new or changed."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A published file: its path, its content's sha256, and what it was made from.

    published_at: the scheduled instant at which the path first held these bytes. made_at: when these bytes were last made.
    made_from: the file includes every fact booked up to this number.
    """

    path: str
    account: str
    period: str
    kind: str
    sha256: str
    size: int  # bytes
    published_at: datetime
    made_at: datetime
    made_from: int


@dataclass(frozen=True, slots=True)
class FactsBooked:
    """Facts that affect reports about [since, until], both ends included. until: None if all later instants are affected.

    booked: the highest number under which one of them was booked.
    """

    since: datetime
    until: datetime | None
    booked: int

    def touch(self, period: ReportPeriod) -> bool:
        """Return whether these facts may affect a report of the period."""
        return self.since < period.end and (self.until is None or period.start <= self.until)


@dataclass(frozen=True, slots=True)
class ReportMark:
    """How far an account's reports are current: they include facts booked up to `booked`, and periods that ended by `at`."""

    booked: int
    at: datetime


class PublicationLog(Protocol):
    """The record of published files. It also finds the facts that were booked after a publication."""

    def settled(self) -> int:
        """Return a number such that every fact booked up to it is visible to reads from now on."""

    def published(self, account: str) -> Sequence[Publication]:
        """Return the published files of an account, sorted by path."""

    def booked(self, account: str, zone: str, after: int, before: datetime) -> Sequence[FactsBooked]:
        """Return the facts booked with numbers above `after` that may affect a report whose period ends by `before`.

        zone: the time zone whose days the account is reported in.
        """

    def record(self, publications: Sequence[Publication]) -> int:
        """Record files, replacing older ones with the same path; return how many are new or have changed bytes."""

    def mark(self, account: str) -> ReportMark | None:
        """Return how far the account's reports are current, or None before the first report."""

    def set_mark(self, account: str, mark: ReportMark) -> None:
        """Store the account's mark."""
