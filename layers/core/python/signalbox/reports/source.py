"""What a report is made of: the facts of one account and period, read at one instant of the ledger.

Implementations: adapters.postgres.report_source, and a memory twin in tests/fakes. Reports are pure functions of this.
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
    """The books at one instant, and what they are worth there."""

    at: datetime
    books: Books
    snapshot: EquitySnapshot
    marks: Mapping[str, Mark]  # of the positions that are open


@dataclass(frozen=True)
class AccountPeriod:
    """One account from the start of a period until `until`: its end, or the instant that was asked at when that is earlier.

    entries: all since the account began, at < until. marks: at each of `period.boundaries(until)`, the newest price of each
    symbol then. curve: the snapshots that were recorded inside. orders, trades: those that were decided, filled or closed
    inside. disposals: of closes inside. window_fills: of every account of the same taxpayer, from 30 days before until 30
    days after. days: every finished day of the account's rules, since it began. quality: of orders that closed inside.
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
        """The first instant."""
        return self.period.start

    @property
    def is_running(self) -> bool:
        """Whether the period was not over when it was read."""
        return self.until < self.period.end

    @cached_property
    def booked_entries(self) -> tuple[Entry, ...]:
        """The entries in the order they are booked."""
        return tuple(sorted(self.entries, key=booking_order))

    @cached_property
    def inside(self) -> tuple[Entry, ...]:
        """The entries of the period itself."""
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
                f"{error} at {at.isoformat()}: no candle of {self.account.market} closed before it"
            ) from error
        return Valuation(at, books, taken, MappingProxyType(held))

    @property
    def valuations(self) -> tuple[Valuation, ...]:
        """The account at the start and at the end of each part. Raises ReportSourceError when an open position has no price."""
        return self._booked[0]

    @property
    def booked_disposals(self) -> tuple[Disposal, ...]:
        """The lots that the entries of the period close, as the books say."""
        return self._booked[1]

    @property
    def opening(self) -> Valuation:
        """The account at the start."""
        return self.valuations[0]

    @property
    def closing(self) -> Valuation:
        """The account at the end."""
        return self.valuations[-1]

    @cached_property
    def whole_curve(self) -> EquityCurve:
        """The recorded curve between the account's own valuations at start and end."""
        return self.curve.between(_point(self.opening), _point(self.closing))


def _point(valuation: Valuation) -> EquitySample:
    taken = valuation.snapshot
    return EquitySample(taken.at, taken.equity, taken.transfers, taken.exposure or ZERO)


class ReportSource(Protocol):
    """Reads accounts and periods. Everything of one period is of one instant of the ledger."""

    def accounts(self) -> Sequence[TradingAccount]:
        """Return every account, by name."""

    def period(self, account: str, period: ReportPeriod, until: datetime) -> AccountPeriod:
        """Return the facts until min(period.end, until).

        Raises AccountError if there is no such account, PeriodError if it did not exist in the period.
        """


class QualityLedger(Protocol):
    """Where execution quality is measured and kept."""

    def closed_orders(self, account: str, since: datetime, until: datetime) -> Sequence[Order]:
        """Return the orders that were sent and closed in [since, until), by the instant they closed."""

    def bars(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        """Return the bars with start <= open_time < end, oldest first."""

    def save_quality(self, rows: Sequence[MeasuredOrder]) -> int:
        """Write one row an order, replacing what was measured before; return how many are new or other than before."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A file that was published: where, what it holds (sha256), and what it was made from.

    published_at: the scheduled instant at which the path first held these bytes; made_at: that at which they were last made.
    made_from: every fact that was booked up to this number is in it.
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
    """Facts that change the reports of [since, until], both inclusive; `until` None: of every later instant too.

    booked: the highest of their numbers.
    """

    since: datetime
    until: datetime | None
    booked: int

    def touch(self, period: ReportPeriod) -> bool:
        """Return whether a report of the period may tell of them."""
        return self.since < period.end and (self.until is None or period.start <= self.until)


@dataclass(frozen=True, slots=True)
class ReportMark:
    """How far an account's reports are known to be right: its facts up to `booked`, the periods that had ended `at`."""

    booked: int
    at: datetime


class PublicationLog(Protocol):
    """The record of what was published, and of what was booked since."""

    def settled(self) -> int:
        """Return a number such that every fact booked up to it can be read from now on."""

    def published(self, account: str) -> Sequence[Publication]:
        """Return what was published of an account, by path."""

    def booked(self, account: str, zone: str, after: int, before: datetime) -> Sequence[FactsBooked]:
        """Return the facts booked under numbers above `after` that a report may tell of which ends by `before`.

        zone: whose days the reports count in.
        """

    def record(self, publications: Sequence[Publication]) -> int:
        """Write them, replacing older ones of the same path; return how many hold other bytes than before, or are new."""

    def mark(self, account: str) -> ReportMark | None:
        """Return how far the account was looked through; None: never."""

    def set_mark(self, account: str, mark: ReportMark) -> None:
        """Write how far."""
