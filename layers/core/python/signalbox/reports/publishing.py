"""One run of publish_reports: measures the cost of filled orders, writes yesterday's reports and amends older ones.

Yesterday is the day that had ended in the account's time zone at the scheduled instant. On the first of a month the reports of
the last month are written too, on 1 January those of the last year. Then every older period is written again whose facts changed
since (`owed.py`) or that an earlier run left out. Everything is a function of the ledger, so a repeated run writes the same bytes
to the same paths. If one report fails, or one account's orders cannot be measured or its facts contradict each other, all others
are still published; the run then fails at its end, so that somebody looks, and the next run tries again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import DecimalException
from typing import Final, Protocol

from signalbox.errors import SignalboxError
from signalbox.orders.errors import OrderError
from signalbox.portfolio.errors import PortfolioError
from signalbox.reports.build import BUILDERS, build
from signalbox.reports.errors import PeriodError, ReportError
from signalbox.reports.measurement import MeasuredOrder, Unmeasured, bars_needed, measure
from signalbox.reports.owed import owed_periods, published_until
from signalbox.reports.period import PeriodKind, ReportPeriod, finished_periods, zone_of
from signalbox.reports.report import Report, ReportKind
from signalbox.reports.source import Publication, PublicationLog, QualityLedger, ReportMark, ReportSource
from signalbox.trading.account import TradingAccount

_CONTRADICTIONS: Final = (ReportError, PortfolioError, OrderError, DecimalException)  # errors of facts, not of the ledger
MEASURE_AGAIN: Final = timedelta(days=3)  # a fill or candle that arrives this late still changes a measurement
CONTENT_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "html": "text/html; charset=utf-8"}


class PublishError(ReportError):
    """Some reports could not be published. All others were."""


class ReportStore(Protocol):
    """Storage of published reports."""

    def put(self, path: str, content: bytes, content_type: str) -> None:
        """Write a file atomically, replacing what was there."""


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """A report or measurement that failed for an account, and why."""

    account: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PublishRun:
    """The result of one run. changed: how many files are new or have other bytes than before."""

    published: tuple[Publication, ...]
    changed: int
    measured: int
    unmeasured: tuple[Unmeasured, ...]
    failures: tuple[PublishFailure, ...]


def report_path(account: str, period: str, kind: ReportKind, ending: str) -> str:
    """Return the path under which a report is published."""
    return f"reports/account={account}/period={period}/kind={kind.value}.{ending}"


def files_of(report: Report) -> dict[str, bytes]:
    """Return a report's files, keyed by file name extension."""
    return {"csv": report.csv().encode(), "html": report.html().encode()}


def publish(
    scheduled_at: datetime, *, source: ReportSource, quality: QualityLedger, store: ReportStore, log: PublicationLog
) -> PublishRun:
    """Measure and publish for every account. Raises the errors of the ledger and the store if they do not answer."""
    night = _Night(scheduled_at, source=source, quality=quality, store=store, log=log)
    accounts = source.accounts()
    for account in accounts:
        night.measure(account, scheduled_at - MEASURE_AGAIN, scheduled_at)
    night.made_from = log.settled()  # must be read before any fact that a report is made from
    known = {account.account: log.published(account.account) for account in accounts}
    for account in accounts:
        for period in finished_periods(scheduled_at, zone_of(account)):
            night.write(account, period, {})
    for account in accounts:  # only now, so that yesterday's reports of all accounts precede any amendment
        night.amend(account, known[account.account])
    return night.run()


