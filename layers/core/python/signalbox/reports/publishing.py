"""One run of publish_reports: what it cost to fill yesterday's orders is measured, then yesterday's reports are written.

Yesterday is the account's: the day that was over in its zone at the scheduled instant. On the first of a month the month's
reports are written too, on 1 January the year's. Everything is a function of the ledger, so a repeated run writes the same
bytes to the same paths. A report that fails leaves the others alone, and so does an account whose orders cannot be measured or
whose facts contradict each other; the run fails at its end, so that somebody looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
from signalbox.reports.period import Period, finished_periods, zone_of
from signalbox.reports.report import Report, ReportKind
from signalbox.reports.source import AccountPeriod, Publication, PublicationLog, QualityLedger, ReportSource
from signalbox.trading.account import TradingAccount

_CONTRADICTIONS: Final = (ReportError, PortfolioError, OrderError, DecimalException)  # of an account's facts, not of a ledger
MEASURE_AGAIN: Final = timedelta(days=3)  # a late fill or candle changes what was measured
CONTENT_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "html": "text/html; charset=utf-8"}


class PublishError(ReportError):
    """Reports that were not published; the others were."""


class Shelf(Protocol):
    """Where reports lie."""

    def put(self, path: str, content: bytes, content_type: str) -> None:
        """Write a file as one step, replacing what was there."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What was not made of an account, and why."""

    account: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PublishRun:
    """What one run did. `changed`: files with other bytes than before, or new."""

    published: tuple[Publication, ...]
    changed: int
    measured: int
    unmeasured: tuple[Unmeasured, ...]
    failures: tuple[Failure, ...]


def report_path(account: str, period: str, kind: ReportKind, ending: str) -> str:
    """Return the path of a published report."""
    return f"reports/account={account}/period={period}/kind={kind.value}.{ending}"


def files_of(report: Report) -> dict[str, bytes]:
    """Return a report's files by their ending."""
    return {"csv": report.csv().encode(), "html": report.html().encode()}


def publish(
    scheduled_at: datetime, *, source: ReportSource, quality: QualityLedger, shelf: Shelf, log: PublicationLog
) -> PublishRun:
    """Measure and publish for every account. Raises what the ledger and the shelf raise when they do not answer."""
    published: list[Publication] = []
    failures: list[Failure] = []
    unmeasured: list[Unmeasured] = []
    measured = 0
    for account in source.accounts():
        try:
            rows, left_out = measured_orders(account, scheduled_at - MEASURE_AGAIN, scheduled_at, quality)
        except _CONTRADICTIONS as error:
            failures.append(Failure(account.account, "measurement of its orders", _told(error)))
        else:
            measured += quality.save_quality(rows)
            unmeasured += left_out
        for period in finished_periods(scheduled_at, zone_of(account)):
            try:
                data = source.period(account.account, period, scheduled_at)
            except PeriodError:
                continue  # the account was opened after it
            except _CONTRADICTIONS as error:
                failures.append(Failure(account.account, f"facts of {period.name}", _told(error)))
                continue
            done, failed = _publish_period(data, shelf, scheduled_at)
            published += done
            failures += failed
    return PublishRun(tuple(published), log.record(published), measured, tuple(unmeasured), tuple(failures))


def measured_orders(
    account: TradingAccount, since: datetime, until: datetime, quality: QualityLedger
) -> tuple[list[MeasuredOrder], list[Unmeasured]]:
    """Return the rows of the account's orders that closed in [since, until), and those the candles say too little about."""
    rows: list[MeasuredOrder] = []
    left_out: list[Unmeasured] = []
    for order in quality.closed_orders(account.account, since, until):
        found = measure(order, account.venue, quality.bars(account.market, order.terms.symbol, *bars_needed(order)))
        if isinstance(found, Unmeasured):
            left_out.append(found)
        else:
            rows.append(found)
    return rows, left_out


def _publish_period(data: AccountPeriod, shelf: Shelf, at: datetime) -> tuple[Sequence[Publication], Sequence[Failure]]:
    published, failures = [], []
    account, period = data.account.account, data.period
    for kind in BUILDERS:
        try:
            files = files_of(build(kind, data))
        except (SignalboxError, DecimalException) as error:
            failures.append(Failure(account, f"{kind.value} of {period.name}", _told(error)))
            continue
        for ending, content in files.items():
            path = report_path(account, period.name, kind, ending)
            shelf.put(path, content, CONTENT_TYPES[ending])
            digest = hashlib.sha256(content).hexdigest()
            published.append(Publication(path, account, period.name, kind.value, digest, len(content), at))
    return published, failures


def _told(error: Exception) -> str:
    """Return the reason; what decimal raises has none of its own but its signals."""
    return f"{type(error).__name__}: {error}" if isinstance(error, DecimalException) else str(error)


def only_period(period: Period, until: datetime) -> datetime:
    """Return the instant a period is told until: its end, or now when it still runs. Raises PeriodError if it has not begun."""
    if until <= period.start:
        raise PeriodError(f"period {period.name}: expected one that has begun, it begins at {period.start.isoformat()}")
    return min(period.end, until)