class _Night:
    """One run and its results so far."""

    def __init__(
        self,
        scheduled_at: datetime,
        *,
        source: ReportSource,
        quality: QualityLedger,
        store: ReportStore,
        log: PublicationLog,
    ) -> None:
        self._at, self._source, self._quality, self._store, self._log = scheduled_at, source, quality, store, log
        self.made_from = 0
        self._published: list[Publication] = []
        self._failures: list[PublishFailure] = []
        self._unmeasured: list[Unmeasured] = []
        self._measured = self._changed = 0

    def run(self) -> PublishRun:
        """Return the results."""
        return PublishRun(tuple(self._published), self._changed, self._measured, tuple(self._unmeasured), tuple(self._failures))

    def measure(self, account: TradingAccount, since: datetime, until: datetime) -> None:
        """Measure the orders of an account that closed in [since, until)."""
        try:
            rows, left_out = measured_orders(account, since, until, self._quality)
        except _CONTRADICTIONS as error:
            self._failures.append(PublishFailure(account.account, "measurement of its orders", _reported(error)))
        else:
            self._measured += self._quality.save_quality(rows)
            self._unmeasured += [one for one in left_out if one not in self._unmeasured]

    def write(self, account: TradingAccount, period: ReportPeriod, kept: Mapping[str, str]) -> None:
        """Write and record the files of a period. kept: digest by path; a file with that digest is not written again."""
        try:
            data = self._source.period(account.account, period, self._at)
        except PeriodError:
            return  # the account was opened after the period
        except _CONTRADICTIONS as error:
            self._failures.append(PublishFailure(account.account, f"facts of {period.name}", _reported(error)))
            return
        made: list[Publication] = []
        for kind in BUILDERS:
            try:
                files = files_of(build(kind, data))
            except (SignalboxError, DecimalException) as error:
                self._failures.append(PublishFailure(account.account, f"{kind.value} of {period.name}", _reported(error)))
                continue
            for ending, content in files.items():
                one = self._publication(account.account, period.name, kind, ending, content)
                if kept.get(one.path) != one.sha256:
                    self._store.put(one.path, content, CONTENT_TYPES[ending])
                made.append(one)
        self._changed += self._log.record(made)  # at once, so that a run that stops here need not begin again
        self._published += made

    def amend(self, account: TradingAccount, known: Sequence[Publication]) -> None:
        """Write the owed reports of an account, and move its mark if all succeeded. A run for a past night amends nothing."""
        name, zone = account.account, zone_of(account)
        mark = self._log.mark(name) or ReportMark(0, self._at)
        if mark.at > self._at:
            return
        newest = published_until(known, zone)
        booked = () if newest is None else self._log.booked(name, zone, mark.booked, newest)
        expected = len(BUILDERS) * len(CONTENT_TYPES)
        kept = {one.path: one.sha256 for one in known}
        tried = finished_periods(self._at, zone)
        for period in owed_periods(known, booked, mark=mark, expected=expected, scheduled_at=self._at, zone=zone):
            if period in tried:
                continue
            if period.kind is PeriodKind.DAY and period.start < self._at - MEASURE_AGAIN:
                self.measure(account, period.start, period.end)
            self.write(account, period, kept)
        if not any(failure.account == name for failure in self._failures):
            self._log.set_mark(name, ReportMark(self.made_from, self._at))

    def _publication(self, account: str, period: str, kind: ReportKind, ending: str, content: bytes) -> Publication:
        return Publication(
            path=report_path(account, period, kind, ending),
            account=account,
            period=period,
            kind=kind.value,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            published_at=self._at,
            made_at=self._at,
            made_from=self.made_from,
        )


def measured_orders(
    account: TradingAccount, since: datetime, until: datetime, quality: QualityLedger
) -> tuple[list[MeasuredOrder], list[Unmeasured]]:
    """Return the rows of the account's orders that closed in [since, until), and the orders that could not be measured."""
    rows: list[MeasuredOrder] = []
    left_out: list[Unmeasured] = []
    for order in quality.closed_orders(account.account, since, until):
        found = measure(order, account.venue, quality.bars(account.market, order.terms.symbol, *bars_needed(order)))
        if isinstance(found, Unmeasured):
            left_out.append(found)
        else:
            rows.append(found)
    return rows, left_out


def _reported(error: Exception) -> str:
    """Return the error's text, with the class of a decimal error, whose text names only its signals."""
    return f"{type(error).__name__}: {error}" if isinstance(error, DecimalException) else str(error)


def only_period(period: ReportPeriod, until: datetime) -> datetime:
    """Return the end of a report on this period: the period's end, or `until` if it still runs.

    Raises PeriodError if it has not begun.
    """
    if until <= period.start:
        raise PeriodError(f"period {period.name} has not begun: it begins at {period.start.isoformat()}")
    return min(period.end, until)
